"""Reads one certificate: what the repository needs to know of it, whoever issued it.

* The parser is lenient (asn1crypto), because real certificates exist that strict parsers refuse and OpenSSL accepts;
  what a strict parser says is kept as a note, and the bytes are never changed.
* The class follows the profile (Appendices M and N): a subject with an x500UniqueIdentifier is an Organisation, an
  empty subject with a hardwareModuleName is a Device. The bytes of an authority do not say which class it is of.
* Bytes that are, or were, a private key are refused as such, so that nobody stores them.
"""

import re
import sys
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice

from asn1crypto import core, x509
from cryptography import x509 as strict_x509

from smki.certificates.der import GENERALIZED_TIME, INTEGER, SEQUENCE, UTC_TIME, elements, signed_parts
from smki.certificates.model import CertificateClass, CertificateFields, Usage
from smki.certificates.names import common_name_of
from smki.errors import CertificateRefusedError, PrivateKeyRefusedError

HARDWARE_MODULE_NAME = "1.3.6.1.5.5.7.8.4"
# What asn1crypto raises on malformed input, by experiment (a property test feeds it arbitrary bytes).
PARSE_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)


# How a private key starts: a SEQUENCE that begins with a version (PKCS #8, SEC 1, PKCS #1 and #12) or with an algorithm
# of password-based encryption (encrypted PKCS #8), or the label of an armour. No certificate starts so, and a key
# whose end is missing or has something after it still does.
_LENGTH = rb"(?:[\x00-\x80]|\x81.|\x82..|\x83...)"
_PRIVATE_KEY = re.compile(
    rb"\x30" + _LENGTH + rb"(?:\x02\x01[\x00-\x03]|\x30" + _LENGTH + rb"\x06.\x2a\x86\x48\x86\xf7\x0d\x01[\x05\x0c])",
    re.DOTALL,
)
_ROLE = re.compile("[0-9A-Fa-f]{2}")
MOST_BYTES = 1 << 16  # of a certificate; real ones have some hundred
_MOST_SERIAL_BYTES = 20  # RFC 5280, 4.1.2.2
_MOST_NAME_BYTES = 1_024  # of a Name; PostgreSQL indexes 2,700, and comparing it may make it longer
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ufffe\uffff]")
_ARMOURED = b"PRIVATE KEY"  # PEM has dashes after it, PGP " BLOCK", SSH2 a blank


class _HardwareModuleName(core.Sequence):  # type: ignore[misc]  # asn1crypto has no types
    """RFC 4108, section 5."""

    _fields = [("hw_type", core.ObjectIdentifier), ("hw_serial_num", core.OctetString)]  # noqa: RUF012  # its API


def read_certificate(der: bytes) -> CertificateFields:
    """The fields of one DER certificate.

    Raises PrivateKeyRefusedError for a private key, CertificateRefusedError for all else that is no certificate of one
    of the four classes, or is too large to be one.
    """
    if holds_armoured_key(der):
        raise PrivateKeyRefusedError("certificate", "it holds the words that begin a private key.")
    if len(der) > MOST_BYTES:
        raise CertificateRefusedError("certificate", f"it has {len(der):,} bytes, and the limit is {MOST_BYTES:,}.")
    try:
        certificate = x509.Certificate.load(der, strict=True)
        certificate.native  # noqa: B018  # parses every part now rather than at some later access
        signed_parts(der)  # asn1crypto lets something stand behind them
        return _fields(certificate, der)
    except PARSE_ERRORS as error:
        if is_private_key(der):
            raise PrivateKeyRefusedError("a private key", "a repository holds certificates only.") from None
        detail = "it is empty" if not der else str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CertificateRefusedError("certificate", f"it is no X.509 certificate ({detail}).") from error


def is_private_key(content: bytes) -> bool:
    """Whether the bytes are a private key or its remains: DER or armoured, encrypted or not."""
    return _PRIVATE_KEY.match(content) is not None or holds_armoured_key(content)


def holds_armoured_key(content: bytes) -> bool:
    """Whether the words that every armour of a private key begins with stand in the bytes, in letters of any width."""
    return b" " in content and (_ARMOURED in content or (b"\0" in content and _ARMOURED in content.replace(b"\0", b"")))


def is_revocation_list(der: bytes) -> bool:
    """Whether DER bytes, even if cut off, are built like a revocation list: one time, not a pair, follows the Name."""
    tags: list[int] = []
    with suppress(ValueError, IndexError, StopIteration):
        whole = next(elements(der, 0, sys.maxsize))
        body = next(elements(der, whole.content, whole.end))
        for one in islice(elements(der, body.content, body.end), 4):
            tags.append(one.tag)  # noqa: PERF401  # those before the end of the bytes count
    after_version = tags[1:] if tags[:1] == [INTEGER] else tags
    return after_version[:2] == [SEQUENCE, SEQUENCE] and after_version[2:3] in ([UTC_TIME], [GENERALIZED_TIME])


