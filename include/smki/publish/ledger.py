"""The ledger of what is published where, and the publication of one artefact with it.

* A dated name is written once on a site, for ever. The same content (equal content digest) under a recorded name is
  published already, which is no error; other content is refused before the site is even called.
* Only bytes that the gate cleared are sent; what is read back from the server has their hash.
* A name without a date is replaced in place, by a higher version only: an older one that comes late, by a retry or a
  backfill, is superseded and leaves the site alone. A file that the ledger does not know, as after a restored backup,
  is replaced only where its kind proves that the new one follows it.
* One publisher at a time works in a lane of a site: an advisory lock of PostgreSQL is held from the first look to the
  record. Files that are replaced in place, such as revocation lists, are small and have a lane of their own, so that
  none waits for a full extract. Who waits for a lane does so for a quarter of an hour.
* The artefact is recorded before it is sent, the publication after it is found under its final name. So a crash between
  the rename and the record is resolved by looking: the file on the server has the hash of a recorded artefact.
* Where the folder of a name has changed, the file goes to the new one, and the old one is removed once that stands, as
  long as it is what the ledger published; before the record, so that a crash leaves the next try to do it.
* A published file that the server has lost is put there again with the same content; if only its compression differs,
  the ledger's record moves to the artefact that stands there now.
* A name that is published for the first time gets what it can by copies on the server (`copying`). What is put there
  again is sent as a whole; so is what takes the place of a file that the server copied wrongly, as long as that stands
  there as its publication left it. One that was changed since is evidence, and stays.
"""

import logging
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from enum import StrEnum

import numpy as np
from paramiko import SFTPClient
from psycopg.errors import LockNotAvailable
from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError, OperationalError

from smki.certificates.set_digest import SetDigest
from smki.errors import (
    PublicationRefusedError,
    RemovalRefusedError,
    RepositoryBusyError,
    SiteUnavailableError,
    SmkiError,
)
from smki.gate.ledger import check_cleared
from smki.processes import Progress
from smki.publish.artefact import Artefact, Publication
from smki.publish.copying import find_copy_source
from smki.publish.readback import odd_type, remote_sha256
from smki.publish.readings import PageReading, find_reading, record_reading
from smki.publish.recipe import Follows, KnownFiles, PublishedFile, publish_file
from smki.publish.site import Site, open_sftp, site_errors
from smki.repository.database import LOCK_WAIT_MIN, reading, session
from smki.repository.tables import artefact as artefact_table
from smki.repository.tables import publication as publication_table
from smki.store.content import Content

log = logging.getLogger(__name__)


class Lane(StrEnum):
    """Where one publisher at a time is at work on a site."""

    DATED = "dated"  # extracts; and retention
    IN_PLACE = "in place"  # what is replaced in place

    @classmethod
    def of(cls, artefact: Artefact) -> "Lane":
        return cls.DATED if artefact.version is None else cls.IN_PLACE


class Move(StrEnum):
    """What becomes of an offered artefact, by what the ledger has under its name."""

    PUBLISH = "publish"
    REPLACE = "replace"
    ALREADY_PUBLISHED = "already published"
    SUPERSEDED = "superseded"
    REMOVED = "was published and has been removed"


def choose_move(history: Sequence[Publication], offered: Artefact) -> Move:
    """What to do with an artefact that is offered under a name with this history (oldest first).

    Raises PublicationRefusedError for other content under a name that is written once.
    """
    if not history:
        return Move.PUBLISH
    latest = history[-1]
    if latest.artefact.content_digest == offered.content_digest:
        return Move.ALREADY_PUBLISHED if latest.ended_at is None else Move.REMOVED
    if offered.version is None or latest.artefact.version is None:
        raise _refused(latest.site, latest.name)
    return Move.REPLACE if offered.version > latest.artefact.version else Move.SUPERSEDED


