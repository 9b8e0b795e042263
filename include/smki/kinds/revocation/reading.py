"""Reads one revocation list: what the repository needs to know of it, whoever issued it.

* What RFC 5280 allows, and what is harmless beside it, is read: NULL parameters of the signature algorithm, an empty
  sequence of entries, either form of time in any year, serial numbers with leading zeros, defaults that are spelled
  out, extensions that are not critical and not known here. The bytes are never changed.
* A list is complete and stands for its issuer alone: a delta CRL, an indirect one, one for some reasons only, one of
  attribute certificates and one with a critical extension that we do not know is refused (RFC 5280, 5.2), because what
  is not on it proves nothing.
* A reason code that RFC 5280 does not have counts as unspecified, unless it is critical: the revocation is what counts.
  Suspension (certificateHold) is refused: status R is final, and a hold is not.
* CRL number and nextUpdate have to be there: the profile of SMKI has both, and order and freshness hang on them.
* What is refused for one of its entries names that entry.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from asn1crypto import core, crl, x509

from smki.certificates.der import (
    BIT_STRING,
    GENERALIZED_TIME,
    INTEGER,
    OBJECT_IDENTIFIER,
    SEQUENCE,
    UTC_TIME,
    Element,
    contents,
    elements,
    only,
)
from smki.certificates.reading import PARSE_ERRORS
from smki.errors import RevocationListRefusedError

ITEM = "revocation list"
_ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2"
_CRL_NUMBER, _DELTA_INDICATOR, _SCOPE, _AUTHORITY_KEY = "2.5.29.20", "2.5.29.27", "2.5.29.28", "2.5.29.35"
_REASON, _INVALIDITY_DATE, _CERTIFICATE_ISSUER = "2.5.29.21", "2.5.29.24", "2.5.29.29"
_MOST_BYTES = 20  # of a CRL number and of a serial number (RFC 5280, 5.2.3 and 4.1.2.2)
_BOOLEAN, _OCTET_STRING, _ENUMERATED, _EXPLICIT_0 = 0x01, 0x04, 0x0A, 0xA0
_TIME = re.compile(rb"(\d{2})?(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z")
_UNSPECIFIED = "unspecified"
_REASONS = {
    1: "key compromise",
    2: "ca compromise",
    3: "affiliation changed",
    4: "superseded",
    5: "cessation of operation",
    6: "certificate hold",
    8: "remove from crl",
    9: "privilege withdrawn",
    10: "aa compromise",
}
_NOT_FINAL = (_REASONS[6], _REASONS[8])


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
    issuer_key: bytes | None  # key identifier of the key that signed, where the list states it
    number: int
    this_update: datetime  # UTC
    next_update: datetime  # UTC
    entries: tuple[Entry, ...]
    covers_users: bool  # whether certificates of end entities would be on it
    covers_authorities: bool  # whether those of CAs would
    distribution_points: frozenset[bytes]  # names (DER) of the point whose list it is; none where it states none

    def __str__(self) -> str:
        return f"{ITEM} {self.number} of {self.issuer_display}"


def read_revocation_list(der: bytes) -> RevocationListFields:
    """The fields of one DER list. Raises RevocationListRefusedError."""
    try:
        return _read(der)
    except PARSE_ERRORS as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RevocationListRefusedError(ITEM, f"it is no revocation list ({detail}).") from error


@dataclass(frozen=True, slots=True)
class _Extension:
    critical: bool
    value: bytes  # DER


def _read(der: bytes) -> RevocationListFields:
    signed, algorithm, signature = contents(der, only(der), SEQUENCE)
    if signature.tag != BIT_STRING or signature.content == signature.end:
        raise ValueError("it has no signature")
    parts = contents(der, signed, SEQUENCE)
    if parts[0].tag == INTEGER:
        del parts[0]  # the version
    algorithm_again, issuer, this_update, *rest = parts
    _check_algorithms(der, algorithm, algorithm_again)
    next_update = rest.pop(0) if rest and rest[0].tag in (UTC_TIME, GENERALIZED_TIME) else None
    revoked = elements(der, rest[0].content, rest.pop(0).end) if rest and rest[0].tag == SEQUENCE else ()
    stated = elements(der, rest[0].content, rest.pop(0).end) if rest and rest[0].tag == _EXPLICIT_0 else ()
    if rest:
        raise ValueError(f"byte {rest[0].start} belongs to nothing")
    extensions = {kind: value for one in stated for kind, value in _extensions(der[one.start : one.end], ITEM).items()}
    scope = _scope(extensions)
    number = extensions.get(_CRL_NUMBER)
    value = int.from_bytes(_whole(number.value, INTEGER), signed=True) if number else -1
    if not 0 <= value < 1 << 8 * _MOST_BYTES:
        raise RevocationListRefusedError(ITEM, "it has no CRL number of up to 20 bytes (RFC 5280, 5.2.3).")
    if next_update is None:
        raise RevocationListRefusedError(ITEM, "it has no nextUpdate (RFC 5280, 5.1.2.5).")
    name = x509.Name.load(der[issuer.start : issuer.end], strict=True)
    return RevocationListFields(
        issuer=name.dump(),
        issuer_display=name.human_friendly,
        issuer_key=_issuer_key(extensions),
        number=value,
        this_update=_instant(der, this_update, f"{ITEM}, thisUpdate"),
        next_update=_instant(der, next_update, f"{ITEM}, nextUpdate"),
        entries=tuple(_entries(der, revoked)),
        covers_users=not scope["only_contains_ca_certs"].native,
        covers_authorities=not scope["only_contains_user_certs"].native,
        distribution_points=_point_names(scope),
    )


def _check_algorithms(der: bytes, *algorithms: Element) -> None:
    """Parameters say nothing: some writers put a NULL there."""
    stated = {_identifier(der, contents(der, one, SEQUENCE)[0]) for one in algorithms}
    if stated != {_ECDSA_WITH_SHA256}:
        raise RevocationListRefusedError(
            ITEM, f"its signature algorithm is {', '.join(sorted(stated))}, not ecdsa-with-SHA256."
        )


def _scope(extensions: dict[str, _Extension]) -> crl.IssuingDistributionPoint:
    """Raises RevocationListRefusedError for a list that leaves out some of what it is about."""
    if _DELTA_INDICATOR in extensions:
        raise RevocationListRefusedError(
            ITEM, "it is a delta CRL, and the obligation is the complete list.", next_step="lodge the complete list."
        )
    _need_known(extensions, (_CRL_NUMBER, _AUTHORITY_KEY, _SCOPE), ITEM)
    if _SCOPE not in extensions:
        return crl.IssuingDistributionPoint({})
    scope = crl.IssuingDistributionPoint.load(extensions[_SCOPE].value, strict=True)
    if any(scope[part].native for part in ("indirect_crl", "only_some_reasons", "only_contains_attribute_certs")):
        raise RevocationListRefusedError(
            ITEM,
            "it is indirect, for some reasons only or for attribute certificates, and the obligation is the complete "
            "list.",
        )
    return scope


def _point_names(scope: crl.IssuingDistributionPoint) -> frozenset[bytes]:
    point = scope["distribution_point"]
    if point.native is None:
        return frozenset()
    stated = point.chosen
    return frozenset(one.dump() for one in stated) if point.name == "full_name" else frozenset([stated.dump()])


def _need_known(extensions: dict[str, _Extension], known: Iterable[str], item: str) -> None:
    unknown = {kind for kind, extension in extensions.items() if extension.critical}.difference(known)
    if unknown:
        raise RevocationListRefusedError(
            item, f"it has critical extensions that are not known here: {', '.join(sorted(unknown))}."
        )


def _issuer_key(extensions: dict[str, _Extension]) -> bytes | None:
    if _AUTHORITY_KEY not in extensions:
        return None
    stated: bytes | None = x509.AuthorityKeyIdentifier.load(extensions[_AUTHORITY_KEY].value)["key_identifier"].native
    return stated


def _entries(der: bytes, revoked: Iterable[Element]) -> Iterator[Entry]:
    seen = set()
    for one in revoked:
        serial, at, *rest = contents(der, one, SEQUENCE)
        number = der[serial.content : serial.end]
        magnitude = number.lstrip(b"\0")
        item = f"{ITEM}, entry {number[: _MOST_BYTES + 1].hex().upper()}"
        if serial.tag != INTEGER or not magnitude or number[0] & 0x80 or len(magnitude) > _MOST_BYTES:
            raise RevocationListRefusedError(
                item, "its serial number is not a positive integer of up to 20 bytes (RFC 5280, 4.1.2.2)."
            )
        if magnitude in seen:
            raise RevocationListRefusedError(item, "it stands on the list more than once.")
        seen.add(magnitude)
        reason = _UNSPECIFIED
        if rest:
            (stated,) = rest
            try:
                reason = _reason(der[stated.start : stated.end])
            except PARSE_ERRORS as error:
                raise RevocationListRefusedError(item, f"its extensions cannot be read ({error}).") from error
            except RevocationListRefusedError as error:
                raise RevocationListRefusedError(item, error.rule) from None
        yield Entry(magnitude, _instant(der, at, item), reason)


@lru_cache(256)  # a list has few combinations, in many entries
def _reason(extensions: bytes) -> str:
    """The reason that an entry's extensions state. Raises RevocationListRefusedError, ValueError."""
    stated = _extensions(extensions, ITEM)
    if _CERTIFICATE_ISSUER in stated:
        raise RevocationListRefusedError(ITEM, "it states a certificate issuer: the list is an indirect one.")
    _need_known(stated, (_REASON, _INVALIDITY_DATE), ITEM)
    if _REASON not in stated:
        return _UNSPECIFIED
    code = int.from_bytes(_whole(stated[_REASON].value, _ENUMERATED), signed=True)
    reason = _REASONS.get(code, _UNSPECIFIED)
    if reason in _NOT_FINAL:
        raise RevocationListRefusedError(ITEM, f"its reason is {reason}: status R is final, and a hold is not.")
    if code not in (0, *_REASONS) and stated[_REASON].critical:
        raise RevocationListRefusedError(
            ITEM, f"its reason code is {code}, which RFC 5280 does not have, and critical."
        )
    return reason


