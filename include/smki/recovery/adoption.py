"""Adopts files that a restored ledger does not know (`publish.unknown_files`).

Afterwards repository and ledger are again what they were when those files went out.

For each file, the oldest day first, and of a day its delta before its full extract:

1. Fetch it.
2. If it is the delta of the day after the newest window, it is that window: what it holds is lodged, with the statuses
   that it states, and the window is closed.
   → what is fetched next goes on from there; the same call does not lodge it again
3. Produce and verify the file of that obligation and day from the repository, as a run would. Its XML has to be that of
   the file on the server.
4. Record the file, and that it is published since the server has it.
   → a run of that day finds its content published

A file that is something else is left, with the reason, and so are those of later days. What was lodged after the last
delta is in no file: whoever lodged it lodges it again.
"""

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Engine

from smki.annex_b.gzip_reader import GzipReader
from smki.errors import AdoptionError, DocumentRefusedError, SmkiError, TakeOverError, WindowError
from smki.kinds.extracts.agreement import check_agreement, extract_artefact
from smki.kinds.extracts.production import plan_in_store, produce
from smki.kinds.extracts.reading import has_rows
from smki.obligations.catalogue import DeltaExtract, FullExtract, UserGuide
from smki.processes import Progress
from smki.publish.artefact import Artefact
from smki.publish.ledger import Lane, record_artefact, record_publication, site_lock
from smki.publish.ranges import Range
from smki.publish.readback import read_ranges
from smki.publish.recipe import PublishedFile
from smki.publish.site import Site, open_sftp, site_errors
from smki.publish.unknown_files import UnknownFile, find_unknown
from smki.repository.database import libpq_url, session
from smki.repository.takeover import take_over_next
from smki.repository.windows import list_windows
from smki.store.objects import Store
from smki.store.paged_file import PagedFile
from smki.verify.verification import examine_stored, need_right

log = logging.getLogger(__name__)
Steps = Callable[[str], AbstractContextManager[Progress]]  # gives what hears of a step, by its name


@dataclass(frozen=True, slots=True)
class Seen:
    """A file that the ledger did not know, and what became of it."""

    site: str
    file: UnknownFile
    error: SmkiError | None = None  # why it was not adopted
    lodged: int = 0  # certificates that the repository did not have
    changed: int = 0  # certificates whose status it did not have


@dataclass(frozen=True, slots=True)
class Adoption:
    """Adopts what a site has; what it works with."""

    engine: Engine
    store: Store
    guide: UserGuide
    schema: Path  # XSD of Annex B
    run: str  # who adopts
    workers: int = 1

    def find(self, site: Site) -> list[UnknownFile]:
        """What the ledger does not know there. Raises as `find_unknown`."""
        with open_sftp(site) as sftp:
            return find_unknown(self.engine, sftp, site, self.guide, datetime.now(UTC))

    def adopt(self, site: Site, steps: Steps) -> Iterator[Seen]:
        """Adopts the files of a site, and yields each; after one that is left, all others are left, too.

        `site.folder` is what the folders of the user guide are below. Raises SiteUnavailableError and the like,
        StoreError, RepositoryUnavailableError: the same call goes on.
        """
        stopped: SmkiError | None = None
        for file in self.find(site):
            if stopped is not None:
                yield Seen(site.name, file, stopped)
                continue
            try:
                yield self._adopt(site, file, steps)
            except AdoptionError as error:
                yield Seen(site.name, file, error)
                stopped = AdoptionError(file.name, f"{error.item} comes before it, and was not adopted.")

    def _adopt(self, site: Site, file: UnknownFile, steps: Steps) -> Seen:
        with tempfile.TemporaryDirectory(prefix="smki-") as folder:
            local = Path(folder, file.name)
            with steps(f"fetching {file.name}") as progress:
                _fetch(site, file, local, progress)
            with steps(f"lodging {file.name}") as progress:
                seen = self._take_over(site, file, local, progress)
            with steps(f"producing {file.name}") as progress:
                artefact = self._same_artefact(file, local, progress)
        published = PublishedFile(file.path, file.bytes, artefact.sha256, already_there=True)
        since = min(max(file.modified_at, file.obligation.cut_off.at(file.business_date)), artefact.verified_at)
        with session(self.engine) as connection, site_lock(connection, site.name, Lane.DATED), connection.begin():
            record_artefact(connection, artefact)
            record_publication(connection, site.name, file.name, published, self.run, since)
        log.info("file adopted site=%s name=%s sha256=%s run=%s", site.name, file.name, artefact.sha256, self.run)
        return seen

    def _take_over(self, site: Site, file: UnknownFile, local: Path, progress: Progress) -> Seen:
        """Lodges and closes what the repository lacks of the day."""
        windows = {window.business_date for window in list_windows(self.engine)}
        if file.business_date in windows:
            return Seen(site.name, file)
        if not isinstance(file.obligation.kind, DeltaExtract):
            raise AdoptionError(
                file.name, f"the window of {file.business_date} is not closed, and its delta not there."
            )
        try:
            taken = take_over_next(
                self.engine,
                self.guide,
                local,
                file.business_date,
                lambda done: progress(done, done),
                schema=self.schema,
            )
        except (TakeOverError, WindowError, DocumentRefusedError) as error:
            raise AdoptionError(file.name, f"it cannot be taken over: {error.item}: {error.rule}") from error
        return Seen(site.name, file, None, taken.lodged, taken.changed)

    def _same_artefact(self, file: UnknownFile, local: Path, progress: Progress) -> Artefact:
        """The artefact that the fetched file is, which the repository itself gives again."""
        kind = file.obligation.kind
        if not isinstance(kind, FullExtract | DeltaExtract):
            raise AdoptionError(file.name, "it is no extract, and only extracts are adopted.")
        plan = plan_in_store(self.engine, self.store, self.schema, file.obligation, file.business_date)
        of_manifest, manifest = produce(
            libpq_url(self.engine), plan, self.store, workers=self.workers, progress=progress
        )
        verification, _ = examine_stored(
            self.store, manifest, self.schema, workers=self.workers, keep_rows=has_rows(kind)
        )
        check_agreement(self.engine, kind, manifest, need_right(verification))
        paged = PagedFile.stored(self.store, manifest)
        with local.open("rb") as there, paged.open() as ours:
            try:
                is_same = _xml_sha256(there, file.name) == _xml_sha256(ours, file.name)
                sha256 = _sha256(local)
            except DocumentRefusedError as error:
                raise AdoptionError(file.name, f"it cannot be read: {error.rule}") from error
        if not is_same:
            rule = (
                f"it has another content than the repository has for {file.business_date}: "
                f"{verification.records:,} certificates with set digest {verification.set_digest}."
            )
            raise AdoptionError(file.name, rule)
        ours_is = extract_artefact(file.obligation, of_manifest, manifest, verification, self.run, datetime.now(UTC))
        if sha256 == verification.sha256:
            return ours_is
        return replace(ours_is, bytes=file.bytes, sha256=sha256, manifest="")  # compressed otherwise


def _fetch(site: Site, file: UnknownFile, local: Path, progress: Progress) -> None:
    with (
        open_sftp(site) as sftp,
        site_errors(f"{file.name} on site {site.name}"),
        local.open("wb") as out,
        sftp.open(file.path, "rb") as remote,
    ):

        def keep(piece: memoryview) -> None:
            out.write(piece)
            progress(out.tell(), file.bytes)

        read_ranges(sftp, remote, [Range(0, file.bytes)], keep)


def _xml_sha256(stream: BinaryIO, name: str) -> bytes:
    return hashlib.file_digest(GzipReader(stream, name), "sha256").digest()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