def publish_artefact(
    engine: Engine,
    site: Site,
    artefact: Artefact,
    content: Content,
    run: str,
    progress: Progress,
    follows: Follows | None = None,
) -> Publication:
    """Publishes an artefact on a site and records it; `run` is who does it.

    `follows` says, of a name that is replaced in place, whether the artefact follows content unknown to the ledger.
    Returns the publication that the ledger now has under this name: where the artefact is superseded, its successor's.
    Safe to repeat after any error. Raises PublicationRefusedError (other content under a write-once name; not cleared
    by the gate), RepositoryUnavailableError, and whatever `open_sftp` and `publish_file` raise.
    """
    with session(engine) as connection, site_lock(connection, site.name, Lane.of(artefact)):
        with connection.begin():
            history = publication_history(connection, site.name, artefact.name)
            move = choose_move(history, artefact)
            check_cleared(connection, artefact.name, artefact.sha256)
            record_artefact(connection, artefact)
            known = replace(_known_files(connection, artefact), follows=follows)
            source = None
            if move is Move.PUBLISH:
                source = find_copy_source(connection, list_publications(connection, site.name), artefact, content)
            elif move is Move.ALREADY_PUBLISHED:
                known = replace(known, copied=_copied(connection, history[-1]))
        log.info("publication begins site=%s name=%s ledger=%s", site.name, artefact.name, move)
        if move in (Move.SUPERSEDED, Move.REMOVED):
            return history[-1]
        with open_sftp(site) as sftp:
            final = posixpath.join(site.folder, artefact.name)
            published = publish_file(sftp, content, final, artefact.sha256, progress, known, source)
            problem = None
            if history and history[-1].ended_at is None:
                problem = _remove_from_old_folder(sftp, history[-1], published)
        if move is Move.ALREADY_PUBLISHED:
            is_recorded = _is_at(history[-1], published.path) and published.sha256 == history[-1].artefact.sha256
            if published.already_there and is_recorded:
                return history[-1]
            if not published.already_there:
                log.warning("publication restored site=%s name=%s: the server had lost it", site.name, artefact.name)
        with connection.begin():
            publication = record_publication(connection, site.name, artefact.name, published, run)
        if problem is not None:
            raise problem
        return publication


def _is_at(publication: Publication, path: str) -> bool:
    return posixpath.normpath(publication.path) == posixpath.normpath(path)


def _remove_from_old_folder(
    sftp: SFTPClient, before: Publication, published: PublishedFile
) -> RemovalRefusedError | None:
    """Removes what a name had in another folder; the error where that is not possible.

    Two paths may lead to one file, by a link or another root: what may be the published file itself stays.
    """
    if _is_at(before, published.path):
        return None
    try:
        with site_errors(before.path):
            rule = _remove_old(sftp, before, published.path)
    except SiteUnavailableError:
        raise
    except SmkiError as error:
        rule = error.rule
    if not rule:
        return None
    return RemovalRefusedError(
        before.path,
        f"its folder has changed, and the old file cannot be removed: {rule}",
        f"The new one is published and recorded, as {published.path}; Parties may still find the old one.",
        "have the old one moved away by hand.",
    )


def _remove_old(sftp: SFTPClient, before: Publication, now: str) -> str:
    """Why it is not removed; empty where it is, or need not be."""
    new = sftp.stat(now)
    try:
        old = sftp.stat(before.path)
        is_same = (old.st_size, old.st_mtime) == (new.st_size, new.st_mtime)
        if is_same or sftp.normalize(before.path) == sftp.normalize(now):
            log.warning("old path may lead to the file itself, and stays path=%s now=%s", before.path, now)
            return ""
        if odd_type(old.st_mode or 0) or remote_sha256(sftp, before.path) != before.artefact.sha256:
            return "it is not what the ledger published there."
        sftp.remove(before.path)
    except FileNotFoundError:
        return ""
    log.info("file removed from its old folder path=%s now=%s", before.path, now)
    return ""


