"""Files of a site that are newer than all that the ledger knows of there: it was restored from a backup that is older.

* Their certificates may be missing from the repository, and what it would publish now would contradict what Parties
  have loaded. So nothing dated, and no index, is published on the site until a person has seen them: `smki adopt`
  takes them over, or somebody moves them away.
* Nor is the window of such a day closed: it would hold what the repository has now, for ever, and the lost file would
  contradict it. A site that does not answer keeps nobody from closing; what it has is found before it is sent anything.
* A revocation list goes out all the same: it proves that it follows the one on the server (`kinds.revocation`). An
  anchor file replaces only what the ledger knows (`recipe`).
* A name is known once an artefact of it is recorded, which is before it is sent. So what a crash or another publisher
  left is known, and what is found here was recorded in a ledger that is lost. An artefact that was adopted was sent by
  nobody: its name is known on the sites that the ledger has it on, and on no other.
* Newer means: of a day after that of the newest file that the ledger has of the obligation on the site, and not before
  the first day that is owed. Its cut-off has come: one for a later day is somebody's mistake, and another finding.
  For a ledger without a window all are newer: it may be one that is lost whole.
* A file of a day that was taken over (`repository.takeover`) is not newer and stops nothing. While the ledger does not
  know it, though, retention never removes it and nobody looks whether it stays whole: `smki adopt` finds it, too.
"""

import logging
import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import NamedTuple

from paramiko import SFTPClient
from sqlalchemy import Engine, func, select, union

from smki.errors import (
    ConfigurationError,
    LedgerBehindError,
    PoolerRefusedError,
    RepositoryUnavailableError,
    RightsError,
    SchemaError,
    TransportError,
)
from smki.obligations.catalogue import Obligation, UserGuide
from smki.publish.readback import list_folder
from smki.publish.site import Site, folder_on, open_sftp, site_errors
from smki.repository.database import reading
from smki.repository.tables import artefact, delta_window, publication
from smki.repository.windows import first_owed_day
from smki.words import first_few

log = logging.getLogger(__name__)
ADOPTER = "smki adopt"  # how the run of who adopts begins


@dataclass(frozen=True, slots=True)
class KnownNames:
    """What the ledger knows of the dated files of a site."""

    names: frozenset[str]  # of artefacts that were recorded to be sent, or that the site has or had
    newest: Mapping[tuple[str, str], date]  # of each obligation's files that were published on the site
    first_day: date  # the first one that is owed, or the first of all while no window is closed
    taken_over_from: date = date.max  # the first day that was taken over, if any was; from `first_day` on days are owed


NOT_ASKED = KnownNames(frozenset(), {}, date.max)  # nothing is newer


class UnknownName(NamedTuple):
    """What the name of a file says that the ledger does not know."""

    obligation: Obligation
    business_date: date
    is_taken_over: bool  # its day was taken over; else it is newer than the ledger


@dataclass(frozen=True, slots=True)
class UnknownFile:
    """A dated file on a site that is newer than the ledger, or of a day that was taken over."""

    obligation: Obligation
    business_date: date
    path: str  # on the server
    bytes: int
    modified_at: datetime  # by the server's clock
    is_taken_over: bool  # its day was taken over; else it is newer

    @property
    def name(self) -> str:
        return posixpath.basename(self.path)


def find_unknown_name(guide: UserGuide, name: str, known: KnownNames, now: datetime) -> UnknownName | None:
    """What a file's name says that the ledger does not know, if it is newer, or its day was taken over; else none."""
    obligation = guide.of_file(name)
    day = obligation.day_of(name) if obligation else None
    if obligation is None or day is None or name in known.names or obligation.cut_off.at(day) > now:
        return None
    if known.taken_over_from <= day < known.first_day:
        return UnknownName(obligation, day, True)
    newest = known.newest.get(obligation.key)
    is_newer = day >= known.first_day if newest is None else day > newest
    return UnknownName(obligation, day, False) if is_newer else None


