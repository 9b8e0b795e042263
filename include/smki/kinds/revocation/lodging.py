"""Lodges revocation lists, and says which of them are the newest.

* The issuer is a lodged CA certificate, not revoked, whose subject is the list's issuer and whose key verifies the
  signature; those with the key that the list states (authority key identifier) are tried first. It is of class OCA. A
  self-issued one is a root and its list the ARL, any other's is the CRL (SEC Appendix O 2.3.3 (c), (d)).
* Of one kind and issuer thisUpdate does not go back and, where it stays, the CRL number rises. A younger list whose
  number or nextUpdate went back, or that has forgotten revocations, is lodged: its issuer signed it and may have been
  restored from a backup, so the gate holds it for a person to decide. thisUpdate has come and nextUpdate has not.
* The same list again changes nothing.
* Every listed certificate that is lodged gets status R with the list, in one transaction, so the next delta has it.
  One with status E keeps it (it is final) and one that is not lodged is no error: both are reported. The latter is
  lodged with status R whenever it comes: an entry is kept for ever, with the reason of the first list that had it.
* A Device Certificate on a list refuses the list: it is not revocable, so the list is wrong.
* A certificate leaves the lists of its issuer only when its notAfter passed before the newer list's thisUpdate
  (RFC 5280, 3.3); one that is gone earlier is forgotten. Of one that is not lodged nobody knows. Status R is never
  taken back: not from a certificate, nor from an entry that waits for its certificate, whatever the next list forgets.
* A list that names a distribution point has a name of it in common with the list before it, where that names one, too:
  another point's list is a part, not the complete list.
* What is refused is kept in `rejected_lodgement` with its reason. Each list is one transaction.
* The newest list of a kind is the one lodged last.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
from asn1crypto import x509
from sqlalchemy import ARRAY, Connection, Engine, LargeBinary, any_, bindparam, func, insert, select, text

from smki.certificates.model import CertificateClass, ListKind, Status
from smki.certificates.names import comparable_name
from smki.certificates.signatures import PublicKey, public_key, signature_verifies
from smki.errors import DataError, RevocationListRefusedError, TransitionRefusedError
from smki.kinds.revocation.reading import (
    Entry,
    RevocationListFields,
    read_revocation_list,
)
from smki.repository.database import writing
from smki.repository.lodging import LISTS_LOCK, issuer_id
from smki.repository.offers import Refusal, RevocationListOffer, keep_refused
from smki.repository.status import CertificateReference, StatusChange, apply_changes, lock_statuses
from smki.repository.tables import certificate, issuer, revocation_list

CLOCK_SKEW = timedelta(minutes=5)  # that an issuer's clock may be ahead of ours
_CHECK_ISSUER = "ask its issuer for a list that follows the lodged one; `smki revocation list` shows that."
# Arrays, as a list may have 100,000 entries.
_KEEP_ENTRIES = text(
    """
    INSERT INTO listed_certificate (issuer_id, serial_number, reason, revoked_at)
    SELECT :issuer, serial_number, reason, revoked_at
    FROM unnest(CAST(:serials AS bytea[]), CAST(:reasons AS text[]), CAST(:at AS timestamptz[]))
      entry (serial_number, reason, revoked_at)
    ON CONFLICT DO NOTHING
    """
)


@dataclass(frozen=True, slots=True)
class ListFacts:
    """What the repository says of a list without reading it whole."""

    id: int  # lodging order
    kind: ListKind
    issuer: bytes  # the issuer's Name, DER, as it was spelled first
    issuer_display: str
    number: int  # CRL number
    this_update: datetime  # UTC
    next_update: datetime  # UTC
    entries: int
    lodged_at: datetime  # UTC

    def __str__(self) -> str:
        return f"{self.kind} {self.number} of {self.issuer_display}"


@dataclass(frozen=True, slots=True)
class LodgedList(ListFacts):
    """A list in the repository."""

    body: bytes  # DER


@dataclass(frozen=True, slots=True)
class ListLodgement:
    """What lodging one list did."""

    lodged: LodgedList
    origin: str
    already_there: bool = False  # nothing below was done then
    revoked: int = 0  # certificates that got status R
    revoked_before: int = 0  # that had it
    expired: tuple[bytes, ...] = ()  # serial numbers of those that keep status E
    unknown: tuple[bytes, ...] = ()  # serial numbers that no lodged certificate has
    dropped: tuple[bytes, ...] = ()  # serial numbers that the list before it held, rightly gone
    forgotten: tuple[bytes, ...] = ()  # the same of certificates that have not ended
    dropped_unknown: tuple[bytes, ...] = ()  # the same of certificates that are not lodged: nobody knows their end
    before: LodgedList | None = None  # the list that it follows

    @property
    def steps_back(self) -> tuple[str, ...]:
        """What of the list before it this one takes back, in words: the gate holds such a list."""
        before, lodged = self.before, self.lodged
        if before is None:
            return ()
        found = {
            f"its CRL number is not above {before.number}": lodged.number <= before.number,
            f"its nextUpdate is before {before.next_update:%Y-%m-%d %H:%M:%S} UTC": (
                lodged.next_update < before.next_update
            ),
            f"{len(self.forgotten)} certificates that have not ended are on it no longer": bool(self.forgotten),
        }
        return tuple(words for words, is_so in found.items() if is_so)


@dataclass(slots=True)
class ListLodgingReport:
    """What became of the lists that were offered."""

    lodgements: list[ListLodgement] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


def lodge_revocation_lists(
    engine: Engine, offers: Iterable[RevocationListOffer], now: datetime, recorded_at: datetime | None = None
) -> ListLodgingReport:
    """Lodges what is offered, by age whatever order it comes in; keeps what is refused with its reason.

    `now` (UTC) judges freshness; `recorded_at` is for made-up histories, else the database's clock dates the events.
    Raises RepositoryUnavailableError.
    """
    report = ListLodgingReport()
    readable: list[tuple[RevocationListFields, RevocationListOffer]] = []

    def refuse(offer: RevocationListOffer, error: DataError) -> None:
        report.refusals.append(Refusal(offer.body, offer.origin, error))
        with writing(engine) as connection:
            keep_refused(_driver(connection), report.refusals[-1:])

    for offer in offers:
        try:
            readable.append((read_revocation_list(offer.body), offer))
        except RevocationListRefusedError as error:
            refuse(offer, error)
    for fields, offer in sorted(readable, key=lambda pair: (pair[0].this_update, pair[0].number)):
        try:
            report.lodgements.append(_lodge(engine, fields, offer, now, recorded_at))
        except RevocationListRefusedError as error:
            refuse(offer, error)
    return report


def latest_list(connection: Connection, kind: ListKind) -> LodgedList | None:
    """The newest list of a kind."""
    return next(iter(_lists(connection, revocation_list.c.kind == kind, limit=1)), None)


def read_list(connection: Connection, facts: ListFacts) -> LodgedList:
    """The whole of a list."""
    (found,) = _lists(connection, revocation_list.c.id == facts.id)
    return found


def all_lists(connection: Connection) -> list[ListFacts]:
    """All lists, newest first."""
    return [ListFacts(**_facts(row)) for row in connection.execute(_FACTS)]


def newest_lists(connection: Connection) -> list[ListFacts]:
    """The newest list of each kind and issuer, newest first."""
    newest = select(func.max(revocation_list.c.id)).group_by(revocation_list.c.kind, revocation_list.c.issuer_id)
    return [ListFacts(**_facts(row)) for row in connection.execute(_FACTS.where(revocation_list.c.id.in_(newest)))]


def kind_of(connection: Connection, fields: RevocationListFields, der: bytes) -> ListKind:
    """A list's kind, by the lodged CA certificate that verifies it. Raises RevocationListRefusedError."""
    authorities = _authorities(connection, fields)
    if not authorities:
        raise RevocationListRefusedError(
            str(fields),
            "no lodged CA certificate, unless revoked, has its issuer's name as subject.",
            next_step="lodge the issuer's certificate first, then the list again.",
        )
    for authority in authorities:
        if not signature_verifies(der, authority.key):
            continue
        if authority.certificate_class is not CertificateClass.OCA:
            raise RevocationListRefusedError(
                str(fields),
                f"its issuer is of class {authority.certificate_class}, and the obligations are the Organisation lists "
                "(SEC Appendix O 2.3.3 (c), (d)).",
                next_step="lodge the lists of the OCAs only.",
            )
        kind = ListKind.ARL if authority.is_self_issued else ListKind.CRL
        if not (fields.covers_authorities if kind is ListKind.ARL else fields.covers_users):
            raise RevocationListRefusedError(
                str(fields),
                f"it is an {kind} whose scope (issuingDistributionPoint) leaves out what an {kind} is about.",
                next_step="lodge the issuer's complete list.",
            )
        return kind
    raise RevocationListRefusedError(
        str(fields),
        f"its signature verifies under none of its issuer's {len(authorities)} lodged certificates.",
        next_step="treat it as forged or damaged: get it again from its issuer.",
    )


