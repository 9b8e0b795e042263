"""The four files as one set in the ledger: they share a version, and whether a site has all of it can be seen.

* The version rises by one when the content of any of the four changes, and with none it stays.
* All four are recorded, in one transaction, before the first is sent. So a run that is repeated, or a new one, finds
  the version that was meant and completes the set with it.
* A server has no rename of several files. Between the first rename and the last the set is incomplete: `set_state` says
  so, and which file has which version. Publishing again completes it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.dialects.postgresql import distinct_on

from smki.kinds.anchors.production import ProducedFile
from smki.obligations.catalogue import UserGuide
from smki.publish.artefact import Artefact
from smki.publish.ledger import list_publications, record_artefact
from smki.repository.database import reading, writing
from smki.repository.tables import artefact as artefact_table


@dataclass(frozen=True, slots=True)
class _Recorded:
    version: int
    content_digest: str


@dataclass(frozen=True, slots=True)
class FileState:
    """One of the four on a site."""

    name: str
    offered_version: int | None  # none: not published there
    published_at: datetime | None  # UTC
    is_current: bool  # its content is the newest that was produced


@dataclass(frozen=True, slots=True)
class SetState:
    """The four on a site, as the ledger has them."""

    site: str
    version: int | None  # the newest that was produced
    files: tuple[FileState, ...]

    @property
    def complete(self) -> bool:
        """Whether the site offers the newest version of all four."""
        return all(file.is_current for file in self.files)

    def __str__(self) -> str:
        listed = ", ".join(f"{file.name} {_words(file)}" for file in self.files)
        completeness = "complete" if self.complete else "incomplete"
        return f"site {self.site}: version {self.version or 'none'} {completeness} ({listed})"


def record_set(engine: Engine, produced: Sequence[ProducedFile], run: str, now: datetime) -> tuple[Artefact, ...]:
    """Records the four as artefacts of one version; `run` is who produced them, `now` (UTC) when they were verified.

    Raises RepositoryUnavailableError.
    """
    with writing(engine) as connection:
        # Another run that produces at the same time waits here, and then sees this one's version.
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("smki anchor set", 0))))
        version = _version(_latest(connection, [file.name for file in produced]), produced)
        artefacts = tuple(_artefact(file, version, run, now) for file in produced)
        for one in artefacts:
            record_artefact(connection, one)
    return artefacts


def unpublished(engine: Engine, digests: Mapping[str, str], sites: Iterable[str]) -> list[str]:
    """What is to be published of these contents (file name → content digest): each file that a site does not offer so.

    Raises RepositoryUnavailableError.
    """
    missing = []
    with reading(engine) as connection:
        for site in sites:
            offered = {one.name: one.artefact.content_digest for one in list_publications(connection, site)}
            missing += [f"{name} {digest} on {site}" for name, digest in digests.items() if offered.get(name) != digest]
    return missing


def set_state(engine: Engine, guide: UserGuide, site: str) -> SetState:
    """What the site offers of the set. Raises RepositoryUnavailableError."""
    names = [obligation.file for obligation in guide.anchors().values()]
    with reading(engine) as connection:
        latest = _latest(connection, names)
        offered = {publication.name: publication for publication in list_publications(connection, site)}
    files = []
    for name in names:
        publication, newest = offered.get(name), latest.get(name)
        is_current = bool(publication and newest and publication.artefact.content_digest == newest.content_digest)
        # Equal content, compressed by another processor, may have been recorded with an older version.
        version = newest.version if is_current and newest else publication.artefact.version if publication else None
        files.append(FileState(name, version, publication.published_at if publication else None, is_current))
    return SetState(site, max((one.version for one in latest.values()), default=None), tuple(files))


def _latest(connection: Connection, names: Sequence[str]) -> dict[str, _Recorded]:
    """The newest artefact of each name."""
    columns = artefact_table.c
    rows = connection.execute(
        select(columns.name, columns.version, columns.content_digest)
        .where(columns.name.in_(names), columns.version.is_not(None))
        .ext(distinct_on(columns.name))
        .order_by(columns.name, columns.version.desc(), columns.id.desc())
    )
    return {row.name: _Recorded(row.version, row.content_digest) for row in rows}


def _version(latest: Mapping[str, _Recorded], produced: Sequence[ProducedFile]) -> int:
    highest = max((recorded.version for recorded in latest.values()), default=0)
    changed = any(
        file.name not in latest or latest[file.name].content_digest != file.written.content_digest for file in produced
    )
    return highest + changed


def _artefact(file: ProducedFile, version: int, run: str, now: datetime) -> Artefact:
    written = file.written
    return Artefact(
        obligation=file.obligation.name,
        name=file.name,
        business_date=now.date(),
        window_seq=None,
        bytes=written.bytes,
        sha256=written.sha256,
        content_digest=written.content_digest,
        xml_bytes=written.content_bytes,
        records=file.records,
        set_digest=file.set_digest,
        run=run,
        verified_at=now,
        version=version,
    )


def _words(file: FileState) -> str:
    return "not published" if file.offered_version is None else f"version {file.offered_version}"
