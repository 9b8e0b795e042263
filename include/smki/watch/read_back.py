"""What the auditor reads back of the files that a site offers, and what it remembers of them.

* Nothing is read of a file that is longer or shorter than what was published.
* Files without pages are read whole and hashed: those that are new or whose size or time has changed, those that were
  not what the ledger published, and of the others the one that was read longest ago.
* Files of pages are read by `page_rounds`.
* One whose manifest cannot be had is read whole and hashed, too: when it is new or has changed, and a day after it was
  read last. A look reads one of them however long it is, and others within its share of the day's bytes.
* What has been read is remembered at once, and after a quarter of an hour the rest is left to the next look.
* A file that the server fails to give is named, and forgotten, so that each look begins with it; it stops no other.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, delete, select
from sqlalchemy.dialects.postgresql import insert

from smki.publish.readback import remote_sha256
from smki.publish.readings import PageReading, load_readings, record_reading
from smki.repository.database import reading, writing
from smki.repository.tables import audited_file
from smki.retention.rules import SeenFile
from smki.store.objects import Store
from smki.watch.page_rounds import OfferedFile, PagesRead, read_pages, reading_of
from smki.watch.party_session import OutOfTimeError, PartySession

log = logging.getLogger(__name__)
READ_FOR_S = 15 * 60  # a look ends well before its task's time does
_AGAIN_AFTER = timedelta(days=1)  # a file of pages that is read whole


@dataclass(frozen=True, slots=True)
class Audited:
    """A file that was read back whole."""

    path: str
    bytes: int
    modified_at: datetime  # UTC, as the server states it
    sha256: str  # hex
    hashed_at: datetime  # UTC

    def is_of(self, file: SeenFile) -> bool:
        """Whether the file is as it was then: a hash that is older than its file says nothing of it."""
        return (self.bytes, self.modified_at) == (file.bytes, file.modified_at)


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What has been read back of a site's files."""

    audited: Mapping[str, Audited]  # by path
    readings: Mapping[str, PageReading]  # by name
    files: int = 0  # that were read whole just now
    pages: int = 0  # that were read just now

    def hashes(self, files: Sequence[SeenFile]) -> dict[str, str]:
        """SHA-256 (hex) of those that are as they were when they were read, by path."""
        known = ((file, self.audited.get(file.path)) for file in files)
        return {file.path: one.sha256 for file, one in known if one is not None and one.is_of(file)}

    def pages_of(self, files: Sequence[OfferedFile]) -> dict[str, PageReading]:
        """What is known of their pages as they stand, by path."""
        known = {file.path: reading_of(file, self.readings.get(publication.name)) for file, publication in files}
        return {path: one for path, one in known.items() if one is not None}


def load_read_back(engine: Engine, site: str) -> ReadBack:
    """What earlier looks have read, and what the publisher has. Raises RepositoryUnavailableError."""
    columns = audited_file.c
    query = select(columns.path, columns.bytes, columns.modified_at, columns.sha256, columns.hashed_at)
    with reading(engine) as connection:
        rows = connection.execute(query.where(columns.site == site)).all()
        readings = load_readings(connection, site)
    audited = {
        row.path: Audited(row.path, row.bytes, row.modified_at.astimezone(UTC), row.sha256, row.hashed_at)
        for row in rows
    }
    return ReadBack(audited, readings)


def forget_others(engine: Engine, site: str, listed: Sequence[SeenFile]) -> None:
    """Forgets what was read of files that are gone."""
    columns = audited_file.c
    with writing(engine) as connection:
        gone = columns.path.not_in([file.path for file in listed])
        connection.execute(delete(audited_file).where(columns.site == site, gone))


