"""One look at a site, as a Party sees it, in as many sessions as it takes.

1. Log in with a Party's read-only account and list the obligations' folders. One that cannot be listed is an obstacle.
2. Open every file that the ledger offers: one that a Party cannot read, for whatever reason, is an obstacle, and hides
   none of the others. What is no file is not opened.
3. Read what revocation lists and anchor files say themselves; nothing that is longer than what was published. Read the
   signed index, by the certificate that the ledger has for it.
4. Read back (`read_back`): what is new, has changed or was wrong, and of the rest some, so that each file is read again
   in its turn; of files of pages no more than a number of bytes a day. On a slow line the rest is left to the next
   look: everything that the listing tells is still told.

A file at which the server falls silent twice is an obstacle, and left alone: what else lies there is looked at. A look
ends after twenty minutes, in the middle of whatever a server does not answer, and after a number of silences it is
over, too.
"""

import logging
import posixpath
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

from paramiko import SFTPClient
from sqlalchemy import Engine

from smki.annex_b.gzip_reader import read_header
from smki.errors import ConfigurationError, DataError, SiteUnavailableError, TransportError
from smki.kinds.anchors.files import own_certificates, read_region
from smki.kinds.anchors.production import REGION_OF
from smki.kinds.index.ledger import find_signer
from smki.kinds.revocation.reading import read_revocation_list
from smki.obligations.catalogue import RevocationList, UserGuide
from smki.publish.artefact import Publication
from smki.publish.ledger import list_publications
from smki.publish.readback import read_file
from smki.publish.site import Site, folder_on, open_sftp
from smki.repository.database import reading
from smki.retention.execution import list_files
from smki.retention.rules import SeenFile
from smki.store.objects import Store
from smki.verify.frame import read_single
from smki.watch.findings import Kind
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
from smki.watch.site_findings import Obstacle, SeenIndex, Sight
from smki.watch.site_index import look_at_index

log = logging.getLogger(__name__)
LOOK_FOR_S = 20 * 60  # whatever a server does: well below its task's time
MOST_SILENCES = 6  # in one look: it may be the line; a server that is silent takes the site's time to answer for each
_SILENT_TIMES = 2  # then the file is left alone
_NO_ANSWER = "the server gives no answer."


class Look:
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
        self.now, self._budget, self._record = now, budget, record
        self._begun = time.monotonic()
        self._until: float | None = None  # when reading back ends, in whatever session
        self.read = ReadBack({}, {})
        self.sight: Sight | None = None  # of the last session that went through
        self._failed: frozenset[str] = frozenset()  # paths of what it could not read back
        self._unanswered = Counter[str]()  # by path, how often the server fell silent there
        self._silences = 0  # of them, when that was asked last

    def see(self) -> Sight:
        """What one more session sees. The first that goes through reads files back, the others what could not be read.

        Raises SiteUnavailableError, SiteLoginError, RepositoryUnavailableError.
        """
        publications = {one.name: one for one in self.list_offered()}
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
        return self.sight

    def list_offered(self) -> list[Publication]:
        """What the ledger says the site offers. Raises RepositoryUnavailableError."""
        with reading(self._engine) as connection:
            return list_publications(connection, self._site.name)

    def clock(self) -> datetime:
        """Now (UTC): what is late or at risk is so by the clock, and no longer by the time at which the look began."""
        return self.now + timedelta(seconds=time.monotonic() - self._begun)

    def goes_on_past_a_file(self) -> bool:
        """Whether the last session ended at a file at which the server fell silent."""
        silences = self._unanswered.total()
        is_new, self._silences = silences > self._silences, silences
        return is_new

    @property
    def is_silent(self) -> bool:
        """Whether the server has fallen silent too often to be asked again."""
        return self._unanswered.total() > MOST_SILENCES

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
        session = PartySession(sftp, self.now)
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
