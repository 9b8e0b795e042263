"""Adopts files that a restored ledger does not know, and those of days that were taken over (`publish.unknown_files`).

Afterwards repository and ledger are again what they were when those files went out.

The files of all sites are found before any is adopted. For each name, the oldest day first, and of a day its delta
before its full extract:

1. Fetch it from each site that has it. Their XML has to be the same.
2. If it is the delta of the day after the newest window, it is that window: what it holds is lodged, with the statuses
   that it states, and the window is closed.
   → what is fetched next goes on from there; the same call does not lodge it again
3. Produce and verify the file of that obligation and day from the repository, as a run would. Its XML has to be that of
   the file on the servers. Of a day that was taken over it may differ, as another publisher writes it otherwise, or the
   certificates were lodged in another order then: such a file is verified as it stands, and has to hold the
   certificates that its window says, each with its status.
4. Record the file, and, site by site, that it is published since the server has it.
   → a run of that day finds its content published; a site that this call did not reach is adopted by another one

A file that is something else is left, with the reason, and so are those of later days on its site. What was lodged
after the last delta is in no file: whoever lodged it lodges it again.
"""

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Engine

from smki.annex_b.gzip_reader import GzipReader
from smki.certificates.model import Status
from smki.certificates.set_digest import SetDigest
from smki.errors import (
    AdoptionError,
    DocumentRefusedError,
    SmkiError,
    TakeOverError,
    VerificationError,
    WindowError,
)
from smki.kinds.extracts.agreement import check_agreement, extract_artefact
from smki.kinds.extracts.production import plan_in_store, produce
from smki.kinds.extracts.reading import ReadExtract, has_rows, read_file
from smki.obligations.catalogue import DeltaExtract, FullExtract, UserGuide, is_recovery_start
from smki.processes import Progress
from smki.publish.artefact import Artefact
from smki.publish.ledger import Lane, record_artefact, record_publication, site_lock
from smki.publish.ranges import Range
from smki.publish.readback import read_ranges
from smki.publish.recipe import PublishedFile
from smki.publish.site import Site, open_sftp, site_errors
from smki.publish.unknown_files import UnknownFile, find_unknown
from smki.repository.database import libpq_url, session
from smki.repository.holdings import changed_by, digests_of_statuses
from smki.repository.takeover import take_over_next
from smki.repository.windows import find_window, in_use_digest, list_windows
from smki.store.local_files import disk_errors
from smki.store.objects import Store
from smki.store.paged_file import PagedFile
from smki.verify.verification import examine_stored, need_right

log = logging.getLogger(__name__)
Steps = Callable[[str], AbstractContextManager[Progress]]  # gives what hears of a step, by its name
_DIFFERS = "find out which of them is the published one, have the other moved away and kept, then adopt again."
_TAKEN_OVER = (
    "It stays on the server, unknown to the ledger: neither retention nor the auditor looks after it.",
    "find out whether it was changed; once its days are past, have it moved away by hand.",
)


class Found(NamedTuple):
    """A file that the ledger does not know, and the site that has it."""

    site: Site
    file: UnknownFile


