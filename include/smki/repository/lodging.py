"""Lodges certificates, in bulk and one by one the same way.

* The same certificate again changes nothing.
* Another body under the same issuer and serial number is a conflict: the lodged one stands.
* What cannot be lodged goes to `rejected_lodgement` with its bytes and the reason, and the rest of the batch is lodged.
  A private key's bytes go nowhere.
* Each batch is one transaction; an interrupted run is simply run again.
* Lodging is a certificate's first status event, in the same transaction.
* A certificate that its issuer's current revocation list names is lodged with status R, unless it is offered as E. A
  Device Certificate is not revocable, so no list is asked.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

import psycopg
import pyarrow as pa
from asn1crypto import x509
from sqlalchemy import Engine

from smki.certificates.batch_reading import REFUSED, BatchReader, FieldBatch
from smki.certificates.model import CertificateClass, Status
from smki.certificates.names import comparable_name
from smki.certificates.reading import is_private_key
from smki.errors import CertificateRefusedError, DataError, PrivateKeyRefusedError
from smki.repository.database import session

_BATCH = 20_000  # certificates a transaction: tens of MB, whatever is lodged
_BATCH_BYTES = 64 << 20  # of their bodies: a certificate may have 64 KiB, real ones have some hundred bytes
_ANALYSE_FROM = 100_000  # certificates after which the planner's statistics are renewed at once
_LISTED = 100  # refusals that a report spells out; all of them are in rejected_lodgement


@dataclass(frozen=True, slots=True)
class Lodgement:
    """A certificate that is offered to the repository."""

    body: bytes  # DER
    origin: str  # where it came from, for reports
    status: Status = Status.IN_USE
    manufacturing: bool = False
    recorded_at: datetime | None = None  # UTC; None: the database's clock


@dataclass(frozen=True, slots=True)
class RevocationListOffer:
    body: bytes  # DER
    origin: str  # where it came from, for reports


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that was not lodged; `body` is empty where there are none, or where they must not be kept."""

    body: bytes
    origin: str
    error: DataError


@dataclass(slots=True)
class LodgingReport:
    """What became of the certificates that were offered."""

    lodged: int = 0
    already_there: int = 0
    refused: int = 0
    classes: Counter[str] = field(default_factory=Counter)  # of what was lodged
    refusals: list[Refusal] = field(default_factory=list)  # the first hundred

    @property
    def offered(self) -> int:
        return self.lodged + self.already_there + self.refused


# Held by whoever lodges certificates, and alone by whoever lodges a list: each sees all that the other has lodged.
LISTS_LOCK = "hashtextextended('smki revocation lists', 0)"
_SESSION = "SET temp_buffers = '64MB'; SET work_mem = '64MB'"  # a batch stays in memory
_STAGING = """
CREATE TEMPORARY TABLE IF NOT EXISTS lodging (
  ordinal int, class text, issuer_id int, serial_number bytea, eui64 bytea, common_name text, role int2, usage text,
  manufacturing bool, not_after timestamptz, body bytea, status text, note text, recorded_at timestamptz
) ON COMMIT DELETE ROWS
"""
_COPY = "COPY lodging FROM STDIN (FORMAT BINARY)"
_COPY_TYPES = (
    *("int4", "text", "int4", "bytea", "bytea", "text", "int2", "text"),
    *("bool", "timestamptz", "bytea", "text", "text", "timestamptz"),
)

