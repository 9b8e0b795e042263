"""The ledger of what is published where, and the publication of one artefact with it.

* The ledger is write-once by site and name. The same content (equal content digest) under a recorded name is published
  already, which is no error; other content is refused before the site is even called, and by the table's own statement.
* One publisher at a time works on a site: an advisory lock of PostgreSQL is held from the first look to the record.
* The artefact is recorded before it is sent, the publication after it is found under its final name. So a crash between
  the rename and the record is resolved by looking: the file on the server has the hash of a recorded artefact.
* A published file that the server has lost is put there again with the same content; if only its compression differs,
  the ledger's record moves to the artefact that stands there now.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from enum import StrEnum
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from smki.certificates.set_digest import SetDigest
from smki.errors import PublicationRefusedError
from smki.publish.artefact import Artefact, Publication
from smki.publish.recipe import PublishedFile, publish_file
from smki.publish.site import Site, open_sftp
from smki.publish.upload import Progress
from smki.repository.database import lost_connections
from smki.repository.tables import artefact as artefact_table
from smki.repository.tables import publication as publication_table

log = logging.getLogger(__name__)


class Decision(StrEnum):
    """What the ledger says of an offered artefact."""

    ALREADY_PUBLISHED = "already published"
    PUBLISH = "publish"


def decide(existing: Publication | None, offered_content_digest: str) -> Decision:
    """Whether content may be published under a name that has `existing`. Raises PublicationRefusedError."""
    if existing is None:
        return Decision.PUBLISH
    if existing.artefact.content_digest == offered_content_digest:
        return Decision.ALREADY_PUBLISHED
    raise _refused(existing.site, existing.name)


def publish_artefact(
    engine: Engine, site: Site, artefact: Artefact, local_path: Path, run: str, progress: Progress
) -> Publication:
    """Publishes an artefact on a site and records it; the same call again finds it done.

    `run` is who publishes. Raises PublicationRefusedError for other content under a recorded name, what `publish_file`
    and `open_sftp` raise, and RepositoryUnavailableError; after each of them the call can be repeated.
    """
    with lost_connections(), engine.connect() as connection, site_lock(connection, site.name):
        with connection.begin():
            existing = find_publication(connection, site.name, artefact.name)
            decision = decide(existing, artefact.content_digest)
            record_artefact(connection, artefact)
            equal_content = _sha256_of_equal_content(connection, artefact)
        log.info("publication begins site=%s name=%s ledger=%s", site.name, artefact.name, decision)
        with open_sftp(site) as sftp:
            published = publish_file(
                sftp, local_path, artefact.name, site.folder, artefact.sha256, progress, equal_content
            )
        if existing and published.already_there:
            return existing
        if existing:
            log.warning("publication restored site=%s name=%s: the server had lost it", site.name, artefact.name)
        with connection.begin():
            return record_publication(connection, site.name, artefact.name, published, run)


@contextmanager
def site_lock(connection: Connection, site: str) -> Iterator[None]:
    """Keeps every other publisher off the site; waits until one that is at work ends.

    The lock is the session's, so that no transaction stays open while bytes travel; if the connection is lost,
    PostgreSQL gives the lock up. `connection` has no transaction under way, neither at the beginning nor at the end.
    """
    key = func.hashtextextended(f"smki publish {site}", 0)
    with connection.begin():
        free = connection.scalar(select(func.pg_try_advisory_lock(key)))
        if not free:
            log.info("publication waits site=%s: another publisher is at work", site)
            connection.execute(select(func.pg_advisory_lock(key)))
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
    """Records a verified artefact; a second record of the same file changes nothing."""
    row = asdict(artefact) | {"set_digest": str(artefact.set_digest)}
    connection.execute(insert(artefact_table).values(row).on_conflict_do_nothing(index_elements=["name", "sha256"]))


def record_publication(connection: Connection, site: str, name: str, published: PublishedFile, run: str) -> Publication:
    """Records that a recorded artefact has its final name on the site.

    A publication of equal content is replaced: its file was lost and put there again. Raises PublicationRefusedError
    when the ledger has other content under the name.
    """
    artefact_id, content_digest = connection.execute(
        select(artefact_table.c.id, artefact_table.c.content_digest).where(
            artefact_table.c.name == name, artefact_table.c.sha256 == published.sha256
        )
    ).one()
    recorded_digest = (
        select(artefact_table.c.content_digest)
        .where(artefact_table.c.id == publication_table.c.artefact_id)
        .scalar_subquery()
    )
    offered = insert(publication_table).values(
        site=site, name=name, artefact_id=artefact_id, path=published.path, run=run
    )
    recorded = connection.execute(
        offered.on_conflict_do_update(
            index_elements=["site", "name"],
            set_={
                "artefact_id": offered.excluded.artefact_id,
                "path": offered.excluded.path,
                "run": offered.excluded.run,
                "published_at": func.clock_timestamp(),
            },
            where=recorded_digest == content_digest,
        ).returning(publication_table.c.id)
    ).first()
    if recorded is None:
        raise _refused(site, name)
    log.info("publication recorded site=%s name=%s sha256=%s run=%s", site, name, published.sha256, run)
    (publication,) = _publications(connection, publication_table.c.id == recorded.id)
    return publication


def find_publication(connection: Connection, site: str, name: str) -> Publication | None:
    """What the ledger has under this name on the site."""
    found = _publications(connection, publication_table.c.site == site, publication_table.c.name == name)
    return found[0] if found else None


def list_publications(connection: Connection, site: str) -> list[Publication]:
    """All publications on the site, oldest first."""
    return _publications(connection, publication_table.c.site == site)


def _publications(connection: Connection, *conditions: ColumnElement[bool]) -> list[Publication]:
    ledger, artefacts = publication_table.c, artefact_table.c
    rows = connection.execute(
        select(
            ledger.site,
            ledger.path,
            ledger.run.label("published_by"),
            ledger.published_at,
            *(artefacts[field.name] for field in fields(Artefact)),
        )
        .join_from(publication_table, artefact_table)
        .where(*conditions)
        .order_by(ledger.published_at, ledger.id)
    )
    return [_publication(row) for row in rows.mappings()]


def _publication(row: RowMapping) -> Publication:
    artefact = {field.name: row[field.name] for field in fields(Artefact)}
    return Publication(
        site=row["site"],
        artefact=Artefact(**artefact | {"set_digest": SetDigest.parse(row["set_digest"])}),
        path=row["path"],
        run=row["published_by"],
        published_at=row["published_at"],
    )


def _sha256_of_equal_content(connection: Connection, artefact: Artefact) -> list[str]:
    columns = artefact_table.c
    same = select(columns.sha256).where(
        columns.name == artefact.name, columns.content_digest == artefact.content_digest
    )
    return list(connection.scalars(same))


def _refused(site: str, name: str) -> PublicationRefusedError:
    return PublicationRefusedError(
        f"{name} on site {site}",
        "a published name keeps its content for ever, and the ledger has other content under it.",
        "The published file stays; this one was not published.",
        "find out why the content changed; a correction goes out with the next window.",
    )
