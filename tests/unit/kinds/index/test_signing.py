"""An index is signed by the key that the operator states, so that anybody's OpenSSL verifies it."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from conftest import Program
from smki.errors import ConfigurationError
from smki.kinds.index.signing import Signer, load_signer
from smki.settings import Settings

CONTENT = b'{"version": 1}\n'


def make_signer(folder: Path, name: str = "signer", *, is_rsa: bool = False) -> dict[str, str]:
    """A key and its certificate, as settings state them."""
    key = rsa.generate_private_key(65537, 2048) if is_rsa else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        subject, subject, key.public_key(), x509.random_serial_number(), now - timedelta(days=1), now + timedelta(365)
    )
    files = {"SMKI_INDEX_KEY": folder / f"{name}.key", "SMKI_INDEX_CERTIFICATE": folder / f"{name}.pem"}
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    files["SMKI_INDEX_KEY"].write_bytes(pem)
    files["SMKI_INDEX_CERTIFICATE"].write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))
    return {setting: str(file) for setting, file in files.items()}


def load(environment: dict[str, str]) -> Signer | None:
    return load_signer(Settings.from_environment(environment))


@pytest.mark.parametrize("is_rsa", [False, True])
def test_openssl_verifies_the_signature_of_this_content_and_of_no_other(
    tmp_path: Path, program: Program, *, is_rsa: bool
):
    stated = make_signer(tmp_path, is_rsa=is_rsa)
    signer = load(stated)
    assert signer is not None
    (tmp_path / "index.p7s").write_bytes(signer.sign(CONTENT))
    for content, code in ((CONTENT, 0), (CONTENT + b" ", 4)):
        (tmp_path / "index").write_bytes(content)
        command = [program("openssl"), "cms", "-verify", "-binary", "-inform", "DER", "-in", "index.p7s"]
        pinned = ["-content", "index", "-certfile", stated["SMKI_INDEX_CERTIFICATE"], "-nointern", "-noverify"]
        done = subprocess.run([*command, *pinned], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == code, done.stderr


def test_without_a_key_nothing_is_signed():
    assert load({}) is None


def test_half_a_signer_and_a_key_of_another_certificate_are_refused(tmp_path: Path):
    one, other = make_signer(tmp_path, "one"), make_signer(tmp_path, "other")
    for wrong in (
        {"SMKI_INDEX_KEY": one["SMKI_INDEX_KEY"]},
        one | {"SMKI_INDEX_CERTIFICATE": other["SMKI_INDEX_CERTIFICATE"]},
        one | {"SMKI_INDEX_KEY": one["SMKI_INDEX_CERTIFICATE"]},
        one | {"SMKI_INDEX_KEY": str(tmp_path / "nothing")},
    ):
        with pytest.raises(ConfigurationError):
            load(wrong)
