"""Looks at a site as a Party does and says what is wrong there. Needs no Airflow.

1. Log in with a Party's read-only account and list the obligations' folders. One that cannot be listed is a finding.
2. Open every file that the ledger offers: one that a Party cannot read, for whatever reason, is a finding, and hides
   none of the others. What is no file is not opened.
3. Read what revocation lists and anchor files say themselves; nothing that is longer than what was published. Read the
   signed index, by the certificate that the ledger has for it.
4. Read back (`read_back`): what is new, has changed or was wrong, and of the rest some, so that each file is read again
   in its turn; of files of pages no more than a number of bytes a day. On a slow line the rest is left to the next
   look: everything that the listing tells is still told.
5. Read the ledger, and compare. What looks wrong and may be on its way is looked at a second time a moment later:
   between a publisher's rename and its record in the ledger a right file looks wrong. So is a site that did not answer
   to the end: a connection is lost now and then. A file at which the server falls silent twice is a finding, and left
   alone: what else lies there is looked at.
6. Record: findings open and close once. A look takes minutes, and what opened since it began stays open.

A site that cannot be looked at is a finding, too, and closes none of the others but those that the ledger alone tells:
what is late, at risk or held is told all the same. The auditor writes to the ledger only.

* A look ends after twenty minutes, in the middle of whatever a server does not answer, and after a number of silences
  it tries nothing more. Then it records that the site cannot be looked at, or what its last whole session saw.
* One look at a time is at work on a site; another one leaves it alone, and ends at once.
"""

import logging
import platform
import posixpath
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

from paramiko import SFTPClient
from sqlalchemy import Engine

from smki.annex_b.gzip_reader import read_header
from smki.errors import ConfigurationError, DataError, SiteLoginError, SiteUnavailableError, TransportError
from smki.gate.ledger import waiting_gate_runs
from smki.kinds.anchors.files import own_certificates, read_region
from smki.kinds.anchors.production import REGION_OF
from smki.kinds.index.ledger import find_signer
from smki.kinds.revocation.file import lists_without_obligation
from smki.kinds.revocation.reading import read_revocation_list
from smki.obligations.catalogue import RevocationList, UserGuide
from smki.publish.artefact import Publication
from smki.publish.ledger import list_ended_since, list_publications
from smki.publish.readback import read_file
from smki.publish.site import Site, folder_on, open_sftp
from smki.publish.unknown_files import load_known
from smki.repository.database import reading
from smki.retention.execution import list_files
from smki.retention.rules import SeenFile
from smki.store.objects import Store
from smki.verify.frame import read_single
from smki.watch.due_status import DueStatus, list_stands
from smki.watch.facts import load_facts, read_clocks
from smki.watch.findings import OF_THE_LEDGER, Finding, Kind
from smki.watch.findings_ledger import Reconciled, claim_look, list_open_findings, record_look
from smki.watch.forecast import HISTORY, forecasts
from smki.watch.page_rounds import OfferedFile, PagesRead
from smki.watch.party_session import PartySession, in_seconds
from smki.watch.read_back import (
    READ_FOR_S,
    Audited,
    ReadBack,
    forget_others,
    keep,
    load_read_back,
    read_back,
)
from smki.watch.repository_findings import (
    find_held,
    find_late_or_at_risk,
    find_lists_without_obligation,
    find_wrong_clocks,
)
from smki.watch.site_findings import Obstacle, SeenIndex, Sight, find_wrong, find_wrong_index, index_grace
from smki.watch.site_index import look_at_index

log = logging.getLogger(__name__)
_AGAIN_AFTER_S = (3.0, 15.0, 45.0)  # what is over within a minute is told to nobody
_SILENT_TIMES = 2  # then the file is left alone
_MOST_SILENCES = 6  # in one look: it may be the line; a server that is silent takes the site's time to answer for each
LOOK_FOR_S = 20 * 60  # whatever a server does: well below its task's time
_NO_ANSWER = "the server gives no answer."
_MAY_BE_UNDER_WAY = frozenset(
    {
        Kind.TRUNCATED,
        Kind.ALTERED,
        Kind.LEDGER_BEHIND,
        Kind.UNEXPECTED,
        Kind.MISSING,
        Kind.LOST,
        Kind.READ_ERROR,
        Kind.NO_FILE,
        Kind.INDEX,
    }
)


@dataclass(frozen=True, slots=True)
class Audit:
    """What one look at a site gave."""

    site: str
    files: int
    hashed: int  # files that were read back whole
    pages: int  # of other files, that were read back
    findings: tuple[Finding, ...]
    reconciled: Reconciled | None  # none for a dry run
    left_alone: bool = False  # another look was at work on the site; open findings are those of the looks before