_INSERT = """
WITH listed AS (
  SELECT issuer_id, serial_number, l.reason FROM lodging JOIN listed_certificate l USING (issuer_id, serial_number)
  WHERE class <> 'DEVICE' AND status <> 'E'
), lodged AS (
  INSERT INTO certificate (class, issuer_id, serial_number, eui64, common_name, role, usage, manufacturing, not_after,
                           body, status, note, lodged_at)
  SELECT class, issuer_id, serial_number, eui64, common_name, role, usage, manufacturing, not_after,
         body, CASE WHEN listed.reason IS NULL THEN status ELSE 'R' END, note, coalesce(recorded_at, clock_timestamp())
  FROM lodging LEFT JOIN listed USING (issuer_id, serial_number) ORDER BY ordinal
  ON CONFLICT (issuer_id, serial_number) DO NOTHING
  RETURNING id, class, status, lodged_at, issuer_id, serial_number
), event AS (
  INSERT INTO status_event (certificate_id, status, reason, recorded_at)
  SELECT id, status, concat_ws(', ', 'lodged', listed.reason), lodged_at
  FROM lodged LEFT JOIN listed USING (issuer_id, serial_number) ORDER BY id
)
SELECT class, count(*) FROM lodged GROUP BY class
"""
_INSERT_ISSUER = "INSERT INTO issuer (name, comparable, display) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
_CONFLICTS = """
SELECT l.ordinal FROM lodging l JOIN certificate c USING (issuer_id, serial_number)
WHERE c.body <> l.body ORDER BY l.ordinal
"""
_REJECT = """
INSERT INTO rejected_lodgement (sha256, body, origin, reason) VALUES (%s, %s, %s, %s)
ON CONFLICT (sha256) DO UPDATE
SET offers = rejected_lodgement.offers + 1, last_offered_at = clock_timestamp(), origin = excluded.origin,
    reason = excluded.reason
"""


def lodge(
    engine: Engine,
    offers: Iterable[Lodgement | Refusal],
    *,
    ca_class: CertificateClass | None = None,
    progress: Callable[[int], None] = lambda _done: None,
) -> LodgingReport:
    """Lodges what is offered, in its order; `progress` hears the number of offers dealt with after each batch.

    `ca_class` is the class of CA certificates whose name does not say it. A `Refusal` among the offers (a file that its
    reader could not make sense of) is recorded like any other. Raises RepositoryUnavailableError.
    """
    report = LodgingReport()
    reader = BatchReader(ca_class)
    issuers: dict[bytes, int] = {}
    remaining = iter(offers)
    with session(engine) as connection:
        connection.exec_driver_sql(_SESSION)
        connection.commit()
        database: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
        with ThreadPoolExecutor(1) as ahead:  # reads the next batch while PostgreSQL stores this one
            upcoming = ahead.submit(_read_batch, remaining, reader)
            while (batch := upcoming.result()) is not None:
                upcoming = ahead.submit(_read_batch, remaining, reader)
                with database.transaction():
                    _lodge_batch(database, batch, issuers, report)
                progress(report.offered)
        if report.lodged >= _ANALYSE_FROM:
            database.execute("ANALYZE certificate, status_event, body_hash")
            database.commit()
    return report


@dataclass(frozen=True, slots=True)
class _Batch:
    offers: list[Lodgement]
    fields: FieldBatch  # of the offers
    refusals: list[Refusal]


def _read_batch(remaining: Iterator[Lodgement | Refusal], reader: BatchReader) -> _Batch | None:
    batch: list[Lodgement | Refusal] = []
    size = 0
    for offer in islice(remaining, _BATCH):
        batch.append(offer)
        size += len(offer.body)
        if size > _BATCH_BYTES:
            break
    if not batch:
        return None
    refusals = [offer for offer in batch if isinstance(offer, Refusal)]
    offers = [offer for offer in batch if isinstance(offer, Lodgement)]
    fields = reader.read(pa.array([offer.body for offer in offers], pa.binary()))
    _refuse_revoked_devices(offers, fields)
    refusals += [_refusal(offers[row], error) for row, error in sorted(fields.refused.items())]
    return _Batch(offers, fields, refusals)


def _refuse_revoked_devices(offers: list[Lodgement], fields: FieldBatch) -> None:
    """Marks as refused what no change of status could have led to (see `status`)."""
    for row, offer in enumerate(offers):
        if offer.status is not Status.REVOKED or row in fields.refused:
            continue
        if fields.profiles[fields.profile[row]].certificate_class is CertificateClass.DEVICE:
            fields.profile[row] = REFUSED
            fields.refused[row] = CertificateRefusedError(
                "certificate",
                "a Device Certificate is not revocable, and it is offered with status R.",
                next_step="find out what became of the Device and lodge it with that status.",
            )


