"""Lodges certificates, in bulk and one by one the same way.

* A certificate is lodged when it verifies under a lodged authority (see `authorities`), in whatever order both are
  offered: what names an issuer that is not known yet waits, on disk, until all else has been looked at.
* Another body under the same issuer and serial number is a conflict: the lodged one stands.
* The same certificate again is there already and is not verified again, so an interrupted run is simply run again. Each
  status that is stated beside it, in the order in which they are looked at, and that may follow the one before it is
  applied with an event. N becomes I again only where the offers are known to be later than what is lodged: an older
  file must not bring a certificate back. Its ManufacturingFlag is what it was lodged with; another one is refused.
* What cannot be lodged goes to `rejected_lodgement` with its bytes and the reason, and the rest of the batch is lodged.
  A private key's bytes go nowhere. So what is offered is lodged, or there already, or kept with its reason.
* Each batch is one transaction. Lodging is a certificate's first status event, in the same transaction.
* A certificate that its issuer's current revocation list names is lodged with status R, unless it is offered as E. A
  Device Certificate is not revocable, so no list is asked. What others published is lodged as they did: the next window
  of our own asks the lists.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
from asn1crypto import x509
from sqlalchemy import Engine

from smki.certificates.batch_reading import REFUSED, BatchReader, FieldBatch
from smki.certificates.model import CertificateClass, CertificateFields, Status
from smki.certificates.names import comparable_name
from smki.errors import CertificateRefusedError, PrivateKeyRefusedError, UnknownIssuerError
from smki.repository.authorities import Authorities, load_authorities
from smki.repository.database import session
from smki.repository.offers import Lodgement, Refusal, Waiting, keep_refused, storable
from smki.repository.status import LEGAL

_BATCH = 20_000  # certificates a transaction: tens of MB, whatever is lodged
_BATCH_BYTES = 64 << 20  # of their bodies: a certificate may have 64 KiB, real ones have some hundred bytes
_AT_ONCE = 500  # signatures that a thread verifies before it looks for more
_ANALYSE_FROM = 100_000  # certificates after which the planner's statistics are renewed at once
_LISTED = 100  # refusals that a report spells out; all of them are in rejected_lodgement


@dataclass(slots=True)
class LodgingReport:
    """What became of the certificates that were offered."""

    lodged: int = 0
    already_there: int = 0
    refused: int = 0
    changed: int = 0  # of those already there: status changed to the one offered
    kept_status: int = 0  # of those already there: the lodged status is later than the one offered, and stands
    classes: Counter[str] = field(default_factory=Counter)  # of what was lodged
    refusals: list[Refusal] = field(default_factory=list)  # the first hundred

    @property
    def offered(self) -> int:
        return self.lodged + self.already_there + self.refused


# Held by whoever lodges certificates, and alone by whoever lodges a list: each sees all that the other has lodged.
LISTS_LOCK = "hashtextextended('smki revocation lists', 0)"
# Joins with what is lodged go by its index: a batch has no statistics, and a scan of all would be planned for it.
# A batch stays in memory.
_SESSION = "SET enable_hashjoin = off; SET enable_mergejoin = off; SET temp_buffers = '64MB'; SET work_mem = '64MB'"
_STAGING = """
CREATE TEMPORARY TABLE IF NOT EXISTS lodging (
  ordinal int, class text, issuer_id int, serial_number bytea, eui64 bytea, common_name text, role int2, usage text,
  manufacturing bool, not_after timestamptz, body bytea, status text, note text, recorded_at timestamptz,
  stated bool, known bool DEFAULT false
) ON COMMIT DELETE ROWS
"""
_COPY = """
COPY lodging (ordinal, class, issuer_id, serial_number, eui64, common_name, role, usage, manufacturing, not_after, body,
              status, note, recorded_at, stated)
