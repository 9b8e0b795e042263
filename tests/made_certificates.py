"""Certificates of any name, usage and quirk, and DER of which a part is replaced."""

import warnings
from collections.abc import Iterable
from datetime import UTC, datetime

from asn1crypto import parser
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID


def name(unit: str | None = None, common_name: str | None = None, eui64: bytes | None = None) -> x509.Name:
    """A Name with an organizationalUnitName, a commonName and an x500UniqueIdentifier, where given."""
    attributes: list[x509.NameAttribute[str | bytes]] = []
    if unit is not None:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    if common_name is not None:
        with warnings.catch_warnings(action="ignore"):  # of a length that RFC 5280 does not allow
            attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name, _validate=False))
    if eui64 is not None:
        identifier = b"\0" + eui64  # no unused bits
        attributes.append(x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, identifier, _ASN1Type.BitString))
    return x509.Name(attributes)


def self_made(
    subject: x509.Name,
    issuer: x509.Name | None = None,
    *,
    usages: Iterable[str] = ("key_cert_sign",),
    ca: bool = True,
    serial: int = 0x5E1F_3ADE_0000_0001,
    not_after: datetime = datetime(2045, 1, 1, tzinfo=UTC),
) -> bytes:
    """A certificate of any subject and usage, signed by its own key."""
    key = ec.derive_private_key(serial, ec.SECP256R1())
    known = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign"
    )
    flags = {usage: usage in usages for usage in known.split()}
    builder = x509.CertificateBuilder(
        issuer or subject, subject, key.public_key(), serial, datetime(2015, 1, 1, tzinfo=UTC), not_after
    )
    return (
        builder.add_extension(x509.KeyUsage(**flags, encipher_only=False, decipher_only=False), critical=True)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(key, SHA256())
        .public_bytes(Encoding.DER)
    )


def with_serial(body: bytes, contents: bytes) -> bytes:
    """A certificate with these content bytes (up to 127) of the serial number's INTEGER; it no longer verifies."""
    return _replaced(body, (0, 1), bytes([2, len(contents)]) + contents)


def with_not_before(body: bytes, text: str) -> bytes:
    """With these letters as its UTCTime (two digits of a year) or its GeneralizedTime (four)."""
    return _replaced(body, (0, 4, 0), _time(text))


def with_not_after(body: bytes, text: str) -> bytes:
    """The same for its end."""
    return _replaced(body, (0, 4, 1), _time(text))


def _time(text: str) -> bytes:
    return (b"\x17" if len(text) < 15 else b"\x18") + bytes([len(text)]) + text.encode()


def with_null_parameters(body: bytes) -> bytes:
    """ecdsa-with-SHA256 with NULL parameters, as some real certificates have it."""
    algorithm = bytes.fromhex("300c06082a8648ce3d0403020500")
    return _replaced(_replaced(body, (0, 2), algorithm), (1,), algorithm)


def _replaced(der: bytes, path: tuple[int, ...], new: bytes) -> bytes:
    """DER with the element at a path of places replaced, and the lengths around it corrected."""
    if not path:
        return new
    class_, method, tag, _, contents, _ = parser.parse(der)
    children = []
    while contents:
        length = parser.peek(contents)
        children.append(contents[:length])
        contents = contents[length:]
    children[path[0]] = _replaced(children[path[0]], path[1:], new)
    changed: bytes = parser.emit(class_, method, tag, b"".join(children))
    return changed