def load_known(engine: Engine, site: str) -> KnownNames:
    """What the ledger knows of the dated files of a site. Raises RepositoryUnavailableError."""
    newest = (
        select(artefact.c.obligation, artefact.c.subject, func.max(artefact.c.business_date))
        .join_from(publication, artefact)
        .where(publication.c.site == site, artefact.c.version.is_(None))
        .group_by(artefact.c.obligation, artefact.c.subject)
    )
    dated, is_adopted = select(artefact.c.name).where(artefact.c.version.is_(None)), artefact.c.run.startswith(ADOPTER)
    here = select(publication.c.name).where(publication.c.site == site)
    known = union(dated.where(~is_adopted).except_(dated.where(is_adopted)), here)
    taken_over_from = select(func.min(delta_window.c.business_date)).where(delta_window.c.taken_over)
    with reading(engine) as connection:
        names = connection.execute(known).scalars()
        return KnownNames(
            frozenset(names),
            {(obligation, subject): day for obligation, subject, day in connection.execute(newest)},
            first_owed_day(connection) or date.min,
            connection.scalar(taken_over_from) or date.max,
        )


def find_unknown(engine: Engine, sftp: SFTPClient, site: Site, guide: UserGuide, now: datetime) -> list[UnknownFile]:
    """The files of a site that are newer than the ledger at `now` (UTC), and those of days that were taken over.

    `site.folder` is what the folders of the user guide are below. Raises SiteUnavailableError and the like,
    RepositoryUnavailableError.
    """
    found = []
    listed = {}
    for folder in sorted({folder_on(site, one) for one in guide.all if not one.replaced_in_place}):
        with site_errors(f"{folder} on site {site.name}"):
            try:
                listed[folder] = list_folder(sftp, folder)
            except FileNotFoundError:
                continue
    known = load_known(engine, site.name)  # after the look: what is published meanwhile is known
    for folder, entries in listed.items():
        for entry in entries:
            if not entry.odd and (of := find_unknown_name(guide, entry.name, known, now)):
                path, modified_at = posixpath.join(folder, entry.name), datetime.fromtimestamp(entry.modified_at, UTC)
                found.append(
                    UnknownFile(of.obligation, of.business_date, path, entry.bytes, modified_at, of.is_taken_over)
                )
    return found


def refuse_if_behind(engine: Engine, site: Site, guide: UserGuide, now: datetime) -> None:
    """Raises LedgerBehindError where the site has files that are newer than the ledger; else as `find_unknown`."""
    with open_sftp(site) as sftp:
        newer = [file for file in find_unknown(engine, sftp, site, guide, now) if not file.is_taken_over]
    if newer:
        raise LedgerBehindError(f"ledger of site {site.name}", behind_rule(file.name for file in newer))


def refuse_to_close(
    engine: Engine, sites: Iterable[str], login: Callable[[str], Site], guide: UserGuide, to: date, now: datetime
) -> None:
    """Raises LedgerBehindError where a site has a file of a day after the newest window, if that is not `to` or later.

    `login` gives the site of a name, with what the folders of the user guide are below. Raises
    RepositoryUnavailableError.
    """
    with reading(engine) as connection:
        closed = connection.execute(select(func.max(delta_window.c.business_date))).scalar_one()
    if closed is not None and closed >= to:
        return
    for name in sites:
        try:
            site = login(name)
            with open_sftp(site) as sftp:
                unknown = find_unknown(engine, sftp, site, guide, now)
        except (RepositoryUnavailableError, PoolerRefusedError, RightsError, SchemaError):
            raise  # it is not the site that does not answer
        except (TransportError, ConfigurationError) as error:
            level = logging.WARNING if isinstance(error, TransportError) else logging.INFO
            log.log(level, "site is not looked at before a window closes site=%s error=%s", name, error)
            continue
        if ahead := [file.name for file in unknown if closed is None or file.business_date > closed]:
            raise LedgerBehindError(f"ledger of site {name}", behind_rule(ahead))


def behind_rule(names: Iterable[str]) -> str:
    """What is wrong, in words."""
    listed = sorted(names)
    verb, they = ("is", "it is") if len(listed) == 1 else ("are", "they are")
    cause = f"it was restored from an older backup, or {they} somebody else's."
    return f"{first_few(listed)} {verb} newer on the server than all that it knows: {cause}"