@dataclass(frozen=True, slots=True)
class _Authority:
    key: PublicKey | None
    certificate_class: CertificateClass
    is_self_issued: bool
    has_key: bool  # its key is the one that the list states


_AUTHORITIES = text(
    "SELECT body, class FROM certificate WHERE class IN ('OCA', 'DCA') AND status <> 'R' ORDER BY id DESC"
)


def _authorities(connection: Connection, fields: RevocationListFields) -> list[_Authority]:
    """Lodged CA certificates whose subject is the list's issuer: those with the key that it states, then the newest.

    There are few, whatever the repository holds.
    """
    found, wanted = [], comparable_name(fields.issuer)
    for body, certificate_class in connection.execute(_AUTHORITIES):
        parsed = x509.Certificate.load(body)
        if comparable_name(parsed.subject.dump()) == wanted:
            is_self_issued = comparable_name(parsed.issuer.dump()) == wanted
            has_key = fields.issuer_key is not None and parsed.key_identifier == fields.issuer_key
            found.append(_Authority(public_key(parsed), CertificateClass(certificate_class), is_self_issued, has_key))
    return sorted(found, key=lambda authority: not authority.has_key)


def _lodge(
    engine: Engine,
    fields: RevocationListFields,
    offer: RevocationListOffer,
    now: datetime,
    recorded_at: datetime | None,
) -> ListLodgement:
    with writing(engine) as connection:
        # Alone, so that ids rise in the order in which lists take effect.
        connection.execute(text(f"SELECT pg_advisory_xact_lock({LISTS_LOCK})"))
        list_issuer = issuer_id(_driver(connection), fields.issuer, {})
        of_issuer = revocation_list.c.issuer_id == list_issuer
        same_number = _lists(connection, of_issuer, revocation_list.c.number == Decimal(fields.number))
        for same in (lodged for lodged in same_number if lodged.body == offer.body):
            return ListLodgement(same, offer.origin, already_there=True)
        kind = kind_of(connection, fields, offer.body)
        before = next(iter(_lists(connection, of_issuer, revocation_list.c.kind == kind, limit=1)), None)
        _check_order(fields, before)
        _check_distribution_point(fields, before)
        _check_times(fields, now)
        gone = _gone(connection, fields, before, list_issuer)
        lodged_id = connection.execute(
            insert(revocation_list)
            .values(
                kind=kind,
                issuer_id=list_issuer,
                number=fields.number,
                this_update=fields.this_update,
                next_update=fields.next_update,
                entries=len(fields.entries),
                body=offer.body,
                lodged_at=func.coalesce(recorded_at, func.clock_timestamp()),
            )
            .returning(revocation_list.c.id)
        ).scalar_one()
        (lodged,) = _lists(connection, revocation_list.c.id == lodged_id)
        _keep_entries(connection, list_issuer, fields, lodged)
        done = _revoke(connection, fields, lodged, offer.origin, recorded_at)
        return replace(
            done, dropped=gone.rightly, forgotten=gone.forgotten, dropped_unknown=gone.unknown, before=before
        )