@contextmanager
def site_lock(connection: Connection, site: str, lane: Lane = Lane.DATED) -> Iterator[None]:
    """Keeps every other publisher off a site's lane; waits until one that is at work ends. Raises RepositoryBusyError.

    The lock is the session's, so that no transaction stays open while bytes travel; if the connection is lost, or the
    machine at its other end for a minute, PostgreSQL gives the lock up. `connection` has no transaction under way,
    neither at the beginning nor at the end.
    """
    key = func.hashtextextended(f"smki publish {site} {lane}", 0)
    with connection.begin():
        free = connection.scalar(select(func.pg_try_advisory_lock(key)))
        if not free:
            log.info("publication waits site=%s lane=%s: another publisher is at work", site, lane)
            try:
                connection.execute(select(func.pg_advisory_lock(key)))
            except OperationalError as error:
                if not isinstance(error.orig, LockNotAvailable):
                    raise
                raise RepositoryBusyError(
                    f"site {site}", f"another publisher has been at work there for {LOCK_WAIT_MIN} minutes."
                ) from error
    try:
        yield
    finally:
        try:
            connection.rollback()
            with connection.begin():
                connection.execute(select(func.pg_advisory_unlock(key)))
        except DBAPIError:
            # Back in the pool, the session would keep the lock.
            connection.invalidate()


def record_artefact(connection: Connection, artefact: Artefact) -> None:
    """Records a verified artefact; of the same file, recorded before, the version may rise, and its pages
    may lie elsewhere.
    """
    row = asdict(artefact) | {"set_digest": str(artefact.set_digest)}
    offered = insert(artefact_table).values(row)
    connection.execute(
        offered.on_conflict_do_update(
            index_elements=["name", "sha256"],
            set_={
                "version": func.greatest(artefact_table.c.version, offered.excluded.version),
                "manifest": offered.excluded.manifest,
            },
        )
    )


def record_publication(
    connection: Connection, site: str, name: str, published: PublishedFile, run: str, since: datetime | None = None
) -> Publication:
    """Records that a recorded artefact has its final name on the site, `since` then (UTC) or now; call it under the
    site's lock.

    The publication that it replaces ends. One of equal content is put right instead: its file was lost and put there
    again. Raises PublicationRefusedError when the ledger has other content under a name that is written once.
    """
    artefact = connection.execute(
        select(artefact_table).where(artefact_table.c.name == name, artefact_table.c.sha256 == published.sha256)
    ).one()
    values = {
        "artefact_id": artefact.id,
        "path": published.path,
        "run": run,
        "copied_bytes": published.copied,
    }
    current = find_publication(connection, site, name)
    if current is not None and current.artefact.content_digest == artefact.content_digest:
        connection.execute(
            update(publication_table).where(*_offered(site, name)).values(published_at=func.clock_timestamp(), **values)
        )
    else:
        if current is not None:
            if artefact.version is None or artefact.version <= (current.artefact.version or 0):
                raise _refused(site, name)
            end_publication(connection, site, name, run, "replaced")
        times = {"published_at": since, "first_published_at": since} if since else {}
        connection.execute(insert(publication_table).values(site=site, name=name, **values, **times))
    (publication,) = _publications(connection, *_offered(site, name))
    if artefact.manifest:
        record_reading(connection, site, name, _read_by_publisher(publication, published))
    log.info(
        "publication recorded site=%s name=%s sha256=%s bytes_sent=%d bytes_copied=%d run=%s",
        site,
        name,
        published.sha256,
        publication.sent_bytes,
        publication.copied_bytes,
        run,
    )
    return publication


def _read_by_publisher(publication: Publication, published: PublishedFile) -> PageReading:
    """What publishing a file says of its pages."""
    return PageReading(
        bytes=published.bytes,
        modified_at=datetime.fromtimestamp(published.modified_at, UTC),
        as_published=True,
        since=publication.published_at,
        unread=np.array(published.unread, np.intp),
        wrong=(),
        again=0,
        read_at=publication.published_at,
    )


def end_publication(connection: Connection, site: str, name: str, run: str, reason: str) -> None:
    """Records that a file is no longer offered under its name; `run` is who ended it."""
    connection.execute(
        update(publication_table)
        .where(*_offered(site, name))
        .values(ended_at=func.clock_timestamp(), ended_by=run, end_reason=reason)
    )
    log.info("publication ended site=%s name=%s run=%s reason=%s", site, name, run, reason)