def audit_site(  # noqa: PLR0913  # all but the first five are named
    engine: Engine,
    store: Store,
    site: Site,
    guide: UserGuide,
    now: datetime,
    *,
    bytes_a_day: int,
    record: bool = True,
    sites: Collection[str] | None = None,
) -> Audit:
    """Looks at a site at `now` (UTC), as the Party whose login `site` is, and records what is wrong.

    `site.folder` is what the folders of the user guide are below; `bytes_a_day` is how much of files of pages may be
    read back; `sites` are all that files are published to. Raises RepositoryUnavailableError, and ConfigurationError
    for a login that is not complete.
    """
    budget = int(bytes_a_day * (guide.audit_every / timedelta(days=1)))
    look = _Look(engine, store, site, guide, now, budget, record=record)
    if not record:
        findings, _ = _audit(look, site)
        return look.audited(findings, None)
    with claim_look(engine, site.name) as is_alone:
        if not is_alone:
            log.info("site left alone site=%s: another look is at work", site.name)
            known = Reconciled((), (), tuple(list_open_findings(engine)))
            return Audit(site.name, 0, 0, 0, (), known, left_alone=True)
        findings, is_whole = _audit(look, site)
        return look.audited(findings, record_look(engine, site.name, findings, now, is_whole=is_whole, sites=sites))


def _audit(look: "_Look", site: Site) -> tuple[list[Finding], bool]:
    """What is wrong by one look, and whether that looked at the whole site."""
    findings, failure = _find_surely(look)
    if look.sight is None:
        findings = [Finding(Kind.UNREACHABLE, site.name, "site", failure), *look.find_in_ledger()]
    elif failure:  # looked at once: what was to be looked at a second time waits for the next look
        once = [finding for finding in findings if finding.kind not in _MAY_BE_UNDER_WAY | OF_THE_LEDGER]
        findings = [*once, *look.find_in_ledger()]
    for finding in findings:
        log.info("finding kind=%s site=%s item=%s rule=%s", finding.kind, site.name, finding.item, finding.rule)
    return findings, look.sight is not None and not look.sight.unlisted and not failure


def _find_surely(look: "_Look") -> tuple[list[Finding], str]:
    """What the sessions of a look found, and why the last one failed; empty where it went through.

    What may be on its way counts where two sessions found it. What the ledger tells is that of the last one: a risk may
    have turned into a miss meanwhile.
    """
    findings, failure = list[Finding](), ""
    waits = deque((0.0, *_AGAIN_AFTER_S))
    while waits and not (look.is_over or look.is_silent):
        if wait := waits.popleft():
            time.sleep(wait)
        before = None if look.sight is None else findings
        try:
            findings = look.find_all()
        except (SiteUnavailableError, SiteLoginError) as error:
            failure = f"{error.item}: {error.rule}"
            log.info("look failed error=%s", failure)
            if look.goes_on_past_a_file():
                waits.appendleft(0.0)
            continue
        failure = ""
        if before is not None:
            keys = {(finding.kind, finding.item) for finding in findings}
            seen_twice = [one for one in before if (one.kind, one.item) in keys and one.kind not in OF_THE_LEDGER]
            return [*seen_twice, *(one for one in findings if one.kind in OF_THE_LEDGER)], ""
        if not any(finding.kind in _MAY_BE_UNDER_WAY for finding in findings):
            return findings, ""
    if look.is_over:
        failure = f"it could not be looked at within {LOOK_FOR_S // 60} minutes. {failure}".rstrip()
    return findings, failure