@dataclass(frozen=True, slots=True)
class _Copy:
    """A file as it was fetched from a site."""

    site: Site
    file: UnknownFile
    local: Path
    xml_sha256: str  # hex
    sha256: str  # of the file, hex


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

    def find(self, site: Site) -> list[Found]:
        """What the ledger does not know there, in the order in which it is adopted. Raises as `find_unknown`.

        `site.folder` is what the folders of the user guide are below.
        """
        with open_sftp(site) as sftp:
            unknown = find_unknown(self.engine, sftp, site, self.guide, datetime.now(UTC))
        return sorted((Found(site, file) for file in unknown), key=self._order)

    def adopt(self, found: Iterable[Found], steps: Steps) -> Iterator[Seen]:
        """Adopts what was found on the sites, and yields each; after one that is left, all others of its site are, too.

        Raises StoreError, RepositoryUnavailableError: the same call goes on.
        """
        left = dict[str, str]()  # site → the file that was left there first
        for _, same in groupby(sorted(found, key=self._order), key=self._order):
            copies = []
            for one in same:
                if (before := left.get(one.site.name)) is None:
                    copies.append(one)
                else:
                    error = AdoptionError(one.file.name, f"{before} comes before it, and was not adopted.")
                    yield Seen(one.site.name, one.file, error)
            for seen in self._adopt(copies, steps):
                if seen.error is not None:
                    left[seen.site] = seen.file.name
                yield seen

    def _order(self, one: Found) -> tuple[date, bool, str]:
        return one.file.business_date, one.file.obligation is not self.guide.delta, one.file.name

    def _adopt(self, found: Iterable[Found], steps: Steps) -> Iterator[Seen]:
        """Adopts the copies of one file."""
        with tempfile.TemporaryDirectory(prefix="smki-") as folder:
            copies: list[_Copy] = []
            for one in found:
                try:
                    copies.append(_fetch(one, Path(folder, str(len(copies))), steps))
                except SmkiError as error:  # of that site alone
                    yield Seen(one.site.name, one.file, error)
            if not copies:
                return
            first, file = copies[0], copies[0].file
            try:
                _need_equal(copies)
                with steps(f"lodging {file.name}") as progress:
                    taken = self._take_over(file, first.local, progress)
                with steps(f"producing {file.name}") as progress:
                    artefact = self._same_artefact(first, progress)
            except AdoptionError as error:
                yield from (Seen(copy.site.name, copy.file, error) for copy in copies)
                return
        for copy in copies:
            self._record(copy, artefact)
            yield Seen(copy.site.name, copy.file, None, *taken)
            taken = (0, 0)

    def _record(self, copy: _Copy, artefact: Artefact) -> None:
        site, file = copy.site.name, copy.file
        if copy.sha256 != artefact.sha256:  # compressed otherwise
            artefact = replace(artefact, bytes=file.bytes, sha256=copy.sha256, manifest="")
        published = PublishedFile(file.path, file.bytes, artefact.sha256, already_there=True)
        since = min(max(file.modified_at, file.obligation.cut_off.at(file.business_date)), artefact.verified_at)
        with session(self.engine) as connection, site_lock(connection, site, Lane.DATED), connection.begin():
            record_artefact(connection, artefact)
            record_publication(connection, site, file.name, published, self.run, since)
        log.info("file adopted site=%s name=%s sha256=%s run=%s", site, file.name, artefact.sha256, self.run)

    def _take_over(self, file: UnknownFile, local: Path, progress: Progress) -> tuple[int, int]:
        """Lodges and closes what the repository lacks of the day: how many were lodged, and got another status."""
        windows = {window.business_date for window in list_windows(self.engine)}
        if file.business_date in windows:
            return 0, 0
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
        return taken.lodged, taken.changed

    def _same_artefact(self, copy: _Copy, progress: Progress) -> Artefact:
        """The artefact that the fetched file is, which the repository itself gives again."""
        file, kind = copy.file, copy.file.obligation.kind
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
        with PagedFile.stored(self.store, manifest).open() as ours:
            is_same = copy.xml_sha256 == _xml_sha256(ours, file.name)
        if is_same:
            return extract_artefact(file.obligation, of_manifest, manifest, verification, self.run, datetime.now(UTC))
        if file.is_taken_over:
            return self._as_it_stands(copy, kind, progress)
        rule = (
            f"it has another content than the repository has for {file.business_date}: "
            f"{verification.records:,} certificates with set digest {verification.set_digest}."
        )
        raise AdoptionError(file.name, rule)

    def _as_it_stands(self, copy: _Copy, kind: FullExtract | DeltaExtract, progress: Progress) -> Artefact:
        """The artefact that the fetched file is. Raises AdoptionError where it holds something else than its window."""
        file, seq = copy.file, find_window(self.engine, copy.file.business_date).seq
        with read_file(copy.local, kind, self.schema, self.workers, progress) as read:
            try:
                verification = need_right(read.verification)
            except VerificationError as error:
                raise AdoptionError(file.name, error.rule, *_TAKEN_OVER) from error
            digests = _digests_in(read) if has_rows(kind) else {str(Status.IN_USE): verification.set_digest}
        if digests != self._digests_of(kind, seq) or verification.statuses.keys() != digests.keys():
            rule = f"its {verification.records:,} certificates, and their statuses, are not those of window {seq}."
            raise AdoptionError(file.name, rule, *_TAKEN_OVER)
        return Artefact(
            obligation=file.obligation.name,
            name=file.name,
            business_date=file.business_date,
            window_seq=seq,
            bytes=verification.bytes,
            sha256=verification.sha256,
            content_digest=copy.xml_sha256,
            xml_bytes=verification.xml_bytes,
            records=verification.records,
            set_digest=verification.set_digest,
            run=self.run,
            verified_at=datetime.now(UTC),
            subject=file.obligation.subject,
        )

    def _digests_of(self, kind: FullExtract | DeltaExtract, seq: int) -> dict[str, SetDigest]:
        """Set digest of the certificates of each status that the extract of a window has to hold."""
        if isinstance(kind, DeltaExtract):
            return _sum_by_status((batch["after"], batch["sha256"]) for batch in changed_by(self.engine, seq))
        digests = (
            {Status.IN_USE: in_use_digest(self.engine, seq)}
            if is_recovery_start(kind)
            else digests_of_statuses(self.engine, seq, kind.statuses)
        )
        return {str(status): digest for status, digest in digests.items() if digest.count}


