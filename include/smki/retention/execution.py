"""Carries the plan of `rules` out on one site.

`apply_retention` takes these steps. Below each stands what a crash, or an answer that is lost, leaves behind; the next
run looks again and comes right from there.

1. Take the site's lock: while it is held nobody publishes there what retention may remove.
2. Read the ledger and the ledger's clock, list the site's folders, and plan. Meanwhile nobody replaces a file in place,
   either: between that and its record it would look foreign.
   → the server is as it was
3. For each file that is due: read it back and hash it. It is removed only with the ledger's hash.
   → the server is as it was
4. Remove it.
   → a publication without its file, which the next run finds due and gone already
5. Record the end of its publication, with the rule as the reason.
   → done

The whole hash is compared, not size and time alone: a removal cannot be undone, a time can be set by anybody, and one
delta a day and one full extract a week come back as fast as they did when they were published.

What cannot be done with one file does not stop the others. A server that goes away ends the run.
"""

import logging
import posixpath
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from paramiko import SFTPClient
from sqlalchemy import Connection, Engine, func, select

from smki.errors import RemovalRefusedError, SiteUnavailableError, SmkiError, TransportError
from smki.obligations.catalogue import UserGuide
from smki.publish.artefact import Publication
from smki.publish.ledger import Lane, end_publication, list_publications, site_lock
from smki.publish.readback import list_folder, remote_sha256
from smki.publish.site import Site, folder_on, open_sftp, site_errors
from smki.repository.database import session
from smki.retention.rules import Action, FilePlan, SeenFile, plan_retention

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What retention found on a site, and what it could not do there."""

    site: str
    at: datetime  # UTC; the instant that ages were taken at
    plans: tuple[FilePlan, ...]
    problems: tuple[SmkiError, ...] = ()  # one a file that could not be dealt with

    def raise_problems(self) -> None:
        """Raises the problems as one error: of a kind that is retried if a retry may mend one of them."""
        if not self.problems:
            return
        first = next((p for p in self.problems if isinstance(p, TransportError)), self.problems[0])
        if len(self.problems) == 1:
            raise first
        raise type(first)(
            ", ".join(problem.item for problem in self.problems),
            f"of the first: {first.rule}",
            f"These {len(self.problems)} files stay; all others were dealt with.",
            f"see the log for each of them; {first.next_step}",
        ) from first


def look_at_site(engine: Engine, site: Site, guide: UserGuide, at: datetime | None = None) -> RetentionReport:
    """What retention would do on the site at the instant `at` (now if not given, by the ledger's clock).

    Changes nothing and takes no lock, so it may see a file whose publication is under way, and shows it as foreign.
    `site.folder` is what the folders of the user guide are below. Raises as `apply_retention` does.
    """
    with session(engine) as connection, open_sftp(site) as sftp:
        return _look(connection, sftp, site, guide, at)


def apply_retention(engine: Engine, site: Site, guide: UserGuide, run: str) -> RetentionReport:
    """Removes what is due on the site now, by the ledger's clock, and records it; `run` is who does it.

    `site.folder` is what the folders of the user guide are below. What could not be done with a file is among the
    report's problems. Raises what `open_sftp` raises, SiteUnavailableError when the server goes away or lacks a folder
    that the ledger has files in, and RepositoryUnavailableError; after each of them the call can be repeated.
    """
    with session(engine) as connection, site_lock(connection, site.name):
        with open_sftp(site) as sftp:
            with site_lock(connection, site.name, Lane.IN_PLACE):
                report = _look(connection, sftp, site, guide, None)
            problems = []
            for plan in report.plans:
                try:
                    _deal_with(connection, sftp, site, plan, run)
                except SiteUnavailableError:
                    raise
                except SmkiError as problem:
                    log.error("retention problem site=%s path=%s error=%s", site.name, plan.path, problem)  # noqa: TRY400  # it says it all
                    problems.append(problem)
        return RetentionReport(report.site, report.at, report.plans, tuple(problems))


def _look(
    connection: Connection, sftp: SFTPClient, site: Site, guide: UserGuide, at: datetime | None
) -> RetentionReport:
    with connection.begin():
        now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        offered = list_publications(connection, site.name)
    at = at or now.astimezone(UTC)
    return RetentionReport(
        site.name, at, tuple(plan_retention(guide, offered, list_site(sftp, site, guide, offered), at))
    )


def list_site(sftp: SFTPClient, site: Site, guide: UserGuide, offered: Sequence[Publication]) -> Iterator[SeenFile]:
    """All files in the obligations' folders, and in those that the ledger has files in."""
    in_ledger = {posixpath.normpath(posixpath.dirname(publication.path)) for publication in offered}
    names = {publication.name for publication in offered}
    for folder in sorted({folder_on(site, obligation) for obligation in guide.all} | in_ledger):
        files = list_files(sftp, site, folder, names)
        if files is None and folder in in_ledger:
            raise _folder_missing(folder, site)
        yield from files or ()


def list_files(sftp: SFTPClient, site: Site, folder: str, names: Collection[str]) -> list[SeenFile] | None:
    """What a folder lists; none where there is no such folder. Of folders in it, those that have one of the `names`."""
    with site_errors(f"{folder} on site {site.name}"):
        try:
            entries = list_folder(sftp, folder)
        except FileNotFoundError:
            return None
    return [
        SeenFile(
            posixpath.join(folder, entry.name),
            entry.bytes,
            datetime.fromtimestamp(entry.modified_at, UTC),
            entry.odd,
        )
        for entry in entries
        if entry.name in names or not stat.S_ISDIR(entry.mode)
    ]


def _deal_with(connection: Connection, sftp: SFTPClient, site: Site, plan: FilePlan, run: str) -> None:
    if plan.is_warning:
        log.warning("retention %s site=%s path=%s rule=%s", plan.action, site.name, plan.path, plan.rule)
    match plan.action:
        case Action.LEFTOVER_PART:
            with site_errors(plan.path):
                _remove_if_there(sftp, plan.path)
        case Action.FOREIGN if plan.publication:
            raise _refused(plan.path, plan.rule)
        case Action.REMOVE | Action.ALREADY_GONE if plan.publication:
            if plan.action is Action.REMOVE:
                _remove(sftp, plan.path, plan.publication)
            with connection.begin():
                end_publication(connection, site.name, plan.name, run, plan.rule)


def _remove(sftp: SFTPClient, path: str, publication: Publication) -> None:
    with site_errors(path):
        try:
            found = remote_sha256(sftp, path)
        except FileNotFoundError:
            found = publication.artefact.sha256  # gone since it was listed
        if found != publication.artefact.sha256:
            raise _refused(path, f"it is due, but the ledger published other content (there: SHA-256 {found}).")
        _remove_if_there(sftp, path)
    log.info("file removed path=%s", path)


def _remove_if_there(sftp: SFTPClient, path: str) -> None:
    try:
        sftp.remove(path)
    except FileNotFoundError:
        log.info("file was gone path=%s", path)


def _refused(path: str, rule: str) -> RemovalRefusedError:
    return RemovalRefusedError(
        path,
        rule,
        "It stays on the server, and in the ledger.",
        "find out who changed it; once it is moved away by hand, the next run records that it is gone.",
    )


def _folder_missing(folder: str, site: Site) -> SiteUnavailableError:
    return SiteUnavailableError(
        f"{folder} on site {site.name}",
        "the ledger has files in it and the server has no such folder.",
        "Nothing was removed and nothing was recorded.",
        "see whether the server's disk is mounted.",
    )