class _Look:
    """One look at a site, in as many sessions as it takes."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        site: Site,
        guide: UserGuide,
        now: datetime,
        budget: int,
        *,
        record: bool,
    ) -> None:
        self._engine, self._store, self._site, self._guide = engine, store, site, guide
        self._now, self._budget, self._record = now, budget, record
        self._begun = time.monotonic()
        self._until: float | None = None  # when reading back ends, in whatever session
        self.read = ReadBack({}, {})
        self.sight: Sight | None = None  # of the last session that went through
        self._failed: frozenset[str] = frozenset()  # paths of what it could not read back
        self._unanswered = Counter[str]()  # by path, how often the server fell silent there
        self._silences = 0  # of them, when that was asked last

    def find_all(self) -> list[Finding]:
        """All that is wrong on the site, by one more session, and what is wrong on no single one.

        The first session that goes through reads files back, those after it only what could not be read.
        """
        publications = {one.name: one for one in _list_offered(self._engine, self._site.name)}
        if self.sight is None:  # what a session has read that did not go through is known, too
            self.read = load_read_back(self._engine, self._site.name)
        with open_sftp(self._site) as sftp, self._ended_in_time(sftp), self._in_session(sftp) as session:
            obstacles = session.obstacles
            listed, unlisted = self._list(sftp, publications)
            ours = [file for file in listed if posixpath.basename(file.path) in publications]
            for file in ours:
                if self._is_silent(file.path):
                    obstacles[file.path] = Obstacle(Kind.READ_ERROR, f"a Party cannot read it: {_NO_ANSWER}")
                    continue
                _try_to_open(session, file)
            offered = [
                OfferedFile(file, publications[posixpath.basename(file.path)])
                for file in ours
                if file.path not in obstacles
            ]
            next_updates, unequal = _read_small_files(session, self._guide, offered)
            index = self._look_at_index(session)
            odd = [one.file for one in offered if not one.has_its_length]
            foreign = frozenset(file.path for file in odd if not _begins_as_ours(session, file))
            self._read_back(session, [one for one in offered if one.file.path not in obstacles])
        readable = [file for file in listed if file.path not in obstacles]
        if self._record:
            forget_others(self._engine, self._site.name, readable)
        self.sight = Sight(
            self._site.name,
            tuple(file for file in listed if obstacles.get(file.path, True) is not None),
            self.read.hashes(readable),
            next_updates,
            unequal,
            {path: obstacle for path, obstacle in obstacles.items() if obstacle is not None},
            unlisted,
            foreign,
            self.read.pages_of(offered),
            index,
        )
        self._failed = frozenset(obstacles)
        return _find_all(self._engine, self._guide, self.sight, self._now, self._clock())

    def find_in_ledger(self) -> list[Finding]:
        """What is wrong on the site, and on no single one, by the ledger alone."""
        now = self._clock()
        stands = _list_stands(self._engine, self._guide, self._site.name, now)
        return [*_find_in_ledger(self._engine, self._guide, now), *find_late_or_at_risk(self._site.name, stands)]

    def _clock(self) -> datetime:
        """Now (UTC): what is late or at risk is so by the clock, and no longer by the time at which the look began."""
        return self._now + timedelta(seconds=time.monotonic() - self._begun)

    def audited(self, findings: Sequence[Finding], reconciled: Reconciled | None) -> Audit:
        files = () if self.sight is None else self.sight.files
        return Audit(self._site.name, len(files), self.read.files, self.read.pages, tuple(findings), reconciled)

    def goes_on_past_a_file(self) -> bool:
        """Whether the last session ended at a file at which the server fell silent."""
        silences = self._unanswered.total()
        is_new, self._silences = silences > self._silences, silences
        return is_new

    @property
    def is_silent(self) -> bool:
        """Whether the server has fallen silent too often to be asked again."""
        return self._unanswered.total() > _MOST_SILENCES

    @property
    def is_over(self) -> bool:
        """Whether the look's time is over."""
        return time.monotonic() >= self._begun + LOOK_FOR_S

    @contextmanager
    def _ended_in_time(self, sftp: SFTPClient) -> Iterator[None]:
        """Ends the session when the look's time is over, whatever it waits for then."""
        timer = threading.Timer(self._begun + LOOK_FOR_S - time.monotonic(), _end_session, (sftp,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @contextmanager
    def _in_session(self, sftp: SFTPClient) -> Iterator[PartySession]:
        session = PartySession(sftp, self._now)
        try:
            yield session
        finally:
            self._unanswered.update([session.unanswered] if session.unanswered else [])

    def _list(self, sftp: SFTPClient, names: Collection[str]) -> tuple[list[SeenFile], dict[str, Obstacle]]:
        """What the folders hold, uploads under way apart; and which folders of the user guide cannot be listed."""
        listed, obstacles = list[SeenFile](), dict[str, Obstacle]()
        folders = {folder_on(self._site, one) for one in self._guide.all}
        if self._guide.index is not None:
            folders.add(folder_on(self._site, self._guide.index))
        for folder in sorted(folders):
            try:
                files = list_files(sftp, self._site, folder, names) or ()
            except SiteUnavailableError:
                raise
            except ConfigurationError:
                obstacles[folder] = Obstacle(Kind.UNREADABLE, "a Party's account may not list it.")
            except TransportError as error:
                obstacles[folder] = Obstacle(Kind.READ_ERROR, f"the server does not list it: {error.rule}")
            else:
                listed += [file for file in files if not posixpath.basename(file.path).startswith(".")]
        of_guide = {one.folder: obstacles.get(folder_on(self._site, one)) for one in self._guide.all}
        return listed, {folder: obstacle for folder, obstacle in of_guide.items() if obstacle is not None}

    def _look_at_index(self, session: PartySession) -> SeenIndex | None:
        if (index := self._guide.index) is None:
            return None
        if (signer := find_signer(self._engine, self._site.name)) is None:
            return None
        folder = folder_on(self._site, index)
        for name in (index.file, index.signature):
            if self._is_silent(posixpath.join(folder, name)):
                return SeenIndex(f"{name}: {_NO_ANSWER}")
        return look_at_index(session, folder, index, signer)

    def _is_silent(self, path: str) -> bool:
        return self._unanswered[path] >= _SILENT_TIMES

    def _read_back(self, session: PartySession, files: Sequence[OfferedFile]) -> None:
        def remember(read: Audited | PagesRead) -> None:
            if self._record:
                keep(self._engine, self._site.name, read)

        self._until = session.until = self._until or in_seconds(READ_FOR_S)
        is_first = self.sight is None
        wanted = [one for one in files if is_first or one.file.path in self._failed]
        self.read = read_back(session, self._store, wanted, self.read, self._budget, remember)


def _end_session(sftp: SFTPClient) -> None:
    """Ends a session from another thread: what waits for an answer fails at once."""
    channel = sftp.get_channel()
    if channel is not None:
        channel.get_transport().close()


def _find_all(engine: Engine, guide: UserGuide, sight: Sight, begun: datetime, now: datetime) -> list[Finding]:
    """All that is wrong by what was seen from `begun` on and by what the ledger says `now` (UTC)."""
    offered = _list_offered(engine, sight.site)
    stands = _list_stands(engine, guide, sight.site, now)
    with reading(engine) as connection:
        ended = list_ended_since(connection, sight.site, begun - index_grace(guide))
    wrong = find_wrong(guide, sight, offered, stands, begun, load_known(engine, sight.site), ended)
    if not any(one.kind is Kind.LEDGER_BEHIND for one in wrong):  # what the index states is in such a ledger no more
        wrong += find_wrong_index(guide, sight, offered, ended, begun)
    return [*_find_in_ledger(engine, guide, now), *wrong]


def _list_stands(engine: Engine, guide: UserGuide, site: str, now: datetime) -> list[DueStatus]:
    """How all that has to be on the site stands."""
    facts = load_facts(engine, guide, [site], (now - HISTORY).date())
    ahead = forecasts(guide, facts, now)
    return [one for obligation in guide.all for one in list_stands(obligation, facts, now, ahead)]


def _find_in_ledger(engine: Engine, guide: UserGuide, now: datetime) -> list[Finding]:
    """What is wrong on no single site."""
    return [
        *find_held(guide, waiting_gate_runs(engine, now - HISTORY)),
        *find_wrong_clocks(read_clocks(engine), datetime.now(UTC), platform.node()),
        *find_lists_without_obligation(lists_without_obligation(engine, guide)),
    ]


def _try_to_open(session: PartySession, file: SeenFile) -> None:
    if file.odd:
        rule = f"{file.odd} has its name, so for Parties it is not there."
        session.obstacles[file.path] = Obstacle(Kind.NO_FILE, rule)
        return
    with session.each_file(file.path):
        session.sftp.open(file.path, "rb").close()


def _read_small_files(
    session: PartySession, guide: UserGuide, offered: Sequence[OfferedFile]
) -> tuple[dict[str, datetime], str]:
    """What lists and anchor files say themselves: nextUpdate by name, and how the regions differ where they may not."""
    by_name = {one.publication.name: one.file for one in offered if one.has_its_length}
    next_updates: dict[str, datetime] = {}
    unequal = ""
    with tempfile.TemporaryDirectory(prefix="smki-") as folder:

        def fetch(name: str) -> Path | None:
            if (file := by_name.get(name)) is None:
                return None
            with session.each_file(file.path):
                local = Path(folder, name)
                local.write_bytes(read_file(session.sftp, file.path, file.bytes))
                return local
            return None

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
    return next_updates, unequal


def _begins_as_ours(session: PartySession, file: SeenFile) -> bool:
    """Whether a .gz begins with the gzip header that the publisher gives a file of this name; an empty one does."""
    name = posixpath.basename(file.path)
    if not name.endswith(".gz") or file.bytes == 0:
        return True
    with session.each_file(file.path):
        try:
            with session.sftp.open(file.path) as stream:
                return read_header(cast("BinaryIO", stream), name).file_name == name.removesuffix(".gz")
        except DataError:
            return False
    return False


def _list_offered(engine: Engine, site: str) -> list[Publication]:
    with reading(engine) as connection:
        return list_publications(connection, site)