def _check_order(fields: RevocationListFields, before: LodgedList | None) -> None:
    """A number that goes back is for the gate to hold, as long as the list is the younger one."""
    if before is None or (before.this_update, before.number) < (fields.this_update, fields.number):
        return
    raise RevocationListRefusedError(
        str(fields),
        f"its thisUpdate {fields.this_update:%Y-%m-%d %H:%M:%S} UTC and number do not follow those of the lodged list "
        f"{before.number}, {before.this_update:%Y-%m-%d %H:%M:%S}.",
        next_step=_CHECK_ISSUER,
    )


def _check_distribution_point(fields: RevocationListFields, before: LodgedList | None) -> None:
    """Lists by distribution point are parts (RFC 5280, 5.2.5): none of them is what an obligation publishes."""
    if before is None or not fields.distribution_points:
        return
    known = read_revocation_list(before.body).distribution_points
    if known and not known & fields.distribution_points:
        raise RevocationListRefusedError(
            str(fields),
            f"it is the list of another distribution point (issuingDistributionPoint) than the lodged list "
            f"{before.number}, so it is not complete.",
            next_step="ask its issuer for its complete list; of a point that has moved, for one that also has its old "
            "name.",
        )


def _check_times(fields: RevocationListFields, now: datetime) -> None:
    if fields.this_update > now + CLOCK_SKEW:
        raise RevocationListRefusedError(
            str(fields),
            f"its thisUpdate {fields.this_update:%Y-%m-%d %H:%M:%S} UTC has not come; it is {now:%Y-%m-%d %H:%M:%S}.",
            next_step="lodge it once it is valid, or have the clocks looked at.",
        )
    if fields.next_update <= now:
        raise RevocationListRefusedError(
            str(fields),
            f"its nextUpdate {fields.next_update:%Y-%m-%d %H:%M:%S} UTC has passed; it is {now:%Y-%m-%d %H:%M:%S}.",
            next_step="lodge the list that followed it.",
        )