def _fetch(found: Found, folder: Path, steps: Steps) -> _Copy:
    site, file = found
    folder.mkdir()
    local = folder / file.name
    with (
        steps(f"fetching {file.name} from {site.name}") as progress,
        disk_errors(local),
        local.open("wb") as out,
        open_sftp(site) as sftp,
        site_errors(f"{file.name} on site {site.name}"),
        sftp.open(file.path, "rb") as remote,
    ):

        def keep(piece: memoryview) -> None:
            with disk_errors(local):  # which are not the site's
                out.write(piece)
                out.flush()
            progress(out.tell(), file.bytes)

        read_ranges(sftp, remote, [Range(0, file.bytes)], keep)
    with local.open("rb") as stream:
        try:
            xml_sha256 = _xml_sha256(stream, file.name)
        except DocumentRefusedError as error:
            raise AdoptionError(file.name, f"it cannot be read: {error.rule}") from error
        stream.seek(0)
        return _Copy(site, file, local, xml_sha256, hashlib.file_digest(stream, "sha256").hexdigest())


def _need_equal(copies: Sequence[_Copy]) -> None:
    first, *others = copies
    if other := [copy for copy in others if copy.xml_sha256 != first.xml_sha256]:
        rule = f"its content on {first.site.name} is not that on {other[0].site.name}."
        raise AdoptionError(first.file.name, rule, next_step=_DIFFERS)


def _xml_sha256(stream: BinaryIO, name: str) -> str:
    return hashlib.file_digest(GzipReader(stream, name), "sha256").hexdigest()


def _digests_in(read: ReadExtract) -> dict[str, SetDigest]:
    """Set digest of the certificates of each status in a file that was read with its rows."""
    tables = (read.marks.rows([segment.number]) for segment in read.verification.segments)
    return _sum_by_status((table["status"], table["sha256"]) for table in tables)


def _sum_by_status(pieces: Iterable[tuple[pa.ChunkedArray, pa.ChunkedArray]]) -> dict[str, SetDigest]:
    digests = dict[str, SetDigest]()
    for statuses, hashes in pieces:
        for status in pc.unique(statuses).to_pylist():
            of_status = hashes.filter(pc.equal(statuses, status))
            digests[status] = digests.get(status, SetDigest()) + SetDigest.of_hashes(of_status.to_pylist())
    return digests