FROM STDIN (FORMAT BINARY)
"""
_COPY_TYPES = (
    *("int4", "text", "int4", "bytea", "bytea", "text", "int2", "text"),
    *("bool", "timestamptz", "bytea", "text", "text", "timestamptz", "bool"),
)

_KNOWN = """
UPDATE lodging l SET known = true FROM certificate c
WHERE (c.issuer_id, c.serial_number) = (l.issuer_id, l.serial_number) AND c.body = l.body
RETURNING l.ordinal
"""
_INSERT = """
WITH listed AS (
  SELECT DISTINCT ON (issuer_id, serial_number) issuer_id, serial_number, l.reason
  FROM lodging JOIN listed_certificate l USING (issuer_id, serial_number)
  WHERE class <> 'DEVICE' AND NOT %(later)s ORDER BY issuer_id, serial_number
), lodged AS (
  INSERT INTO certificate (class, issuer_id, serial_number, eui64, common_name, role, usage, manufacturing, not_after,
                           body, status, note, lodged_at)
  SELECT class, issuer_id, serial_number, eui64, common_name, role, usage, coalesce(manufacturing, false), not_after,
         body, CASE WHEN listed.reason IS NULL OR status = 'E' THEN status ELSE 'R' END, note,
         coalesce(recorded_at, clock_timestamp())
  FROM lodging LEFT JOIN listed USING (issuer_id, serial_number) ORDER BY ordinal
  ON CONFLICT (issuer_id, serial_number) DO NOTHING
  RETURNING id, class, status, lodged_at, issuer_id, serial_number
), event AS (
  INSERT INTO status_event (certificate_id, status, reason, recorded_at)
  SELECT id, status, concat_ws(', ', 'lodged', CASE status WHEN 'R' THEN listed.reason END), lodged_at
  FROM lodged LEFT JOIN listed USING (issuer_id, serial_number) ORDER BY id
)
SELECT class, count(*) FROM lodged GROUP BY class
"""
_INSERT_ISSUER = "INSERT INTO issuer (name, comparable, display) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
_CONFLICTS = """
SELECT l.ordinal FROM lodging l JOIN certificate c USING (issuer_id, serial_number)
WHERE c.body <> l.body ORDER BY l.ordinal
"""
# Only these are looked at one by one.
_STATED_OTHERWISE = """
SELECT DISTINCT c.id FROM lodging l JOIN certificate c USING (issuer_id, serial_number)
WHERE c.body = l.body
  AND (l.stated AND (c.status <> l.status OR (%(later)s AND l.known)) OR l.manufacturing <> c.manufacturing)
