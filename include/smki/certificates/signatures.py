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

from smki.certificates.der import SEQUENCE, bounds, contents, only
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
    """Whether a certificate or a list (DER that can be read) is signed with `key`; other threads run meanwhile."""
    signed, algorithm, signature = _cut(der)
    ecdsa = _ecdsa(algorithm)
    if key is None or ecdsa is None or signature[:1] != _NO_UNUSED_BITS:
        return False
    try:
        key.verify(signature[1:], signed, ecdsa)
    except InvalidSignature:
        return False
    return True


def _cut(der: bytes) -> tuple[bytes, bytes, bytes]:
    """What is signed, the algorithm, and the signature's content: by offsets alone, as this is done a million times."""
    signed, end = bounds(der, 0, len(der))
    _, algorithm = bounds(der, signed, end)
    _, signature = bounds(der, algorithm, end)
    content, last = bounds(der, signature, end)
    if der[0] != SEQUENCE or last != end or end != len(der):
        raise ValueError("it is no sequence of what is signed, algorithm and signature")
    return der[signed:algorithm], der[algorithm:signature], der[content:last]


@lru_cache(maxsize=64)  # real ones are of one kind
def _ecdsa(algorithm: bytes) -> ec.ECDSA | None:
    """What an AlgorithmIdentifier stands for, if it is one of ours."""
    identifier, *_ = contents(algorithm, only(algorithm), SEQUENCE)
    return _ECDSA.get(algorithm[identifier.content : identifier.end])
