"""Signs the index: a detached CMS signature (RFC 5652) that `openssl cms -verify` reads.

The operator states the key and its certificate (SMKI_INDEX_KEY, SMKI_INDEX_CERTIFICATE). While one key follows another,
Parties pin both certificates: whichever signed is right.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder

from smki.errors import ConfigurationError
from smki.settings import Settings

Loaded = TypeVar("Loaded")
_UNSIGNED = "No index is published; what is published stays."


@dataclass(frozen=True, slots=True)
class Signer:
    """A key and the certificate that Parties pin."""

    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    certificate: x509.Certificate

    def sign(self, content: bytes) -> bytes:
        """The detached signature over content, DER."""
        builder = PKCS7SignatureBuilder().set_data(content).add_signer(self.certificate, self.key, SHA256())
        return builder.sign(
            Encoding.DER, [PKCS7Options.DetachedSignature, PKCS7Options.Binary, PKCS7Options.NoCapabilities]
        )


def load_signer(settings: Settings) -> Signer | None:
    """The signer that the settings state; None where they state none. Raises ConfigurationError."""
    if settings.index_key is None and settings.index_certificate is None:
        return None
    if settings.index_key is None or settings.index_certificate is None:
        raise ConfigurationError(
            "SMKI_INDEX_KEY and SMKI_INDEX_CERTIFICATE", "one is set and the other is not.", _UNSIGNED, "set both."
        )
    key = _load("SMKI_INDEX_KEY", settings.index_key, lambda content: load_pem_private_key(content, None))
    certificate = _load("SMKI_INDEX_CERTIFICATE", settings.index_certificate, x509.load_pem_x509_certificate)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ConfigurationError("SMKI_INDEX_KEY", "it is neither an EC nor an RSA key.", _UNSIGNED)
    if _public(key.public_key()) != _public(certificate.public_key()):
        raise ConfigurationError("SMKI_INDEX_CERTIFICATE", "it is not of the key in SMKI_INDEX_KEY.", _UNSIGNED)
    return Signer(key, certificate)


def _load(setting: str, file: Path, read: Callable[[bytes], Loaded]) -> Loaded:
    try:
        return read(file.read_bytes())
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            f"{setting}, {file}", f"it has to be PEM without a passphrase ({type(error).__name__}).", _UNSIGNED
        ) from error


def _public(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
