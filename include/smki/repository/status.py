"""Changes of status: which are legal, and how one is recorded.

* P pending may become I, N, E or R; I in use and N not in use may become each other, E or R; E expired and R revoked
  are final. A status that is set again changes nothing. Closing a window makes E of what has expired by its cut-off
  (`windows`). (Appendix O, Annex B names the letters; the transitions are our reading of them.)
* A Device Certificate is never revoked: the Device Certificate Policy knows no revocation list.
* The certificate's row is locked before its event is written, so the events of one certificate stand in the order in
  which they took effect, whatever clock wrote their times.
* A change of several certificates is one transaction: one refused change refuses all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Connection,
    Engine,
    LargeBinary,
    any_,
    bindparam,
    select,
    text,
)

from smki.certificates.model import CertificateClass, Status
from smki.certificates.names import comparable_name, is_named
from smki.errors import TransitionRefusedError, UnknownCertificateError
from smki.repository.database import reading, writing
from smki.repository.tables import NEVER_EXPIRES, certificate, issuer

LEGAL: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.IN_USE, Status.NOT_IN_USE, Status.EXPIRED, Status.REVOKED}),
    Status.IN_USE: frozenset({Status.NOT_IN_USE, Status.EXPIRED, Status.REVOKED}),
    Status.NOT_IN_USE: frozenset({Status.IN_USE, Status.EXPIRED, Status.REVOKED}),
    Status.EXPIRED: frozenset(),
    Status.REVOKED: frozenset(),
}
# Arrays, as a revocation list may change 100,000 certificates at once.
_UPDATE = text(
    """
    UPDATE certificate SET status = latest.status
    FROM unnest(CAST(:ids AS bigint[]), CAST(:statuses AS text[])) latest (id, status) WHERE certificate.id = latest.id
    """
)
_INSERT = text(
    """
    INSERT INTO status_event (certificate_id, status, reason, recorded_at)
    SELECT id, status, reason, coalesce(given, clock_timestamp())
    FROM unnest(
      CAST(:ids AS bigint[]), CAST(:statuses AS text[]), CAST(:reasons AS text[]), CAST(:given AS timestamptz[])
    ) WITH ORDINALITY event (id, status, reason, given, place) ORDER BY place
    """
)
# Entry by entry: there are few beside the certificates.
_LISTED = text(
    """
    SELECT found.id, l.reason FROM listed_certificate l CROSS JOIN LATERAL (
      SELECT id FROM certificate c WHERE (c.issuer_id, c.serial_number) = (l.issuer_id, l.serial_number)
        AND c.class <> 'DEVICE' AND c.status NOT IN ('E', 'R') OFFSET 0
    ) found
    """
)
FINAL = (Status.EXPIRED, Status.REVOKED)
_EXPIRE_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class CertificateReference:
    """Names one certificate: issuer and serial number are unique together."""

    serial_number: bytes  # big-endian magnitude
    issuer: bytes | None = None  # the issuer's Name, DER, in any spelling; None where the serial number is enough

    def __str__(self) -> str:
        return f"certificate {self.serial_number.hex().upper()}"


@dataclass(frozen=True, slots=True)
class StatusChange:
    reference: CertificateReference
    status: Status
    reason: str
    recorded_at: datetime | None = None  # UTC; None: the database's clock


def check_transition(item: str, certificate_class: CertificateClass, old: Status, new: Status) -> None:
    """Raises TransitionRefusedError unless a certificate of that class may go from `old` to `new`."""
    if new not in LEGAL[old]:
        allowed = ", ".join(sorted(LEGAL[old])) or "nothing: it is final"
        raise TransitionRefusedError(item, f"status {old} may become {allowed}, not {new}.")
    if new is Status.REVOKED and certificate_class is CertificateClass.DEVICE:
        raise TransitionRefusedError(
            item, "a Device Certificate is not revocable.", next_step="set N when the Device is removed."
        )


def find_issuer(engine: Engine, stated: str) -> bytes:
    """The Name (DER) of the issuer that a text names: as RFC 4514 writes it, or by its common name alone.

    Raises UnknownCertificateError, RepositoryUnavailableError.
    """
    with reading(engine) as connection:
        issuers = connection.execute(select(issuer.c.name, issuer.c.display).order_by(issuer.c.id)).all()
    found = [one for one in issuers if is_named(one.name, stated)]
    if len(found) != 1:
        those = "; ".join(one.display for one in found or issuers) or "none"
        rule = f"{len(found) or 'no'} issuers are called so; there are: {those}."
        raise UnknownCertificateError(f"issuer {stated!r}", rule, next_step="state it as CN=…,OU=….")
    name: bytes = found[0].name
    return name


def set_statuses(engine: Engine, changes: Sequence[StatusChange]) -> int:
    """Makes all the changes, in order, or none; returns how many took place.

    A certificate that has the status already is left alone. Raises UnknownCertificateError, TransitionRefusedError,
    RepositoryUnavailableError.
    """
    with writing(engine) as connection:
        return apply_changes(connection, changes)


def apply_changes(connection: Connection, changes: Sequence[StatusChange]) -> int:
    """Like `set_statuses`, within the caller's transaction, which an error has to end."""
    found = _lock(connection, {change.reference.serial_number for change in changes})
    events: list[_Event] = []
    for change in changes:
        lodged = _only(change.reference, found)
        if lodged.status is not change.status:
            check_transition(str(change.reference), lodged.certificate_class, lodged.status, change.status)
            lodged.status = change.status
            events.append(_Event(lodged.id, change.status, change.reason, change.recorded_at))
    _record(connection, events)
    return len(events)