@dataclass(frozen=True, slots=True)
class _Gone:
    """Serial numbers that the list before it held and a list does not."""

    rightly: tuple[bytes, ...] = ()  # their certificates had ended
    forgotten: tuple[bytes, ...] = ()  # their certificates are lodged, and had not
    unknown: tuple[bytes, ...] = ()  # their certificates are not lodged


def _gone(connection: Connection, fields: RevocationListFields, before: LodgedList | None, list_issuer: int) -> _Gone:
    if before is None:
        return _Gone()
    gone = {entry.serial_number for entry in read_revocation_list(before.body).entries}
    gone -= {entry.serial_number for entry in fields.entries}
    if not gone:
        return _Gone()
    lodged = connection.execute(
        select(certificate.c.serial_number, certificate.c.not_after >= fields.this_update).where(
            certificate.c.serial_number == any_(bindparam("gone", list(gone), ARRAY(LargeBinary))),
            certificate.c.issuer_id == list_issuer,
        )
    )
    runs: dict[bytes, bool] = {row[0]: row[1] for row in lodged}
    return _Gone(
        rightly=tuple(sorted(serial for serial in runs if not runs[serial])),
        forgotten=tuple(sorted(serial for serial in runs if runs[serial])),
        unknown=tuple(sorted(gone.difference(runs))),
    )


def _keep_entries(connection: Connection, list_issuer: int, fields: RevocationListFields, lodged: LodgedList) -> None:
    """Adds the list's entries to those of the issuer's lists before it."""
    entries = fields.entries
    connection.execute(
        _KEEP_ENTRIES,
        {
            "issuer": list_issuer,
            "serials": [entry.serial_number for entry in entries],
            "reasons": [_reason(lodged, entry) for entry in entries],
            "at": [entry.revoked_at for entry in entries],
        },
    )


def _reason(lodged: LodgedList, entry: Entry) -> str:
    """Why a certificate has status R, as its event says."""
    return f"on {lodged}: {entry.reason}, revoked at {entry.revoked_at:%Y-%m-%d %H:%M:%S} UTC"


def _revoke(
    connection: Connection,
    fields: RevocationListFields,
    lodged: LodgedList,
    origin: str,
    recorded_at: datetime | None,
) -> ListLodgement:
    statuses = lock_statuses(connection, fields.issuer, {entry.serial_number for entry in fields.entries})
    changes = [
        StatusChange(
            CertificateReference(entry.serial_number, fields.issuer),
            Status.REVOKED,
            _reason(lodged, entry),
            recorded_at,
        )
        for entry in fields.entries
        if statuses.get(entry.serial_number) not in (None, Status.EXPIRED)
    ]
    try:
        revoked = apply_changes(connection, changes)
    except TransitionRefusedError as error:
        raise RevocationListRefusedError(
            str(fields),
            f"{error.item} is on it, and {error.rule}",
            next_step="ask its issuer why the certificate is listed.",
        ) from error
    return ListLodgement(
        lodged=lodged,
        origin=origin,
        revoked=revoked,
        revoked_before=len(changes) - revoked,
        expired=tuple(serial for serial, status in statuses.items() if status is Status.EXPIRED),
        unknown=tuple(entry.serial_number for entry in fields.entries if entry.serial_number not in statuses),
    )


_FACTS = (
    select(
        *(column for column in revocation_list.c if column.name not in ("issuer_id", "body")),
        issuer.c.name,
        issuer.c.display,
    )
    .join(issuer, issuer.c.id == revocation_list.c.issuer_id)
    .order_by(revocation_list.c.id.desc())
)


def _lists(connection: Connection, *conditions: Any, limit: int | None = None) -> list[LodgedList]:
    """Newest first."""
    query = _FACTS.add_columns(revocation_list.c.body).where(*conditions).limit(limit)
    return [LodgedList(**_facts(row), body=row.body) for row in connection.execute(query)]


def _facts(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": ListKind(row.kind),
        "issuer": row.name,
        "issuer_display": row.display,
        "number": int(row.number),
        "this_update": row.this_update.astimezone(UTC),
        "next_update": row.next_update.astimezone(UTC),
        "entries": row.entries,
        "lodged_at": row.lodged_at.astimezone(UTC),
    }


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    """The psycopg connection below, in the same transaction."""
    return connection.connection.driver_connection  # type: ignore[return-value]
