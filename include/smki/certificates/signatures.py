"""Whether a certificate or a revocation list is signed with a key.

* Both are built alike: what is signed, the algorithm, the signature (RFC 5280, 4.1.1 and 5.1.1). The bytes are cut as
  they stand, so what strict parsers refuse is checked all the same (NULL parameters of the algorithm, for one).
* The algorithm is ECDSA with SHA-2 (Appendices M and N: ecdsa-with-SHA256). Under any other, nothing verifies.
* A key that cannot be used here (another algorithm, a curve that nobody implements) is None, and verifies nothing.
"""

from asn1crypto import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import load_der_public_key

from smki.certificates.der import SEQUENCE, contents, only
from smki.certificates.reading import PARSE_ERRORS

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
    signed, algorithm, signature = contents(der, only(der), SEQUENCE)
    identifier, *_ = contents(der, algorithm, SEQUENCE)
    ecdsa = _ECDSA.get(der[identifier.content : identifier.end])
    unused_bits, value = der[signature.content], der[signature.content + 1 : signature.end]
    if key is None or ecdsa is None or unused_bits:
        return False
    try:
        key.verify(value, der[signed.start : signed.end], ecdsa)
    except InvalidSignature:
        return False
    return True