def lock_statuses(connection: Connection, issuer_name: bytes, serial_numbers: set[bytes]) -> dict[bytes, Status]:
    """Status by serial number of those of an issuer's certificates that are lodged; it stays so until the caller's
    transaction ends.
    """
    found, wanted = _lock(connection, serial_numbers), comparable_name(issuer_name)
    return {
        lodged.serial_number: lodged.status
        for candidates in found.values()
        for lodged in candidates
        if lodged.issuer == wanted
    }


@dataclass(slots=True)
class _Lodged:
    """A certificate whose row is locked."""

    id: int
    certificate_class: CertificateClass
    status: Status  # as of the changes made so far
    serial_number: bytes
    issuer: bytes  # its comparable name


@dataclass(frozen=True, slots=True)
class _Event:
    certificate_id: int
    status: Status
    reason: str
    recorded_at: datetime | None


def _lock(connection: Connection, serial_numbers: set[bytes]) -> dict[bytes, list[_Lodged]]:
    """The certificates with these serial numbers, locked in id order so that two calls cannot block each other."""
    query = (
        select(
            certificate.c.id,
            certificate.c["class"],
            certificate.c.status,
            certificate.c.serial_number,
            issuer.c.comparable,
        )
        .join(issuer, issuer.c.id == certificate.c.issuer_id)
        .where(certificate.c.serial_number == any_(bindparam("serials", list(serial_numbers), ARRAY(LargeBinary))))
        .order_by(certificate.c.id)
        .with_for_update(of=certificate)
    )
    found: dict[bytes, list[_Lodged]] = {}
    for row in connection.execute(query) if serial_numbers else ():
        lodged = _Lodged(row[0], CertificateClass(row[1]), Status(row[2]), row[3], row[4])
        found.setdefault(lodged.serial_number, []).append(lodged)
    return found


def _only(reference: CertificateReference, found: dict[bytes, list[_Lodged]]) -> _Lodged:
    candidates = [
        lodged
        for lodged in found.get(reference.serial_number, ())
        if reference.issuer is None or lodged.issuer == comparable_name(reference.issuer)
    ]
    if len(candidates) != 1:
        problem = f"{len(candidates)} issuers used this serial number" if candidates else "no certificate has it"
        raise UnknownCertificateError(str(reference), f"{problem}.")
    return candidates[0]


def revoke_listed(connection: Connection) -> int:
    """Gives status R to what a revocation list names and is lodged otherwise; how many certificates these are.

    Such is what others published, which is lodged as they did.
    """
    reasons: dict[int, str] = {row.id: row.reason for row in connection.execute(_LISTED)}
    if not reasons:
        return 0
    named = certificate.c.id == any_(bindparam("ids", list(reasons), ARRAY(BigInteger)))
    ids = select(certificate.c.id).where(named, certificate.c.status.not_in(FINAL))
    locked = connection.execute(ids.order_by(certificate.c.id).with_for_update()).scalars().all()
    _record(connection, [_Event(one, Status.REVOKED, reasons[one], None) for one in locked])
    return len(locked)


def expire(engine: Engine, now: datetime) -> int:
    """Gives status E to every certificate whose notAfter lies before `now` (UTC); returns how many."""
    due = (
        select(certificate.c.id)
        .where(
            certificate.c.not_after < now,
            certificate.c.not_after < text(NEVER_EXPIRES),
            certificate.c.status.not_in(FINAL),
        )
        .order_by(certificate.c.id)
        .limit(_EXPIRE_BATCH)
        .with_for_update()
    )
    expired = 0
    while True:
        with writing(engine) as connection:
            ids = connection.execute(due).scalars().all()
            if not ids:
                return expired
            _record(connection, [_Event(i, Status.EXPIRED, "notAfter has passed", None) for i in ids])
            expired += len(ids)


def _record(connection: Connection, events: Sequence[_Event]) -> None:
    """Writes the events, and each certificate's last one to its row."""
    if not events:
        return
    latest = {event.certificate_id: event.status for event in events}
    connection.execute(_UPDATE, {"ids": list(latest), "statuses": list(map(str, latest.values()))})
    values = {
        "ids": [event.certificate_id for event in events],
        "statuses": [str(event.status) for event in events],
        "reasons": [event.reason for event in events],
        "given": [event.recorded_at for event in events],
    }
    connection.execute(_INSERT, values)