def find_publication(connection: Connection, site: str, name: str) -> Publication | None:
    """What is offered under this name on the site, as the ledger has it."""
    found = _publications(connection, *_offered(site, name))
    return found[0] if found else None


def list_publications(connection: Connection, site: str) -> list[Publication]:
    """All that is offered on the site, oldest first."""
    return _publications(connection, publication_table.c.site == site, publication_table.c.ended_at.is_(None))


def list_ended_since(connection: Connection, site: str, since: datetime) -> set[str]:
    """Names of what was replaced or removed on the site after `since` (UTC)."""
    ledger = publication_table.c
    return set(connection.scalars(select(ledger.name).where(ledger.site == site, ledger.ended_at > since)))


def publication_history(connection: Connection, site: str, name: str) -> list[Publication]:
    """All that ever had this name on the site, oldest first; only the last one may still be offered."""
    return _publications(connection, publication_table.c.site == site, publication_table.c.name == name)


def list_artefacts(engine: Engine, *, name: str = "", limit: int) -> list[Artefact]:
    """The newest recorded files, of one name or of any; newest first. Raises RepositoryUnavailableError."""
    columns = artefact_table.c
    query = select(*(columns[field.name] for field in fields(Artefact))).order_by(columns.id.desc()).limit(limit)
    with reading(engine) as connection:
        rows = connection.execute(query.where(columns.name == name) if name else query).mappings()
        return [_artefact(row) for row in rows]


def _offered(site: str, name: str) -> tuple[ColumnElement[bool], ...]:
    ledger = publication_table.c
    return ledger.site == site, ledger.name == name, ledger.ended_at.is_(None)


def _publications(connection: Connection, *conditions: ColumnElement[bool]) -> list[Publication]:
    ledger, artefacts = publication_table.c, artefact_table.c
    rows = connection.execute(
        select(
            ledger.site,
            ledger.path,
            ledger.run.label("published_by"),
            ledger.published_at,
            ledger.ended_at,
            ledger.end_reason,
            ledger.copied_bytes,
            *(artefacts[field.name] for field in fields(Artefact)),
        )
        .join_from(publication_table, artefact_table)
        .where(*conditions)
        .order_by(ledger.published_at, ledger.id)
    )
    return [_publication(row) for row in rows.mappings()]


def _publication(row: RowMapping) -> Publication:
    return Publication(
        site=row["site"],
        artefact=_artefact(row),
        path=row["path"],
        run=row["published_by"],
        published_at=row["published_at"],
        ended_at=row["ended_at"],
        end_reason=row["end_reason"],
        copied_bytes=row["copied_bytes"],
    )


def _artefact(row: RowMapping) -> Artefact:
    stated = {field.name: row[field.name] for field in fields(Artefact)}
    return Artefact(**stated | {"set_digest": SetDigest.parse(row["set_digest"])})


def _known_files(connection: Connection, offered: Artefact) -> KnownFiles:
    """Recorded files of this name: those with equal content, and those that `offered` may replace."""
    columns = artefact_table.c
    rows = connection.execute(
        select(columns.sha256, columns.content_digest, columns.version).where(columns.name == offered.name)
    ).all()
    equal = {row.sha256 for row in rows if row.content_digest == offered.content_digest}
    older = {row.sha256 for row in rows if None not in (row.version, offered.version) and row.version < offered.version}
    return KnownFiles(equal, older - equal)


def _copied(connection: Connection, publication: Publication) -> tuple[int, int] | None:
    """Size and time (s) of a file that the server copied in part, if it was last seen as publishing left it."""
    reading = find_reading(connection, publication.site, publication.name)
    if not publication.copied_bytes or reading is None or not reading.as_published:
        return None
    return reading.bytes, int(reading.modified_at.timestamp())


def _refused(site: str, name: str) -> PublicationRefusedError:
    return PublicationRefusedError(
        f"{name} on site {site}",
        "a published name keeps its content for ever, and the ledger has other content under it.",
        next_step="find out why the content changed; a correction goes out with the next window.",
    )
