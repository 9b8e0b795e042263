"""Reads bundles of certificates: signed-data without a signer (PKCS #7; RFC 5652, 5), as .p7b files hold it."""

from asn1crypto import cms

from smki.certificates.reading import PARSE_ERRORS

_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")


def is_bundle(der: bytes) -> bool:
    """Whether bytes begin as signed-data does."""
    return der[:1] == b"0" and _SIGNED_DATA in der[:24]


def read_bundle(der: bytes) -> tuple[list[bytes], list[bytes]]:
    """The certificates and the revocation lists (DER) of a bundle. Raises ValueError for one that cannot be read."""
    try:
        content = cms.ContentInfo.load(der)["content"]
        certificates = [one.chosen.dump() for one in content["certificates"] or ()]
        lists = [one.chosen.dump() for one in content["crls"] or ()]
    except PARSE_ERRORS as error:
        raise ValueError(str(error) or type(error).__name__) from error
    if not certificates and not lists:
        raise ValueError("it holds none")
    return certificates, lists