def _fields(certificate: x509.Certificate, der: bytes) -> CertificateFields:
    subject = certificate.subject.native
    usages = certificate.key_usage_value.native if certificate.key_usage_value is not None else set()
    eui64 = subject.get("unique_identifier")
    certificate_class = _class_of(certificate, subject, usages)
    if certificate_class is CertificateClass.DEVICE:
        eui64 = _hardware_serial(certificate)
    not_after = certificate.not_valid_after
    if not isinstance(not_after, datetime):  # asn1crypto's own type for the year 0
        raise CertificateRefusedError("certificate", f"it ends in the year {not_after.year}, which no calendar has.")
    common_name = common_name_of(certificate.subject)
    if eui64 is None and not common_name:
        raise CertificateRefusedError(
            "certificate", "it has neither an EUI-64 nor a common name, and Annex B wants one of them as its subject."
        )
    if eui64 is not None and (not isinstance(eui64, bytes) or len(eui64) != 8):
        raise CertificateRefusedError("certificate", f"its identifier {eui64!r} is not an EUI-64 of 8 bytes.")
    _check_name("issuer", certificate.issuer, certificate.issuer.human_friendly)
    _check_name("subject", certificate.subject, common_name or "")
    serial = certificate["tbs_certificate"]["serial_number"].contents
    if not serial.strip(b"\0") or serial[0] & 0x80:
        raise CertificateRefusedError("certificate", "its serial number is not a positive integer (RFC 5280, 4.1.2.2).")
    if len(serial.lstrip(b"\0")) > _MOST_SERIAL_BYTES:
        raise CertificateRefusedError(
            "certificate",
            f"its serial number has {len(serial)} bytes, and {_MOST_SERIAL_BYTES} are allowed (RFC 5280, 4.1.2.2).",
        )
    return CertificateFields(
        certificate_class=certificate_class,
        issuer=certificate.issuer.dump(),
        issuer_key=certificate.authority_key_identifier,
        serial_number=serial.lstrip(b"\0"),
        eui64=eui64,
        common_name=common_name,
        role=_role(subject) if certificate_class is CertificateClass.ORGANISATION else None,
        usage=None if certificate_class is None else _usage(usages),
        not_after=not_after.astimezone(UTC),
        note=_strict_objection(der),
    )


def _check_name(part: str, name: x509.Name, text: str) -> None:
    """Raises CertificateRefusedError for a Name that the repository, or Annex B, cannot hold; `text` is shown of it."""
    if len(name.dump()) > _MOST_NAME_BYTES:
        raise CertificateRefusedError(
            "certificate", f"its {part}'s Name has {len(name.dump()):,} bytes, and the limit is {_MOST_NAME_BYTES:,}."
        )
    if _CONTROLS.search(text):
        raise CertificateRefusedError(
            "certificate", f"its {part}'s Name {text!r} has control characters, which XML cannot carry."
        )


def _class_of(certificate: x509.Certificate, subject: dict[str, object], usages: set[str]) -> CertificateClass | None:
    constraints = certificate.basic_constraints_value
    if "key_cert_sign" in usages or (constraints is not None and constraints["ca"].native):
        return None
    if "unique_identifier" in subject:
        return CertificateClass.ORGANISATION
    if not subject:
        return CertificateClass.DEVICE
    raise CertificateRefusedError(
        "certificate", "its subject has no x500UniqueIdentifier and is not empty, so it is of none of the four classes."
    )


def _hardware_serial(certificate: x509.Certificate) -> bytes:
    for name in certificate.subject_alt_name_value or ():
        if name.name == "other_name" and name.chosen["type_id"].dotted == HARDWARE_MODULE_NAME:
            return bytes(name.chosen["value"].parse(_HardwareModuleName, {"explicit": 0})["hw_serial_num"].native)
    raise CertificateRefusedError(
        "certificate", "its subject is empty and it has no hardwareModuleName, so it names no Device."
    )


def _role(subject: dict[str, object]) -> int:
    unit = str(subject.get("organizational_unit_name"))
    if not _ROLE.fullmatch(unit):
        raise CertificateRefusedError(
            "certificate", f"its organizationalUnitName {unit!r} is not a remote party role (two hex digits)."
        )
    return int(unit, 16)


def _usage(usages: set[str]) -> Usage:
    signs, agrees = "digital_signature" in usages, "key_agreement" in usages
    if signs == agrees:
        raise CertificateRefusedError(
            "certificate", "its key usage is not exactly one of digitalSignature and keyAgreement."
        )
    return Usage.DIGITAL_SIGNATURE if signs else Usage.KEY_AGREEMENT


def _strict_objection(der: bytes) -> str | None:
    """Why `cryptography` refuses the bytes, if it does."""
    try:
        strict = strict_x509.load_der_x509_certificate(der)
        strict.extensions  # noqa: B018  # parsed on access
    except Exception as error:  # noqa: BLE001  # any refusal is the note
        return f"cryptography refuses it: {error}".splitlines()[0]
    return None
