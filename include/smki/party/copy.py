"""A Party's copy of the repository, in one SQLite file.

* A file is applied in one transaction, or not at all: a crash leaves the state before it. Whoever reads the copy
  meanwhile reads that state and waits for nothing (SQLite's write-ahead log).
* A full extract is written into a table of its own, which then takes the place of the one before it; its indexes are
  made when all is there. One that comes by its pages (`pages`) replaces the rows of the pages that the copy lacks. A
  delta changes the rows that it names.
* The set digest of what is in use is kept with the state: it is what the repository's windows and the publisher's gate
  have for the same day (`certificates.set_digest`).
* Memory is for some megabytes of records at a time, and for SQLite's cache. The file has some 650 bytes a certificate;
  while a full extract is applied there are three of it on the disk.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

from asn1crypto import x509

from smki.certificates.model import AUTHORITY, Status
from smki.certificates.names import comparable_name
from smki.certificates.set_digest import SetDigest
from smki.errors import TransportError
from smki.party import tables
from smki.party.extract_reading import Batch
from smki.party.planning import NOTHING, AppliedFile, CopyState, OfferedFile
from smki.party.refusals import Refusal, SyncRefusedError

_CACHE_KIB = 32_768  # the sorting of an index takes as much again
_STATUSES = frozenset(Status)


@dataclass(frozen=True, slots=True)
class Applied:
    """A file that a copy has applied, and the state after it."""

    name: str
    day: date
    bytes: int
    sha256: str  # hex
    records: int
    in_use: SetDigest
    applied_at: datetime  # UTC


class LocalCopy:
    """An open copy. One writes at a time (`synchronising` sees to it); any number read."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Opens a copy; one that is to be written is made where there is none.

        Raises SyncRefusedError for a file that is no copy, TransportError for the disk.
        """
        self.path = path
        self._profiles: tables.Profiles = {}
        with self._errors():
            mode = "ro" if read_only else "rwc"
            self.connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
            try:
                self._prepare(read_only=read_only)
            except BaseException:
                self.connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def settle(self) -> None:
        """Moves all that was committed into the file itself, so that nothing of it stands beside.

        Raises TransportError where that cannot be: the disk is full, or another program reads what it had before.
        """
        with self._errors():
            busy, _, _ = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            rule, next_step = "another program reads what it had before.", "try again once that has ended."
            raise TransportError(str(self.path), rule, SyncRefusedError.CONSEQUENCE, next_step)

    def close(self) -> None:
        with suppress(sqlite3.Error):  # of a disk that has failed already
            self.connection.close()

    @property
    def state(self) -> CopyState:
        """What plans are made by."""
        applied = {one.name: AppliedFile(one.bytes, one.sha256, one.in_use) for one in self.list_applied()}
        return CopyState(self.day, self.in_use, applied)

    @property
    def index_at(self) -> datetime | None:
        """When the newest signed index that the copy has seen was written (UTC)."""
        rows = self.read("SELECT index_at FROM state", ())
        with self._own_values():
            ((at,),) = rows
            return at and datetime.fromisoformat(at)

    def keep_index_time(self, at: datetime) -> None:
        """Records when an index that was seen was written (UTC); a later one that was seen before stays."""
        with self._errors(), self._transaction():
            self._keep_index_time(at)

    def _keep_index_time(self, at: datetime) -> None:
        if (known := self.index_at) is None or known < at:
            self.connection.execute("UPDATE state SET index_at = ?", (at.isoformat(),))

    @property
    def day(self) -> date | None:
        """The business date of its state; None while nothing was applied."""
        return self._state()[0]

    @property
    def in_use(self) -> SetDigest:
        """Set digest of the certificates with status I."""
        return self._state()[1]

    def _state(self) -> tuple[date | None, SetDigest]:
        rows = self.read("SELECT day, in_use FROM state", ())
        with self._own_values():
            ((day, in_use),) = rows
            return day and date.fromisoformat(day), SetDigest.parse(in_use)

    def read(self, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        """The rows of a query. Raises SyncRefusedError for a copy that is damaged, TransportError."""
        with self._errors():
            return self.connection.execute(query, values).fetchall()

    def list_applied(self) -> list[Applied]:
        """The files that made its state, in their order."""
        rows = self.read("SELECT * FROM applied ORDER BY applied_at, day, name", ())
        with self._own_values():
            return [
                Applied(
                    name,
                    date.fromisoformat(day),
                    size,
                    sha256,
                    records,
                    SetDigest.parse(in_use),
                    datetime.fromisoformat(applied_at),
                )
                for name, day, size, sha256, records, in_use, applied_at in rows
            ]

    def pages(self) -> dict[int, bytes]:
        """SHA-256 of the XML of each page that the copy has as its full extract had it, by number."""
        return dict(self.read("SELECT number, xml_sha256 FROM page", ()))

    def apply(
        self,
        file: OfferedFile,
        sha256: str,
        batches: Iterable[Batch],
        pages: Iterable[tuple[int, bytes]] = (),
        kept: Sequence[int] | None = None,
        index_at: datetime | None = None,
    ) -> Applied:
        """Applies a file in one transaction. Raises SyncRefusedError, TransportError, and whatever `batches` raises.

        `pages` are the number and SHA-256 of each page of a full extract. With `kept` the pages of these numbers stay
        as the copy has them, and `batches` are the others. `index_at` is when the index that states the file was
        written (UTC): it is seen as soon as the file is applied.
        """
        with self._errors(), self._journal(), self._transaction() as connection:
            if file.is_full:
                load = self._load_full if kept is None else partial(self._load_pages, kept)
                records, in_use = load(file.name, batches)
                connection.execute("DELETE FROM applied")
                connection.execute("DELETE FROM page")
                connection.executemany("INSERT INTO page VALUES (?, ?)", pages)
            else:
                records, in_use = self._apply_delta(file.name, batches)
            if file.state not in (None, in_use):
                rule = f"after it {file.state} is in use in the repository, and {in_use} would be in the copy."
                raise SyncRefusedError(Refusal.STATE, file.name, rule)
            self._find_authorities()
            applied = Applied(file.name, file.day, file.bytes, sha256, records, in_use, datetime.now(UTC))
            connection.execute(
                "INSERT INTO applied VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    applied.name,
                    applied.day.isoformat(),
                    applied.bytes,
                    sha256,
                    records,
                    str(in_use),
                    applied.applied_at.isoformat(),
                ),
            )
            connection.execute("UPDATE state SET day = ?, in_use = ?", (applied.day.isoformat(), str(in_use)))
            if index_at is not None:
                self._keep_index_time(index_at)
        with suppress(sqlite3.Error):  # a reader may be at work: then the next one does it
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return applied

    def check(self) -> None:
        """Reads all of it: whether SQLite finds it and its indexes whole, and each body has the SHA-256 that was noted.

        And whether what is in use is what the state says. Raises SyncRefusedError.
        """
        with self._errors():
            (found,) = self.connection.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise _damaged(self.path, f"SQLite finds it damaged ({' '.join(found.split())}).")
            in_use = NOTHING
            rows = self.connection.execute("SELECT id, status, sha256, body FROM certificate")
            while some := rows.fetchmany(10_000):
                for number, _, noted, body in some:
                    if not isinstance(body, bytes) or hashlib.sha256(body).digest() != noted:
                        raise _damaged(self.path, f"certificate {number} in it has another SHA-256 than was noted.")
                in_use += SetDigest.of_hashes(noted for _, status, noted, _ in some if status == Status.IN_USE)
        if in_use != self.in_use:
            raise _damaged(self.path, f"{in_use} is in use in it, and its state says {self.in_use}.")

    def _prepare(self, *, read_only: bool) -> None:
        connection = self.connection
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (there,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if not read_only and not there and not application:
            connection.execute("PRAGMA journal_mode = WAL")
            with self._transaction():
                tables.make_all(connection)
            application = tables.OURS
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application == tables.OURS and version < tables.VERSION:
            rule = f"its tables have version {version}, and {tables.VERSION} is wanted."
            raise SyncRefusedError(Refusal.OLD_COPY, str(self.path), rule)
        if application != tables.OURS or version != tables.VERSION:
            is_ours = application == tables.OURS
            rule = f"its tables have version {version}" if is_ours else "it is none that `smki sync` made"
            raise SyncRefusedError(Refusal.NO_COPY, str(self.path), f"{rule}; version {tables.VERSION} is wanted.")
        if read_only:
            connection.execute("BEGIN")  # all that is read is of one state, whatever is written meanwhile
        else:
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self._profiles = tables.read_profiles(connection)

    def _load_full(self, name: str, batches: Iterable[Batch]) -> tuple[int, SetDigest]:
        """Records, and the set digest of what is in use."""
        tables.begin_anew(self.connection)
        records, in_use = 0, NOTHING
        for batch in batches:
            _need_in_use(name, batch)
            self._insert(name, batch, range(len(batch.bodies)))
            records += len(batch.bodies)
            in_use += SetDigest.of_hashes(batch.hashes)
        with _no_repetition(name):
            tables.make_indexes(self.connection)
        return records, in_use

    def _load_pages(self, kept: Sequence[int], name: str, batches: Iterable[Batch]) -> tuple[int, SetDigest]:
        """The same, where `batches` are what is in the other pages than these.

        Of a page that has changed most certificates stay as they are, and nothing is written of them: each row that is
        written costs its places in five indexes.
        """
        connection = self.connection
        connection.execute("CREATE TEMP TABLE kept (number INTEGER PRIMARY KEY)")
        connection.executemany("INSERT INTO kept VALUES (?)", ((number,) for number in kept))
        connection.execute("CREATE TEMP TABLE gone (id INTEGER PRIMARY KEY)")
        # By the index alone: the table has some kilobytes of others between two that may go.
        connection.execute(
            "INSERT INTO gone SELECT id FROM certificate_status INDEXED BY certificate_page "
            "WHERE page IS NULL OR page NOT IN (SELECT number FROM kept) ORDER BY id"
        )
        for batch in batches:
            _need_in_use(name, batch)
            assert batch.pages is not None  # noqa: S101  # `read_changed` numbers them
            new, stay, changed = [], [], []
            for row, now in enumerate(zip(batch.manufacturing, batch.pages, strict=True)):
                known = connection.execute(tables.KNOWN, (batch.hashes[row],)).fetchone()
                if known is None:
                    new.append(row)
                    continue
                number, *before = known
                stay.append((number,))
                if before != [Status.IN_USE, *now]:
                    changed.append((*now, number))
            self._insert(name, batch, new)
            if connection.executemany("DELETE FROM gone WHERE id = ?", stay).rowcount < len(stay):
                raise _repeated(name)
            connection.executemany(tables.UPDATE_IN_USE, changed)
        connection.execute("DELETE FROM certificate_body WHERE id IN (SELECT id FROM gone)")
        connection.execute("DELETE FROM certificate_status WHERE id IN (SELECT id FROM gone)")
        connection.execute("DROP TABLE kept")
        connection.execute("DROP TABLE gone")
        in_use = NOTHING
        rows = connection.execute("SELECT sha256 FROM certificate_body")
        while some := rows.fetchmany(100_000):
            in_use += SetDigest.of_hashes(sha256 for (sha256,) in some)
        return in_use.count, in_use

    def _apply_delta(self, name: str, batches: Iterable[Batch]) -> tuple[int, SetDigest]:
        connection, records, in_use = self.connection, 0, self.in_use
        connection.execute("CREATE TEMP TABLE seen (sha256 BLOB PRIMARY KEY) WITHOUT ROWID")
        for batch in batches:
            with _no_repetition(name):
                connection.executemany("INSERT INTO seen VALUES (?)", ((sha256,) for sha256 in batch.hashes))
            if unknown := set(batch.statuses) - _STATUSES:
                raise SyncRefusedError(Refusal.CONTENT, name, f"a record in it has status {min(unknown)!r}.")
            new, changed, entered, departed = [], [], [], []
            for row, (sha256, status) in enumerate(zip(batch.hashes, batch.statuses, strict=True)):
                known = connection.execute(tables.KNOWN, (sha256,)).fetchone()
                if known is None:
                    new.append(row)
                else:
                    changed.append((status, batch.manufacturing[row], known[0]))
                before = None if known is None else known[1]
                if status == Status.IN_USE != before:
                    entered.append(sha256)
                elif before == Status.IN_USE != status:
                    departed.append(sha256)
            self._insert(name, batch, new)
            connection.executemany(
                "DELETE FROM page WHERE number = (SELECT page FROM certificate_status WHERE id = ?)",
                ((number,) for _, _, number in changed),
            )
            connection.executemany(tables.UPDATE, changed)
            records += len(batch.bodies)
            in_use = in_use + SetDigest.of_hashes(entered) - SetDigest.of_hashes(departed)
        connection.execute("DROP TABLE seen")
        return records, in_use

    def _insert(self, name: str, batch: Batch, rows: Iterable[int]) -> None:
        with _no_repetition(name):
            tables.insert(self.connection, batch, rows, self._profiles)

    def _find_authorities(self) -> None:
        connection = self.connection
        connection.execute("DELETE FROM authority")
        found = connection.execute(
            "SELECT certificate_body.id, body FROM profile CROSS JOIN certificate_status ON profile = profile.id "
            "CROSS JOIN certificate_body ON certificate_body.id = certificate_status.id WHERE class = ?",
            (AUTHORITY,),
        )
        connection.executemany(
            "INSERT INTO authority VALUES (?, ?)",
            ((comparable_name(x509.Certificate.load(body).subject.dump()), number) for number, body in found),
        )

    @contextmanager
    def _journal(self) -> Iterator[None]:
        """No write-ahead log while there is nothing yet: new pages need no journal, and it would have them all.

        Nobody reads such a copy. Where somebody does all the same, the log stays.
        """
        if self.day is not None:
            yield
            return
        with suppress(sqlite3.OperationalError):
            self.connection.execute("PRAGMA journal_mode = DELETE")
        yield
        self.connection.execute("PRAGMA journal_mode = WAL")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, whatever ends it. What was learned of profiles goes with it."""
        self.connection.execute("BEGIN IMMEDIATE")
        known = self._profiles.copy()
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException:
            self._profiles = known
            with suppress(sqlite3.Error):  # SQLite has rolled back by itself where the disk failed
                self.connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _own_values(self) -> Iterator[None]:
        """Within it, a value of the copy that cannot be read is damage."""
        try:
            yield
        except (ValueError, TypeError) as error:
            raise _damaged(self.path, f"it holds what was never written into it ({error}).") from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Within it, an error of SQLite is a typed one."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) is None:  # Python's own: text that is none
                raise _damaged(self.path, f"it holds what was never written into it ({error}).") from error
            busy = error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            rule = "another program writes to it." if busy else f"it cannot be read or written ({error})."
            closed = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
            next_step = _OPEN_FOLDER if closed else _NEXT_STEP
            raise TransportError(str(self.path), rule, SyncRefusedError.CONSEQUENCE, next_step) from error
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                raise SyncRefusedError(Refusal.NO_COPY, str(self.path), f"it is none ({error}).") from error
            raise _damaged(self.path, f"SQLite says: {error}.") from error


def _damaged(path: Path, rule: str) -> SyncRefusedError:
    return SyncRefusedError(Refusal.COPY_DAMAGED, str(path), rule)


_NEXT_STEP = "make room, or have the disk looked at, then try again."
_OPEN_FOLDER = "try again from an account that may write into its folder: SQLite keeps -wal and -shm beside a copy."


@contextmanager
def _no_repetition(name: str) -> Iterator[None]:
    """Within it, the second row of a certificate refuses the file of that name."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise _repeated(name) from error


def _repeated(name: str) -> SyncRefusedError:
    return SyncRefusedError(Refusal.CONTENT, name, "a certificate stands in it more than once.")


def _need_in_use(name: str, batch: Batch) -> None:
    for status in set(batch.statuses):
        if status != Status.IN_USE:
            rule = f"a full extract holds what is in use, and a record in it has status {status!r}."
            raise SyncRefusedError(Refusal.CONTENT, name, rule)
