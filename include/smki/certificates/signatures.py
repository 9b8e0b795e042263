"""Whether a certificate or a revocation list is signed with a key.

* Both are built alike: what is signed, the algorithm, the signature (RFC 5280, 4.1.1 and 5.1.1). The bytes are cut as
  they stand, so what strict parsers refuse is checked all the same (NULL parameters of the algorithm, for one).
* The algorithm is ECDSA with SHA-2 (Appendices M and N: ecdsa-with-SHA256). Under any other, nothing verifies.
* A key that cannot be used here (another algorithm, a curve that nobody implements) is None, and verifies nothing.
"""

from functools import lru_cache

from asn1crypto import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import load_der_public_key

from smki.certificates.der import SEQUENCE, contents, only, signed_parts
from smki.certificates.reading import PARSE_ERRORS

_NO_UNUSED_BITS = b"\0"  # before the value of a BIT STRING
PublicKey = ec.EllipticCurvePublicKey

_ECDSA = {  # by the object identifier's content: 1.2.840.10045.4.3.2 and so on
    bytes.fromhex("2a8648ce3d040302"): ec.ECDSA(SHA256()),
    bytes.fromhex("2a8648ce3d040303"): ec.ECDSA(SHA384()),
    bytes.fromhex("2a8648ce3d040304"): ec.ECDSA(SHA512()),
}


def public_key(certificate: x509.Certificate) -> PublicKey | None:
    """The key in a certificate, if it can verify anything here."""
    try:
        key = load_der_public_key(certificate.public_key.dump())
    except (UnsupportedAlgorithm, *PARSE_ERRORS):
        return None
    return key if isinstance(key, ec.EllipticCurvePublicKey) else None


def signature_verifies(der: bytes, key: PublicKey | None) -> bool:
    """Whether a certificate or a list (DER) is signed with `key`; other threads run meanwhile."""
    try:
        signed, algorithm, signature = signed_parts(der)
        ecdsa = _ecdsa(algorithm)
        if key is None or ecdsa is None or signature[:1] != _NO_UNUSED_BITS:
            return False
        key.verify(signature[1:], signed, ecdsa)
    except (ValueError, InvalidSignature):  # what is built otherwise is signed by nobody
        return False
    return True


@lru_cache(maxsize=64)  # real ones are of one kind
def _ecdsa(algorithm: bytes) -> ec.ECDSA | None:
    """What an AlgorithmIdentifier stands for, if it is one of ours."""
    identifier, *_ = contents(algorithm, only(algorithm), SEQUENCE)
    return _ECDSA.get(algorithm[identifier.content : identifier.end])
