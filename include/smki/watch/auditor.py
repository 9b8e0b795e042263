"""Looks at a site as a Party does and says what is wrong there. Needs no Airflow.

1. Log in with a Party's read-only account and list the obligations' folders.
2. Open every file that the ledger offers: one that the account may not read is a finding, and hides none of the others.
3. Read what revocation lists and anchor files say themselves.
4. Read back (`read_back`): what is new, has changed or was wrong, and of the rest some, so that each file is read again
   in its turn; of files of pages no more than a number of bytes a day. On a slow line the rest is left to the next
   look: everything that the listing tells is still told.
5. Read the ledger, and compare. What looks damaged or foreign is looked at a second time a moment later: between a
   publisher's rename and its record in the ledger a right file looks wrong.
6. Record: findings open and close once.

A site that cannot be looked at is a finding, too, and closes none of the others. The auditor writes to the ledger only.
"""

import logging
import posixpath
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from paramiko import SFTPClient
from sqlalchemy import Engine

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
from smki.publish.site import Site, open_sftp, site_errors
from smki.repository.database import reading
from smki.retention.execution import list_site
from smki.retention.rules import SeenFile
from smki.store.objects import Store
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
from smki.watch.page_rounds import OfferedFile
from smki.watch.read_back import ReadBack, forget_others, keep, load_read_back, read_back
from smki.watch.states import due_status

log = logging.getLogger(__name__)
_AGAIN_AFTER_S = 3.0
_MAY_BE_UNDER_WAY = (Kind.TRUNCATED, Kind.ALTERED, Kind.UNEXPECTED, Kind.MISSING, Kind.LOST)


@dataclass(frozen=True, slots=True)
class Audit:
    """What one look at a site gave."""

    site: str
    files: int
    hashed: int  # files that were read back whole
    pages: int  # of other files, that were read back
    findings: tuple[Finding, ...]
    reconciled: Reconciled | None  # none for a dry run


def audit_site(
    engine: Engine,
    store: Store,
    site: Site,
    guide: UserGuide,
    now: datetime,
    *,
    bytes_a_day: int,
    record: bool = True,
) -> Audit:
    """Looks at a site at `now` (UTC), as the Party whose login `site` is, and records what is wrong.

    `site.folder` is what the folders of the user guide are below; `bytes_a_day` is how much of files of pages may be
    read back. Raises RepositoryUnavailableError, and ConfigurationError for a login that is not complete.
    """
    budget = int(bytes_a_day * (guide.audit_every / timedelta(days=1)))
    known = load_read_back(engine, site.name)

    def read_now(sftp: SFTPClient, files: Sequence[OfferedFile]) -> ReadBack:
        return read_back(
            sftp, store, files, known, budget, now, partial(keep, engine, site.name) if record else _forget
        )

    try:
        sight, read = _look(engine, site, guide, read_now, record=record)
        findings, files = _find_all(engine, guide, sight, now), len(sight.files)
        if any(finding.kind in _MAY_BE_UNDER_WAY for finding in findings):
            time.sleep(_AGAIN_AFTER_S)
            sight, _ = _look(engine, site, guide, lambda *_: read, record=False)
            again, files = _find_all(engine, guide, sight, now), len(sight.files)
            keys = {(finding.kind, finding.item) for finding in again}
            findings = [finding for finding in findings if (finding.kind, finding.item) in keys]
    except (SiteUnavailableError, SiteLoginError, UploadDamagedError) as error:
        findings, files = [Finding(Kind.UNREACHABLE, site.name, "site", f"{error.item}: {error.rule}")], 0
        read = known
    for finding in findings:
        log.info("finding kind=%s site=%s item=%s rule=%s", finding.kind, site.name, finding.item, finding.rule)
    reconciled = record_look(engine, site.name, findings, now) if record else None
    return Audit(site.name, files, read.files, read.pages, tuple(findings), reconciled)


def _forget(_: object) -> None:
    """What a look has read that records nothing."""


def _look(
    engine: Engine,
    site: Site,
    guide: UserGuide,
    read: Callable[[SFTPClient, Sequence[OfferedFile]], ReadBack],
    *,
    record: bool,
) -> tuple[Sight, ReadBack]:
    """What a Party sees, and what `read` has read back of the files that may be opened, now or before."""
    publications = {one.name: one for one in _list_offered(engine, site.name)}
    with open_sftp(site) as sftp:
        listed = [file for file in list_site(sftp, site, guide, ()) if not _is_part(file.path)]
        if record:
            forget_others(engine, site.name, listed)
        ours = [file for file in listed if posixpath.basename(file.path) in publications]
        may_open = {file.path: _may_open(sftp, file.path) for file in ours}
        files = [file for file in listed if may_open.get(file.path, False) is not None]
        readable = [
            OfferedFile(file, publications[posixpath.basename(file.path)]) for file in ours if may_open[file.path]
        ]
        sight = _read_small_files(sftp, site, guide, files, [file for file, _ in readable])
        odd = [one.file for one in readable if not one.has_its_length]
        foreign = frozenset(file.path for file in odd if not _begins_as_ours(sftp, file))
        known = read(sftp, readable)
    sight = replace(
        sight,
        hashes=known.hashes(listed),
        pages=known.pages_of(readable),
        unreadable=frozenset(path for path, may in may_open.items() if may is False),
        foreign=foreign,
    )
    return sight, known


def _find_all(engine: Engine, guide: UserGuide, sight: Sight, now: datetime) -> list[Finding]:
    """All that is wrong on a site, and what is wrong on no single one."""
    offered = _list_offered(engine, sight.site)
    facts = load_facts(engine, guide, [sight.site], (now - HISTORY).date())
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
    return [*find_held(waiting), *clocks, *unclaimed, *wrong]


def _may_open(sftp: SFTPClient, path: str) -> bool | None:
    """Whether the account may read a file; none where it has been removed since it was listed, as retention does."""
    try:
        sftp.open(path, "rb").close()
    except FileNotFoundError:
        return None
    except PermissionError:
        return False
    return True


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


def _list_offered(engine: Engine, site: str) -> list[Publication]:
    with reading(engine) as connection:
        return list_publications(connection, site)