def _extensions(der: bytes, item: str) -> dict[str, _Extension]:
    """By object identifier. Raises RevocationListRefusedError for two of one kind, ValueError."""
    found: dict[str, _Extension] = {}
    for one in contents(der, only(der), SEQUENCE):
        kind, *flag, value = contents(der, one, SEQUENCE)
        if value.tag != _OCTET_STRING or [part.tag for part in flag] not in ([], [_BOOLEAN]):
            raise ValueError(f"byte {one.start} begins no extension")
        name = _identifier(der, kind)
        if name in found:
            raise RevocationListRefusedError(item, f"it has the extension {name} more than once (RFC 5280, 4.2).")
        critical = any(der[part.content : part.end].strip(b"\0") for part in flag)
        found[name] = _Extension(critical, der[value.content : value.end])
    return found


def _identifier(der: bytes, element: Element) -> str:
    if element.tag != OBJECT_IDENTIFIER:
        raise ValueError(f"byte {element.start} begins no object identifier")
    dotted: str = core.ObjectIdentifier.load(der[element.start : element.end]).dotted
    return dotted


def _whole(der: bytes, tag: int) -> bytes:
    """The content of the one element that the bytes are."""
    element = only(der)
    if element.tag != tag or element.content == element.end:
        raise ValueError(f"tag {element.tag:#x} stands where {tag:#x} has to")
    return der[element.content : element.end]


def _instant(der: bytes, time: Element, item: str) -> datetime:
    """UTC. Both forms as RFC 5280, 5.1.2.4 has them: to the second, ended by Z."""
    stated = _TIME.fullmatch(der, time.content, time.end)
    if stated and (time.tag, stated[1] is None) in ((UTC_TIME, True), (GENERALIZED_TIME, False)):
        century, year, month, day, hour, minute, second = (int(part or 0) for part in stated.groups())
        if time.tag == UTC_TIME:
            century = 19 if year >= 50 else 20  # RFC 5280, 4.1.2.5.1
        with suppress(ValueError):  # no such day or hour
            return datetime(100 * century + year, month, day, hour, minute, second, tzinfo=UTC)
    rule = f"its time {der[time.content : time.end][:20]!r} is none of RFC 5280, 5.1.2.4: to the second, ended by Z."
    raise RevocationListRefusedError(item, rule)