"""
_STATED = """
SELECT c.id, l.ordinal, c.status, l.status, l.stated, l.known, l.recorded_at, l.manufacturing <> c.manufacturing
FROM lodging l JOIN certificate c USING (issuer_id, serial_number)
WHERE c.body = l.body AND c.id = ANY(%(ids)s::bigint[]) ORDER BY c.id, l.ordinal FOR UPDATE OF c
"""
_CHANGE = """
WITH change AS (
  SELECT * FROM unnest(%(ids)s::bigint[], %(statuses)s::text[], %(times)s::timestamptz[])
  WITH ORDINALITY AS change (id, status, recorded_at, number)
), newest AS (SELECT DISTINCT ON (id) id, status FROM change ORDER BY id, number DESC), changed AS (
  UPDATE certificate c SET status = n.status FROM newest n WHERE c.id = n.id AND c.status <> n.status
)
INSERT INTO status_event (certificate_id, status, reason, recorded_at)
SELECT id, status, 'stated when it was offered again', coalesce(recorded_at, clock_timestamp())
FROM change ORDER BY number
"""
_BACK_IN_USE = Status.NOT_IN_USE + Status.IN_USE
_LATER_MOVES = [old + new for old, allowed in LEGAL.items() for new in allowed]
_MOVES = [move for move in _LATER_MOVES if move != _BACK_IN_USE]


def lodge(
    engine: Engine,
    offers: Iterable[Lodgement | Refusal],
    *,
    later: bool = False,
    progress: Callable[[int], object] = lambda _done: None,
) -> LodgingReport:
    """Lodges what is offered, in its order but authorities first; `progress` hears after each batch how many are done.

    `later`: every status that is stated is later than all that is lodged, and is an event even where it is the same. A
    `Refusal` among the offers (a file that its reader could not make sense of) is recorded like any other. Raises
    RepositoryUnavailableError.
    """
    with session(engine) as connection, ThreadPoolExecutor(len(os.sched_getaffinity(0))) as verifying:
        connection.exec_driver_sql(_SESSION)
        authorities = load_authorities(connection)
        connection.commit()
        database: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
        run = _Run(database, authorities, verifying, later, progress)
        waiting = Waiting()
        run.lodge_all(offers, waiting)
        while waiting.count and run.is_anything_new:
            offers, waiting = waiting.offers(), Waiting()
            run.lodge_all(offers, waiting)
        run.lodge_all(waiting.offers(), None)
        if run.report.lodged >= _ANALYSE_FROM:
            database.execute("ANALYZE certificate, status_event, body_hash")
            database.commit()
    return run.report


@dataclass(slots=True)
class _Batch:
    offers: list[Lodgement]
    fields: FieldBatch  # of the offers
    refusals: list[Refusal]

    def profile(self, row: int) -> CertificateFields:
        return self.fields.profiles[int(self.fields.profile[row])]

    def rows(self, wanted: Callable[[int, CertificateFields], bool]) -> list[int]:
        """The rows of certificates whose profile, of that number, is wanted."""
        chosen = [wanted(number, profile) for number, profile in enumerate(self.fields.profiles)]
        return np.flatnonzero(np.array([*chosen, False])[self.fields.profile]).tolist()  # the last one is for REFUSED

    def refuse(self, row: int, error: CertificateRefusedError) -> None:
        body = b"" if isinstance(error, PrivateKeyRefusedError) else self.offers[row].body
        self.refusals.append(Refusal(body, self.offers[row].origin, error))


class _Run:
    """One call of `lodge`: what it knows, and what became of the offers so far."""

    def __init__(
        self,
        database: psycopg.Connection[Any],
        authorities: Authorities,
        verifying: ThreadPoolExecutor,
        later: bool,
        progress: Callable[[int], object],
    ) -> None:
        self.report = LodgingReport()
        self.is_anything_new = False  # whether the last pass lodged an authority
        self._database, self._authorities, self._verifying = database, authorities, verifying
        self._later, self._progress = later, progress
        self._issuers: dict[bytes, int] = {}
        self._reader = BatchReader()

    def lodge_all(self, offers: Iterable[Lodgement | Refusal], waiting: Waiting | None) -> None:
        """Lodges or refuses what names a known issuer; the rest waits or, having waited, is refused."""
        self.is_anything_new = False
        remaining = iter(offers)
        with ThreadPoolExecutor(1) as ahead:  # reads the next batch while PostgreSQL stores this one
            upcoming = ahead.submit(_read_batch, remaining, self._reader)
            while (batch := upcoming.result()) is not None:
                upcoming = ahead.submit(_read_batch, remaining, self._reader)
                with self._database.transaction():
                    self._lodge_batch(batch, waiting)
                self._progress(self.report.offered)

    def _lodge_batch(self, batch: _Batch, waiting: Waiting | None) -> None:
        self._database.execute(f"SELECT pg_advisory_xact_lock_shared({LISTS_LOCK})")
        unknown = self._lodge_authorities(batch)
        issuers = [self._authorities.issuer_of(profile) for profile in batch.fields.profiles]
        is_known = [one.is_known and (one.has_key or waiting is None) for one in issuers]
        others = batch.rows(lambda number, profile: profile.certificate_class is not None and is_known[number])
        self._store(batch, others, self._find_forged)
        unknown += batch.rows(lambda number, profile: profile.certificate_class is not None and not is_known[number])
        for row in unknown:
            if waiting is not None:
                waiting.add(batch.offers[row])
            else:
                batch.refuse(row, self._authorities.refusal(batch.offers[row].body, batch.profile(row)))
        if batch.refusals:
            keep_refused(self._database, batch.refusals)
        self.report.refused += len(batch.refusals)
        self.report.refusals += batch.refusals[: _LISTED - len(self.report.refusals)]

    def _lodge_authorities(self, batch: _Batch) -> list[int]:
        """Lodges the authorities of a batch, each after those above it; returns the rows of unknown issuers."""
        left = batch.rows(lambda _, profile: profile.certificate_class is None)
        unchecked = False  # only what is left when all others are lodged
        while left:
            classes: dict[int, CertificateClass] = {}
            unknown = []
            for row in left:
                try:
                    classes[row] = self._authorities.class_of(
                        batch.offers[row].body, batch.profile(row), unchecked=unchecked
                    )
                except UnknownIssuerError:
                    unknown.append(row)
                except CertificateRefusedError as error:
                    batch.refuse(row, error)
            for row in self._store(batch, list(classes), lambda _batch, _rows: [], classes):
                self.is_anything_new |= self._authorities.add(batch.offers[row].body, classes[row])
            if not classes and unchecked:
                return unknown
            left, unchecked = unknown, not classes
        return []

    def _store(
        self,
        batch: _Batch,
        rows: list[int],
        find_forged: Callable[[_Batch, list[int]], list[int]],
        classes: Mapping[int, CertificateClass] | None = None,
    ) -> list[int]:
        """Lodges rows of a batch but those that are forged; returns what is in the repository of them now."""
        if not rows:
            return []
        database, report = self._database, self.report
        database.execute(_STAGING)
        issuer_ids = [issuer_id(database, profile.issuer, self._issuers) for profile in batch.fields.profiles]
        with database.cursor().copy(_COPY) as copy:
            copy.set_types(_COPY_TYPES)
            for row in _rows(batch, rows, issuer_ids, classes or {}):
                copy.write_row(row)
        known = {ordinal for (ordinal,) in database.execute(_KNOWN)}
        forged = find_forged(batch, [row for row in rows if row not in known])
        if forged:
            database.execute("DELETE FROM lodging WHERE ordinal = ANY(%s)", [forged])
        lodged = dict(database.execute(_INSERT, {"later": self._later}).fetchall())
        already_there = len(rows) - len(forged) - sum(lodged.values())
        refused = self._look_at_lodged(batch) if already_there else []
        database.execute("DELETE FROM lodging")
        report.lodged += sum(lodged.values())
        report.classes.update(lodged)
        report.already_there += already_there - len(refused)
        gone = {*forged, *refused}
        return [row for row in rows if row not in gone]

    def _find_forged(self, batch: _Batch, rows: list[int]) -> list[int]:
        """The rows whose signatures do not verify, which are refused."""
        issuers = [self._authorities.issuer_of(profile) for profile in batch.fields.profiles]

        def verify(some: Sequence[int]) -> list[int]:
            return [row for row in some if not issuers[batch.fields.profile[row]].admits(batch.offers[row].body)]

        pieces = [rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)]
        forged = [row for found in self._verifying.map(verify, pieces) for row in found]
        for row in forged:
            batch.refuse(row, issuers[batch.fields.profile[row]].refusal())
        return forged

    def _look_at_lodged(self, batch: _Batch) -> list[int]:
        """Applies statuses that are stated for what is there already; returns rows that are refused."""
        refused = [ordinal for (ordinal,) in self._database.execute(_CONFLICTS)]
        for row in refused:
            batch.refuse(row, _conflict())
        ids = [number for (number,) in self._database.execute(_STATED_OTHERWISE, {"later": self._later})]
        changes: list[tuple[int, Status, datetime | None]] = []
        stands: dict[int, str] = {}  # the status that each has by now
        # Prepared, the statement would be planned for any number of ids: each would be looked for in all of them.
        stated_rows = self._database.execute(_STATED, {"ids": ids}, prepare=False) if ids else ()
        for number, row, lodged, status, stated, known, at, is_other_flag in stated_rows:
            is_lodged_now = not known and number not in stands
            stands.setdefault(number, lodged)
            if is_lodged_now:
                continue
            if is_other_flag:
                batch.refuse(row, _other_flag())
                refused.append(row)
            elif not stated or (status == stands[number] and not (self._later and known)):
                continue
            elif status == stands[number] or stands[number] + status in (_LATER_MOVES if self._later else _MOVES):
                changes.append((number, status, at))
                stands[number] = status
            elif self._later or stands[number] + status == _BACK_IN_USE:
                batch.refuse(row, _not_applied(stands[number], status))
                refused.append(row)
            else:
                self.report.kept_status += 1
        if changes:
            of, statuses, times = map(list, zip(*changes, strict=True))
            self._database.execute(_CHANGE, {"ids": of, "statuses": statuses, "times": times})
        self.report.changed += len(changes)
        return refused


def _read_batch(remaining: Iterator[Lodgement | Refusal], reader: BatchReader) -> _Batch | None:
    read: list[Lodgement | Refusal] = []
    size = 0
    for offer in islice(remaining, _BATCH):
        read.append(offer)
        size += len(offer.body)
        if size > _BATCH_BYTES:
            break
    if not read:
        return None
    offers = [offer for offer in read if isinstance(offer, Lodgement)]
    batch = _Batch(
        offers,
        reader.read(pa.array([offer.body for offer in offers], pa.binary())),
        [offer for offer in read if isinstance(offer, Refusal)],
    )
    _refuse_revoked_devices(offers, batch.fields)
    for row, error in sorted(batch.fields.refused.items()):
        batch.refuse(row, error)
    return batch


def _rows(
    batch: _Batch, rows: list[int], issuer_ids: list[int], classes: Mapping[int, CertificateClass]
) -> Iterator[tuple[object, ...]]:
    fields = batch.fields
    serials, eui64s = fields.serial_numbers.to_pylist(), fields.eui64s.to_pylist()
    for row in rows:
        offer, profile = batch.offers[row], batch.profile(row)
        yield (
            row,
            classes.get(row, profile.certificate_class),
            issuer_ids[fields.profile[row]],
            serials[row],
            eui64s[row],
            profile.common_name,
            profile.role,
            profile.usage,
            offer.manufacturing,
            profile.not_after,
            offer.body,
            offer.status or Status.IN_USE,
            profile.note,
            offer.recorded_at,
            offer.status is not None,
        )


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


def issuer_id(database: psycopg.Connection[Any], name: bytes, known: dict[bytes, int]) -> int:
    """The id of an issuer, whose Name (DER) may be spelled in any way, given on first sight; `known` remembers it."""
    if name not in known:
        comparable, display = comparable_name(name), storable(x509.Name.load(name).human_friendly)
        database.execute(_INSERT_ISSUER, [name, comparable, display])
        row = database.execute("SELECT id FROM issuer WHERE comparable = %s", [comparable]).fetchone()
        assert row is not None  # noqa: S101  # just inserted or there before
        known[name] = row[0]
    return known[name]


def _conflict() -> CertificateRefusedError:
    return CertificateRefusedError(
        "certificate",
        "another certificate is lodged under the same issuer and serial number (RFC 5280, 4.1.2.2).",
        "The lodged one stands; these bytes and this reason are kept.",
        next_step="ask the issuer which of the two it issued.",
    )


def _other_flag() -> CertificateRefusedError:
    return CertificateRefusedError(
        "certificate",
        "it is lodged with another ManufacturingFlag than it is offered with.",
        "The lodged one stands, and so does its status; this reason is kept.",
        next_step="find out which one is right; a take-over may begin with a full extract that has the newer one.",
    )


def _not_applied(lodged: str, offered: str) -> CertificateRefusedError:
    return CertificateRefusedError(
        "certificate",
        f"it is lodged with status {lodged} and offered with {offered}, and nothing says which of the two is later."
        if lodged + offered == _BACK_IN_USE
        else f"it is lodged with status {lodged}, which cannot become {offered}.",
        f"Status {lodged} stands; this reason is kept.",
        next_step="find out which status it has; `smki certificate set-status` changes it.",
    )