def choose_to_read(files: Sequence[OfferedFile], audited: Mapping[str, Audited]) -> list[OfferedFile]:
    """Which files are read back whole: new, changed and wrong ones, and of the others the one not read for longest.

    The ones never read come first, small ones before large ones, so that one that takes too long stops no other.
    """
    known = {
        one.file.path
        for one in files
        if (before := audited.get(one.file.path)) is not None
        and before.is_of(one.file)
        and before.sha256 == one.publication.artefact.sha256
    }
    oldest = min(known, key=lambda path: audited[path].hashed_at, default=None)
    never = datetime.min.replace(tzinfo=UTC)
    return sorted(
        (one for one in files if one.file.path not in known or one.file.path == oldest),
        key=lambda one: (
            audited[one.file.path].hashed_at if one.file.path in audited else never,
            one.file.bytes,
        ),
    )


def choose_of_pages(
    files: Sequence[OfferedFile], audited: Mapping[str, Audited], budget: int, now: datetime
) -> Iterator[OfferedFile]:
    """Which of some files of pages are read back whole: one, and more as long as `budget` bytes hold them.

    Of one that was read within a day, and is as it was then, nothing is read.
    """
    waiting = [
        one
        for one in files
        if (before := audited.get(one.file.path)) is None
        or not before.is_of(one.file)
        or before.hashed_at <= now - _AGAIN_AFTER
    ]
    for number, one in enumerate(choose_to_read(waiting, audited)):
        budget -= one.file.bytes
        if number and budget < 0:
            return
        yield one


def read_back(
    session: PartySession,
    store: Store,
    files: Sequence[OfferedFile],
    known: ReadBack,
    budget: int,
    remember: Callable[[Audited | PagesRead], None],
) -> ReadBack:
    """Reads files back, `budget` bytes of pages among it; `remember` hears of each piece that has been read.

    The session may be unusable afterwards. Raises SiteUnavailableError.
    """
    audited, readings, pages = dict(known.audited), dict(known.readings), 0
    read = list[str]()
    as_long = [one for one in files if one.has_its_length]
    whole = choose_to_read([one for one in as_long if not one.has_pages], known.audited)
    paged = [one for one in as_long if one.has_pages]
    # What was read whole and found wrong stays wrong until it is read whole again.
    of_pages = [one for one in paged if _is_wrong(one, known.audited)]
    try:
        for one in _read_whole(session, whole):
            remember(one)
            audited[one.path] = one
            read.append(one.path)
        for done in read_pages(session, store, paged, known.readings, budget, of_pages.append):
            remember(done)
            readings[done.name] = done.reading
            pages += done.pages
        for one in _read_whole(session, choose_of_pages(of_pages, audited, budget, session.now)):
            remember(one)
            audited[one.path] = one
            read.append(one.path)
    except OutOfTimeError:
        log.warning("reading goes on at the next look files=%d of=%d pages=%d", len(read), len(whole), pages)
    return ReadBack(audited, readings, known.files + len(read), known.pages + pages)


def _is_wrong(one: OfferedFile, audited: Mapping[str, Audited]) -> bool:
    before = audited.get(one.file.path)
    return before is not None and before.is_of(one.file) and before.sha256 != one.publication.artefact.sha256


def _read_whole(session: PartySession, files: Iterable[OfferedFile]) -> Iterator[Audited]:
    for file, _ in files:
        with session.each_file(file.path):
            sha256 = remote_sha256(session.sftp, file.path, session.check_time, file.bytes)
            yield Audited(file.path, file.bytes, file.modified_at, sha256, session.now)


def keep(engine: Engine, site: str, read: Audited | PagesRead) -> None:
    """Records what has been read. Raises RepositoryUnavailableError."""
    with writing(engine) as connection:
        if isinstance(read, PagesRead):
            record_reading(connection, site, read.name, read.reading, read.before)
            return
        values = {
            "bytes": read.bytes,
            "modified_at": read.modified_at,
            "sha256": read.sha256,
            "hashed_at": read.hashed_at,
        }
        connection.execute(
            insert(audited_file)
            .values(site=site, path=read.path, **values)
            .on_conflict_do_update(index_elements=["site", "path"], set_=values)
        )
