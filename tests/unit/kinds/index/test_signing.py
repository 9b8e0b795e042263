"""An index is signed by the key that the operator states, so that anybody's OpenSSL verifies it."""

import subprocess
from pathlib import Path

import pytest

from conftest import Program
from smki.errors import ConfigurationError
from smki.kinds.index.signing import Signer, load_signer
from smki.settings import Settings
from smki_demo.generator.index_signer import make_signer

CONTENT = b'{"version": 1}\n'


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
