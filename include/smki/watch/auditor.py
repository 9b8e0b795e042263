"""Looks at a site as a Party does and says what is wrong there. Needs no Airflow.

1. Log in with a Party's read-only account and list the obligations' folders.
2. Open every file that the ledger offers: one that the account may not read is a finding, and hides none of the others.
3. Read what revocation lists and anchor files say themselves.
4. Read files back whole and hash them: those that are new or whose size or time has changed, those that were not what
   the ledger published, and of the others the one that was read longest ago, so that each is read again in its turn.
   Each hash is kept at once, and after a quarter of an hour the rest is left to the next look, which goes on there: on
   a slow line everything that the listing tells is still told.
5. Read the ledger, and compare. What looks damaged or foreign is looked at a second time a moment later: between a
   publisher's rename and its record in the ledger a right file looks wrong.
6. Record: findings open and close once.

A site that cannot be looked at is a finding, too, and closes none of the others. The auditor writes to the ledger only.
"""

import logging
import posixpath
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import BinaryIO, cast

from paramiko import SFTPClient
from sqlalchemy import Engine, delete, select
from sqlalchemy.dialects.postgresql import insert

from smki.annex_b.gzip_reader import read_header
from smki.errors import DataError, SiteLoginError, SiteUnavailableError, UploadDamagedError
from smki.gate.ledger import waiting_gate_runs
from smki.kinds.anchors.files import own_certificates, read_region
from smki.kinds.anchors.production import REGION_OF
from smki.kinds.revocation.file import lists_without_obligation
from smki.kinds.revocation.reading import read_revocation_list
from smki.obligations.catalogue import RevocationList, UserGuide
from smki.publish.artefact import Publication
from smki.publish.ledger import list_publications
from smki.publish.readback import remote_sha256
from smki.publish.site import Site, open_sftp, site_errors
from smki.repository.database import reading, writing
from smki.repository.tables import audited_file
from smki.retention.execution import list_site
from smki.retention.rules import SeenFile
from smki.verify.frame import read_single
from smki.watch.due import due_on_server
from smki.watch.facts import load_facts, read_clocks
from smki.watch.findings import (
    Finding,
    Kind,
    Sight,
    find_held,
    find_lists_without_obligation,
    find_wrong,
    find_wrong_clocks,
)
from smki.watch.findings_ledger import Reconciled, record_look
from smki.watch.forecast import HISTORY, cautious_times, forecasts
from smki.watch.states import due_status

log = logging.getLogger(__name__)
_AGAIN_AFTER_S = 3.0
_READ_FOR_S = 15 * 60  # a look ends well before its task's time does
_MAY_BE_UNDER_WAY = (Kind.TRUNCATED, Kind.ALTERED, Kind.UNEXPECTED, Kind.MISSING, Kind.LOST)


@dataclass(frozen=True, slots=True)
class Audited:
    """A file that was read back whole."""

    path: str
    bytes: int
    modified_at: datetime  # UTC, as the server states it
    sha256: str  # hex
    hashed_at: datetime  # UTC


@dataclass(frozen=True, slots=True)
class Audit:
    """What one look at a site gave."""

    site: str
    files: int
    hashed: int
    findings: tuple[Finding, ...]
    reconciled: Reconciled | None  # none for a dry run


def audit_site(engine: Engine, site: Site, guide: UserGuide, now: datetime, *, record: bool = True) -> Audit:
    """Looks at a site at `now` (UTC), as the Party whose login `site` is, and records what is wrong.

    `site.folder` is what the folders of the user guide are below. Raises RepositoryUnavailableError, and
    ConfigurationError for a login that is not complete.
    """
    try:
        findings, files, read = _look(engine, site, guide, now, record=record)
        hashed = len(read)
        if any(finding.kind in _MAY_BE_UNDER_WAY for finding in findings):
            time.sleep(_AGAIN_AFTER_S)
            again, files, _ = _look(engine, site, guide, now, record=False, read=read)
            keys = {(finding.kind, finding.item) for finding in again}
            findings = [finding for finding in findings if (finding.kind, finding.item) in keys]
    except (SiteUnavailableError, SiteLoginError, UploadDamagedError) as error:
        findings, files, hashed = [Finding(Kind.UNREACHABLE, site.name, "site", f"{error.item}: {error.rule}")], 0, 0
    for finding in findings:
        log.info("finding kind=%s site=%s item=%s rule=%s", finding.kind, site.name, finding.item, finding.rule)
    reconciled = record_look(engine, site.name, findings, now) if record else None
    return Audit(site.name, files, hashed, tuple(findings), reconciled)


