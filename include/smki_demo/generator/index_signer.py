"""A key that signs the index, and the certificate that Parties pin."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def make_signer(folder: Path, name: str = "signer", *, is_rsa: bool = False) -> dict[str, str]:
    """A key and its certificate, PEM files of that name, as settings state them; made where there are none yet."""
    files = {"SMKI_INDEX_KEY": folder / f"{name}.key", "SMKI_INDEX_CERTIFICATE": folder / f"{name}.pem"}
    if not files["SMKI_INDEX_CERTIFICATE"].exists():
        key = rsa.generate_private_key(65537, 2048) if is_rsa else ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        begin, end = now - timedelta(days=1), now + timedelta(365)
        builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), begin, end)
        files["SMKI_INDEX_KEY"].touch(mode=0o600)
        files["SMKI_INDEX_KEY"].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        files["SMKI_INDEX_CERTIFICATE"].write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))
    return {setting: str(file) for setting, file in files.items()}
