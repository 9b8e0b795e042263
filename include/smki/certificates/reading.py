"""Reads one certificate: what the repository needs to know of it, whoever issued it.

* The parser is lenient (asn1crypto), because real certificates exist that strict parsers refuse and OpenSSL accepts;
  what a strict parser says is kept as a note, and the bytes are never changed.
* The class follows the profile (Appendices M and N): a CA certificate is OCA or DCA by its common name; a subject with
  an x500UniqueIdentifier is an Organisation; an empty subject with a hardwareModuleName is a Device.
* Bytes that are a private key are refused as such, so that nobody stores them.
"""

from datetime import UTC

from asn1crypto import core, x509
from cryptography import x509 as strict_x509
from cryptography.hazmat.primitives.serialization import load_der_private_key

from smki.certificates.model import CertificateClass, CertificateFields, Usage
from smki.errors import CertificateRefusedError, PrivateKeyRefusedError

HARDWARE_MODULE_NAME = "1.3.6.1.5.5.7.8.4"
_NOT_LODGED = "It is not lodged; its bytes and this reason are kept."
_ASK_ISSUER = "ask its issuer for the certificate as DER or PEM and lodge that."
# What asn1crypto raises on malformed input, by experiment (a property test feeds it arbitrary bytes).
_PARSE_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)


class _HardwareModuleName(core.Sequence):  # type: ignore[misc]  # asn1crypto has no types
    """RFC 4108, section 5."""

    _fields = [("hw_type", core.ObjectIdentifier), ("hw_serial_num", core.OctetString)]  # noqa: RUF012  # its API


def read_certificate(der: bytes, ca_class: CertificateClass | None = None) -> CertificateFields:
    """The fields of one DER certificate; `ca_class` is the class of a CA certificate whose name does not say it.

    Raises PrivateKeyRefusedError for a private key, CertificateRefusedError for all else that is no certificate of one
    of the four classes.
    """
    try:
        certificate = x509.Certificate.load(der, strict=True)
        certificate.native  # noqa: B018  # parses every part now rather than at some later access
        return _fields(certificate, der, ca_class)
    except _PARSE_ERRORS as error:
        if is_private_key(der):
            raise PrivateKeyRefusedError(
                "a private key",
                "a repository holds certificates only.",
                "Nothing of it is stored.",
                "treat the key as disclosed if it was sent to you, and lodge the certificate instead.",
            ) from None
        detail = "it is empty" if not der else str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _refused(f"it is no X.509 certificate ({detail}).") from error


def is_private_key(der: bytes) -> bool:
    """Whether the bytes are a private key, encrypted ones included."""
    try:
        load_der_private_key(der, password=None)
    except TypeError:  # "Password was not given but private key is encrypted"
        return True
    except Exception:  # noqa: BLE001  # the library's many ways to say "no key"
        return False
    return True


def _refused(rule: str, next_step: str = _ASK_ISSUER) -> CertificateRefusedError:
    return CertificateRefusedError("certificate", rule, _NOT_LODGED, next_step)


def _fields(certificate: x509.Certificate, der: bytes, ca_class: CertificateClass | None) -> CertificateFields:
    subject = certificate.subject.native
    usages = certificate.key_usage_value.native if certificate.key_usage_value is not None else set()
    eui64 = subject.get("unique_identifier")
    certificate_class = _class_of(certificate, subject, usages, ca_class)
    if certificate_class is CertificateClass.DEVICE:
        eui64 = _hardware_serial(certificate)
    is_ca = certificate_class in (CertificateClass.OCA, CertificateClass.DCA)
    if eui64 is not None and len(eui64) != 8:
        raise _refused(f"its identifier has {len(eui64)} octets and an EUI-64 has 8.")
    serial = certificate["tbs_certificate"]["serial_number"].contents
    if not serial or serial[0] & 0x80 or serial == b"\0":
        raise _refused("its serial number is not a positive integer (RFC 5280, 4.1.2.2).")
    return CertificateFields(
        certificate_class=certificate_class,
        issuer=certificate.issuer.dump(),
        serial_number=serial.lstrip(b"\0"),
        eui64=eui64,
        common_name=_text(subject.get("common_name")),
        role=_role(subject) if certificate_class is CertificateClass.ORGANISATION else None,
        usage=None if is_ca else _usage(usages),
        not_after=certificate.not_valid_after.astimezone(UTC),
        note=_strict_objection(der),
    )


def _text(value: object) -> str | None:
    if value is None:
        return None
    if not (text := str(value)).isprintable():
        raise _refused(f"its common name {text!r} has characters that XML cannot carry.")
    return text


def _class_of(
    certificate: x509.Certificate, subject: dict[str, object], usages: set[str], ca_class: CertificateClass | None
) -> CertificateClass:
    constraints = certificate.basic_constraints_value
    if "key_cert_sign" in usages or (constraints is not None and constraints["ca"].native):
        name = str(subject.get("common_name", "")).upper()
        for certificate_class in (CertificateClass.OCA, CertificateClass.DCA):
            if certificate_class.value in name:
                return certificate_class
        if ca_class is not None:
            return ca_class
        raise _refused(
            f"it is a CA certificate whose common name {name!r} says neither OCA nor DCA.",
            "lodge it with --ca-class OCA or --ca-class DCA.",
        )
    if "unique_identifier" in subject:
        return CertificateClass.ORGANISATION
    if not subject:
        return CertificateClass.DEVICE
    raise _refused("its subject has no x500UniqueIdentifier and is not empty, so it is of none of the four classes.")


def _hardware_serial(certificate: x509.Certificate) -> bytes:
    for name in certificate.subject_alt_name_value or ():
        if name.name == "other_name" and name.chosen["type_id"].dotted == HARDWARE_MODULE_NAME:
            return bytes(name.chosen["value"].parse(_HardwareModuleName, {"explicit": 0})["hw_serial_num"].native)
    raise _refused("its subject is empty and it has no hardwareModuleName, so it names no Device.")


def _role(subject: dict[str, object]) -> int:
    unit = subject.get("organizational_unit_name")
    try:
        role = int(str(unit), 16)
    except ValueError:
        role = -1
    if len(str(unit)) != 2 or role < 0:
        raise _refused(f"its organizationalUnitName {unit!r} is not a remote party role (two hex digits).")
    return role


def _usage(usages: set[str]) -> Usage:
    signs, agrees = "digital_signature" in usages, "key_agreement" in usages
    if signs == agrees:
        raise _refused("its key usage is not exactly one of digitalSignature and keyAgreement.")
    return Usage.DIGITAL_SIGNATURE if signs else Usage.KEY_AGREEMENT


def _strict_objection(der: bytes) -> str | None:
    """Why `cryptography` refuses the bytes, if it does."""
    try:
        strict = strict_x509.load_der_x509_certificate(der)
        strict.extensions  # noqa: B018  # parsed on access
    except Exception as error:  # noqa: BLE001  # any refusal is the note
        return f"cryptography refuses it: {error}".splitlines()[0]
    return None