def choose_to_read(
    files: Sequence[SeenFile], audited: Mapping[str, Audited], published: Mapping[str, str]
) -> list[SeenFile]:
    """Which files are read back whole: new, changed and wrong ones, and of the others the one not read for longest.

    The ones never read come first, small ones before large ones, so that one that takes too long stops no other.
    `published` has the SHA-256 (hex) that the ledger has of each name.
    """
    known = [file for file in files if _is_known(file, audited.get(file.path), published)]
    oldest = min(known, key=lambda file: audited[file.path].hashed_at, default=None)
    chosen = [file for file in files if file not in known or file is oldest]
    never = datetime.min.replace(tzinfo=UTC)
    return sorted(
        chosen, key=lambda file: (audited[file.path].hashed_at if file.path in audited else never, file.bytes)
    )


def _look(
    engine: Engine,
    site: Site,
    guide: UserGuide,
    now: datetime,
    *,
    record: bool,
    read: Sequence[Audited] | None = None,
) -> tuple[list[Finding], int, list[Audited]]:
    """What is wrong, how many files there are, and which were read back; with `read` from a look before, none is."""
    audited = _load_audited(engine, site.name) | {one.path: one for one in read or ()}
    published = {one.name: one.artefact.sha256 for one in _list_offered(engine, site.name)}
    with open_sftp(site) as sftp:
        listed = [file for file in list_site(sftp, site, guide, ()) if not _is_part(file.path)]
        if record:
            _forget_others(engine, site.name, listed)
        ours = [file for file in listed if posixpath.basename(file.path) in published]
        may_open = {file.path: _may_open(sftp, file.path) for file in ours}
        files = [file for file in listed if may_open.get(file.path, False) is not None]
        readable = [file for file in ours if may_open[file.path]]
        sight = _read_small_files(sftp, site, guide, files, readable)
        sight = replace(sight, unreadable=frozenset(path for path, may in may_open.items() if may is False))
        to_read = choose_to_read(readable, audited, published)
        foreign = frozenset(file.path for file in to_read if not _begins_as_ours(sftp, file))
        hashed: list[Audited] = []
        for one in _read_back(sftp, to_read, now) if read is None else ():
            hashed.append(one)
            if record:
                _keep(engine, site.name, one)
    sizes = {file.path: (file.bytes, file.modified_at) for file in listed}
    # A hash that is older than its file says nothing of it.
    known = {path: one.sha256 for path, one in audited.items() if sizes.get(path) == (one.bytes, one.modified_at)}
    sight = replace(sight, hashes=known | {one.path: one.sha256 for one in hashed}, foreign=foreign)
    offered = _list_offered(engine, site.name)
    facts = load_facts(engine, guide, [site.name], (now - HISTORY).date())
    ahead = cautious_times(forecasts(guide, facts, now))
    stands = [
        due_status(due, facts, now, ahead.get(due.key))
        for obligation in guide.all
        for due in due_on_server(obligation, facts.since(obligation) or date.max, now)
    ]
    waiting = waiting_gate_runs(engine, now - HISTORY)
    clocks = find_wrong_clocks(read_clocks(engine), datetime.now(UTC))
    unclaimed = find_lists_without_obligation(lists_without_obligation(engine, guide))
    wrong = find_wrong(guide, sight, offered, stands, now)
    return [*find_held(waiting), *clocks, *unclaimed, *wrong], len(files), hashed


def _may_open(sftp: SFTPClient, path: str) -> bool | None:
    """Whether the account may read a file; none where it has been removed since it was listed, as retention does."""
    try:
        sftp.open(path, "rb").close()
    except FileNotFoundError:
        return None
    except PermissionError:
        return False
    return True


def _read_back(sftp: SFTPClient, files: Sequence[SeenFile], now: datetime) -> Iterator[Audited]:
    """The files' hashes, one after the other, as far as the time goes; the session may be unusable afterwards."""
    deadline = time.monotonic() + _READ_FOR_S

    for file in files:
        try:
            with site_errors(file.path):
                sha256 = remote_sha256(sftp, file.path, lambda: _need_time(deadline))
        except _OutOfTimeError:
            log.warning("reading goes on at the next look path=%s left=%d", file.path, len(files) - files.index(file))
            return
        except UploadDamagedError:
            continue  # removed since it was listed
        yield Audited(file.path, file.bytes, file.modified_at, sha256, now)