def _lodge_batch(
    database: psycopg.Connection[Any], batch: _Batch, issuers: dict[bytes, int], report: LodgingReport
) -> None:
    offers, fields, refusals = batch.offers, batch.fields, batch.refusals
    database.execute(f"SELECT pg_advisory_xact_lock_shared({LISTS_LOCK})")
    issuer_ids = [issuer_id(database, profile.issuer, issuers) for profile in fields.profiles]

    database.execute(_STAGING)
    with database.cursor().copy(_COPY) as copy:
        copy.set_types(_COPY_TYPES)
        for row in _rows(offers, fields, issuer_ids):
            copy.write_row(row)
    lodged = dict(database.execute(_INSERT).fetchall())
    rest = len(offers) - len(fields.refused) - sum(lodged.values())
    conflicts = [_conflict(offers[ordinal]) for (ordinal,) in database.execute(_CONFLICTS)] if rest else []
    refusals = refusals + conflicts
    if refusals:
        keep_refused(database, refusals)

    report.lodged += sum(lodged.values())
    report.already_there += rest - len(conflicts)
    report.refused += len(refusals)
    report.classes.update(lodged)
    report.refusals += refusals[: _LISTED - len(report.refusals)]


def _rows(offers: list[Lodgement], fields: FieldBatch, issuer_ids: list[int]) -> Iterator[tuple[object, ...]]:
    serials, eui64s = fields.serial_numbers.to_pylist(), fields.eui64s.to_pylist()
    for ordinal, (offer, profile_index) in enumerate(zip(offers, fields.profile.tolist(), strict=True)):
        if profile_index == REFUSED:
            continue
        profile = fields.profiles[profile_index]
        yield (
            ordinal,
            profile.certificate_class,
            issuer_ids[profile_index],
            serials[ordinal],
            eui64s[ordinal],
            profile.common_name,
            profile.role,
            profile.usage,
            offer.manufacturing,
            profile.not_after,
            offer.body,
            offer.status,
            profile.note,
            offer.recorded_at,
        )


def keep_refused(database: psycopg.Connection[Any], refusals: Iterable[Refusal]) -> None:
    """Puts what was refused into `rejected_lodgement`, with its reason; a private key's bytes go nowhere."""
    with database.cursor() as cursor:
        cursor.executemany(_REJECT, [_rejected_row(refusal) for refusal in refusals if _may_be_kept(refusal)])


def issuer_id(database: psycopg.Connection[Any], name: bytes, known: dict[bytes, int]) -> int:
    """The id of an issuer, whose Name (DER) may be spelled in any way, given on first sight; `known` remembers it."""
    if name not in known:
        comparable, display = comparable_name(name), _storable(x509.Name.load(name).human_friendly)
        database.execute(_INSERT_ISSUER, [name, comparable, display])
        row = database.execute("SELECT id FROM issuer WHERE comparable = %s", [comparable]).fetchone()
        assert row is not None  # noqa: S101  # just inserted or there before
        known[name] = row[0]
    return known[name]


def _refusal(offer: Lodgement, error: CertificateRefusedError) -> Refusal:
    return Refusal(b"" if isinstance(error, PrivateKeyRefusedError) else offer.body, offer.origin, error)


def _may_be_kept(refusal: Refusal) -> bool:
    """Whether no private key is among the bytes, for whatever reason they were refused."""
    return not isinstance(refusal.error, PrivateKeyRefusedError) and not is_private_key(refusal.body)


def _storable(text: str) -> str:
    """A text as PostgreSQL takes it: no NUL, no half of a surrogate pair."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def _conflict(offer: Lodgement) -> Refusal:
    error = CertificateRefusedError(
        "certificate",
        "another certificate is lodged under the same issuer and serial number (RFC 5280, 4.1.2.2).",
        "The lodged one stands; these bytes and this reason are kept.",
        next_step="ask the issuer which of the two it issued.",
    )
    return Refusal(offer.body, offer.origin, error)


def _rejected_row(refusal: Refusal) -> tuple[bytes, bytes, str, str]:
    origin, reason = _storable(refusal.origin), _storable(str(refusal.error))
    return hashlib.sha256(refusal.body).digest(), refusal.body, origin, reason
