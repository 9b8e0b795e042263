"""Reads one revocation list: what the repository needs to know of it, whoever issued it.

* The parser is lenient (asn1crypto), as it is for certificates: NULL parameters of the signature algorithm are
  tolerated, and the bytes are never changed.
* A list is complete and stands for its issuer alone: a delta CRL, an indirect one, one for some reasons only and one
  with a critical extension that we do not know is refused (RFC 5280, 5.2), because what is not on it proves nothing.
* Suspension (certificateHold) is refused: status R is final, and a hold is not.
* CRL number and nextUpdate have to be there: the profile of SMKI has both, and order and freshness hang on them.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from asn1crypto import core, crl, x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from smki.errors import RevocationListRefusedError

ITEM = "revocation list"
_PARSE_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)

_ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2"
_KNOWN_CRITICAL = {"crl_number", "authority_key_identifier", "issuing_distribution_point"}
_NUMBER_BYTES = 20  # RFC 5280, 5.2.3


@dataclass(frozen=True, slots=True)
class Entry:
    """One certificate on a list."""

    serial_number: bytes  # big-endian magnitude, no sign byte
    revoked_at: datetime  # UTC
    reason: str  # as RFC 5280 names it, in words: "key compromise"


@dataclass(frozen=True, slots=True)
class RevocationListFields:
    """What the publisher reads from a list's DER bytes."""

    issuer: bytes  # the issuer's Name, DER
    issuer_display: str
    number: int
    this_update: datetime  # UTC
    next_update: datetime  # UTC
    entries: tuple[Entry, ...]

    def __str__(self) -> str:
        return f"{ITEM} {self.number} of {self.issuer_display}"


def read_revocation_list(der: bytes) -> RevocationListFields:
    """The fields of one DER list. Raises RevocationListRefusedError."""
    try:
        parsed = crl.CertificateList.load(der, strict=True)
        parsed.native  # noqa: B018  # parses every part now rather than at some later access
        return _fields(parsed)
    except _PARSE_ERRORS as error:
        detail = "it is empty" if not der else str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RevocationListRefusedError(ITEM, f"it is no revocation list ({detail}).") from error


def signature_verifies(der: bytes, issuer_certificate: bytes) -> bool:
    """Whether a list that can be read is signed with that certificate's key, as ecdsa-with-SHA256."""
    parsed = crl.CertificateList.load(der)
    key = load_der_public_key(x509.Certificate.load(issuer_certificate).public_key.dump())
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    signature = parsed["signature"].contents  # of the BIT STRING: first the number of unused bits
    try:
        key.verify(signature[1:], parsed["tbs_cert_list"].dump(), ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return bool(signature[0] == 0)


def _fields(parsed: crl.CertificateList) -> RevocationListFields:
    body = parsed["tbs_cert_list"]
    algorithms = {body["signature"]["algorithm"].dotted, parsed["signature_algorithm"]["algorithm"].dotted}
    if algorithms != {_ECDSA_WITH_SHA256}:
        raise RevocationListRefusedError(
            ITEM, f"its signature algorithm is {', '.join(sorted(algorithms))}, not ecdsa-with-SHA256."
        )
    _need_complete(parsed)
    number = parsed.crl_number_value
    if number is None or not 0 <= number.native < 1 << 8 * _NUMBER_BYTES:
        raise RevocationListRefusedError(ITEM, "it has no CRL number of up to 20 bytes (RFC 5280, 5.2.3).")
    if isinstance(body["next_update"], core.Void):
        raise RevocationListRefusedError(ITEM, "it has no nextUpdate (RFC 5280, 5.1.2.5).")
    entries = tuple(_entry(revoked) for revoked in body["revoked_certificates"])
    if len({entry.serial_number for entry in entries}) != len(entries):
        raise RevocationListRefusedError(ITEM, "it holds a serial number more than once.")
    return RevocationListFields(
        issuer=body["issuer"].dump(),
        issuer_display=body["issuer"].human_friendly,
        number=number.native,
        this_update=_instant(body["this_update"]),
        next_update=_instant(body["next_update"]),
        entries=entries,
    )


def _need_complete(parsed: crl.CertificateList) -> None:
    unknown = parsed.critical_extensions - _KNOWN_CRITICAL
    if parsed.delta_crl_indicator_value is not None:
        raise RevocationListRefusedError(
            ITEM, "it is a delta CRL, and the obligation is the complete list.", next_step="lodge the complete list."
        )
    if unknown:
        raise RevocationListRefusedError(
            ITEM, f"it has critical extensions that are not known here: {', '.join(sorted(unknown))}."
        )
    scope = parsed.issuing_distribution_point_value
    if scope is not None and (scope["indirect_crl"].native or scope["only_some_reasons"].native):
        raise RevocationListRefusedError(
            ITEM, "it is indirect or for some reasons only, and the obligation is the complete list."
        )


def _entry(revoked: crl.RevokedCertificate) -> Entry:
    serial = revoked["user_certificate"].contents
    item = f"{ITEM}, entry {serial.hex().upper()}"
    if not serial.strip(b"\0") or serial[0] & 0x80:
        raise RevocationListRefusedError(item, "its serial number is not a positive integer (RFC 5280, 4.1.2.2).")
    reason = "unspecified" if revoked.crl_reason_value is None else str(revoked.crl_reason_value.native)
    unknown = revoked.critical_extensions - {"crl_reason", "invalidity_date"}
    if unknown:
        raise RevocationListRefusedError(
            item, f"it has critical extensions that are not known here: {', '.join(sorted(unknown))}."
        )
    if reason in ("certificate_hold", "remove_from_crl"):
        raise RevocationListRefusedError(item, f"its reason is {reason}: status R is final, and a hold is not.")
    return Entry(serial.lstrip(b"\0"), _instant(revoked["revocation_date"]), reason.replace("_", " "))


def _instant(time: x509.Time) -> datetime:
    instant: datetime = time.native
    return instant.astimezone(UTC)