class _OutOfTimeError(Exception):
    """The rest is read at the next look."""


def _need_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise _OutOfTimeError


def _read_small_files(
    sftp: SFTPClient, site: Site, guide: UserGuide, files: Sequence[SeenFile], readable: Sequence[SeenFile]
) -> Sight:
    """What lists and anchor files say themselves."""
    by_name = {posixpath.basename(file.path): file.path for file in readable}
    next_updates: dict[str, datetime] = {}
    unequal = ""
    with tempfile.TemporaryDirectory(prefix="smki-") as folder:

        def fetch(name: str) -> Path | None:
            if name not in by_name:
                return None
            local = Path(folder, name)
            with site_errors(f"{name} on site {site.name}"):
                try:
                    sftp.get(by_name[name], str(local))
                except FileNotFoundError:
                    return None
            return local

        for one in guide.all:
            if isinstance(one.kind, RevocationList) and (local := fetch(one.file)):
                try:
                    next_updates[local.name] = read_revocation_list(read_single(local)).next_update
                except DataError as error:
                    log.warning("list cannot be read name=%s error=%s", local.name, error)  # its hash says so, too
        anchors = guide.anchors()
        regions = {region: fetch(anchors[part].file) for part, region in REGION_OF.items()}
        if all(regions.values()):
            try:
                own = own_certificates({region: read_region(path) for region, path in regions.items() if path})
                wrong = [one for only in own.values() for one in only if not one.is_regional]
                if wrong:
                    unequal = f"{len(wrong)} certificates of other roles than the WAN provider's are in one file only."
            except DataError as error:
                unequal = f"they cannot be compared: {error.item}: {error.rule}"
    return Sight(site.name, tuple(files), {}, next_updates, unequal)


def _begins_as_ours(sftp: SFTPClient, file: SeenFile) -> bool:
    """Whether a .gz begins with the gzip header that the publisher gives a file of this name; an empty one does."""
    name = posixpath.basename(file.path)
    if not name.endswith(".gz") or file.bytes == 0:
        return True
    with site_errors(file.path):
        try:
            with sftp.open(file.path) as stream:
                return read_header(cast("BinaryIO", stream), name).file_name == name.removesuffix(".gz")
        except (DataError, FileNotFoundError):
            return False


def _is_part(path: str) -> bool:
    return posixpath.basename(path).startswith(".")


def _is_known(file: SeenFile, audited: Audited | None, published: Mapping[str, str]) -> bool:
    if audited is None or (audited.bytes, audited.modified_at) != (file.bytes, file.modified_at):
        return False
    return published.get(posixpath.basename(file.path), audited.sha256) == audited.sha256


def _list_offered(engine: Engine, site: str) -> list[Publication]:
    with reading(engine) as connection:
        return list_publications(connection, site)


def _load_audited(engine: Engine, site: str) -> dict[str, Audited]:
    columns = audited_file.c
    query = select(columns.path, columns.bytes, columns.modified_at, columns.sha256, columns.hashed_at)
    with reading(engine) as connection:
        rows = connection.execute(query.where(columns.site == site)).all()
    return {
        row.path: Audited(row.path, row.bytes, row.modified_at.astimezone(UTC), row.sha256, row.hashed_at)
        for row in rows
    }


def _forget_others(engine: Engine, site: str, listed: Sequence[SeenFile]) -> None:
    """Forgets what was read of files that are gone."""
    columns = audited_file.c
    with writing(engine) as connection:
        gone = columns.path.not_in([file.path for file in listed])
        connection.execute(delete(audited_file).where(columns.site == site, gone))


def _keep(engine: Engine, site: str, one: Audited) -> None:
    values = {"bytes": one.bytes, "modified_at": one.modified_at, "sha256": one.sha256, "hashed_at": one.hashed_at}
    with writing(engine) as connection:
        connection.execute(
            insert(audited_file)
            .values(site=site, path=one.path, **values)
            .on_conflict_do_update(index_elements=["site", "path"], set_=values)
        )
