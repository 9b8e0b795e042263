"""Changes of status: which are legal, and how one is recorded.

* P pending may become I, N, E or R; I in use and N not in use may become each other, E or R; E expired and R revoked
  are final. (Appendix O, Annex B names the letters; the transitions are our reading of them.)
* A Device Certificate is never revoked: the Device Certificate Policy knows no revocation list.
* The certificate's row is locked before its event is written, so the events of one certificate stand in the order in
  which they took effect, whatever clock wrote their times.
* A change of several certificates is one transaction: one refused change refuses all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, bindparam, func, insert, select, update

from smki.certificates.model import CertificateClass, Status
from smki.errors import TransitionRefusedError, UnknownCertificateError
from smki.repository.database import lost_connections
from smki.repository.tables import certificate, issuer, status_event

LEGAL: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.IN_USE, Status.NOT_IN_USE, Status.EXPIRED, Status.REVOKED}),
    Status.IN_USE: frozenset({Status.NOT_IN_USE, Status.EXPIRED, Status.REVOKED}),
    Status.NOT_IN_USE: frozenset({Status.IN_USE, Status.EXPIRED, Status.REVOKED}),
    Status.EXPIRED: frozenset(),
    Status.REVOKED: frozenset(),
}
_EXPIRE_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class CertificateReference:
    """Names one certificate: issuer and serial number are unique together."""

    serial_number: bytes  # big-endian magnitude
    issuer: bytes | None = None  # the issuer's Name, DER; None where the serial number is enough

    def __str__(self) -> str:
        return f"certificate {self.serial_number.hex().upper()}"


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A certificate's new status."""

    reference: CertificateReference
    status: Status
    reason: str
    recorded_at: datetime | None = None  # UTC; None: the database's clock


def check_transition(item: str, certificate_class: CertificateClass, old: Status, new: Status) -> None:
    """Raises TransitionRefusedError unless a certificate of that class may go from `old` to `new`."""
    if new not in LEGAL[old]:
        allowed = ", ".join(sorted(LEGAL[old])) or "nothing: it is final"
        raise TransitionRefusedError(
            item, f"status {old} may become {allowed}, not {new}.", "No status was changed.", "check the serial number."
        )
    if new is Status.REVOKED and certificate_class is CertificateClass.DEVICE:
        raise TransitionRefusedError(
            item, "a Device Certificate is not revocable.", "No status was changed.", "set N when the Device is removed."
        )


def set_statuses(engine: Engine, changes: Sequence[StatusChange]) -> int:
    """Makes all the changes, in order, or none; returns how many certificates got an event.

    A certificate that has the status already is left alone. Raises UnknownCertificateError, TransitionRefusedError,
    RepositoryUnavailableError.
    """
    with lost_connections(), engine.begin() as connection:
        return sum(_set_status(connection, change) for change in changes)


def _set_status(connection: Connection, change: StatusChange) -> int:
    query = select(certificate.c.id, certificate.c["class"], certificate.c.status).where(
        certificate.c.serial_number == change.reference.serial_number
    )
    if change.reference.issuer is not None:
        query = query.where(certificate.c.issuer_id == issuer.c.id, issuer.c.name == change.reference.issuer)
    rows = connection.execute(query.with_for_update(of=certificate)).all()
    if len(rows) != 1:
        found = "no certificate has this serial number" if not rows else f"{len(rows)} issuers used this serial number"
        raise UnknownCertificateError(
            str(change.reference), f"{found}.", "No status was changed.", "check the number, or name the issuer with --issuer."
        )
    certificate_id, certificate_class, old = rows[0]
    if old == change.status:
        return 0
    check_transition(str(change.reference), CertificateClass(certificate_class), Status(old), change.status)
    _record(connection, [certificate_id], change.status, change.reason, change.recorded_at)
    return 1


def expire(engine: Engine, now: datetime) -> int:
    """Gives status E to every certificate whose notAfter lies before `now` (UTC); returns how many."""
    due = (
        select(certificate.c.id)
        .where(certificate.c.not_after < now, certificate.c.status.not_in([Status.EXPIRED, Status.REVOKED]))
        .order_by(certificate.c.id)
        .limit(_EXPIRE_BATCH)
        .with_for_update()
    )
    expired = 0
    while True:
        with lost_connections(), engine.begin() as connection:
            ids = connection.execute(due).scalars().all()
            if not ids:
                return expired
            _record(connection, ids, Status.EXPIRED, "notAfter has passed", None)
            expired += len(ids)


def _record(
    connection: Connection, ids: Sequence[int], status: Status, reason: str, recorded_at: datetime | None
) -> None:
    connection.execute(
        update(certificate).where(certificate.c.id == bindparam("certificate")).values(status=status),
        [{"certificate": certificate_id} for certificate_id in ids],
    )
    connection.execute(
        insert(status_event).values(
            certificate_id=bindparam("certificate"),
            status=status,
            reason=reason,
            recorded_at=func.coalesce(recorded_at, func.clock_timestamp()),
        ),
        [{"certificate": certificate_id} for certificate_id in ids],
    )
