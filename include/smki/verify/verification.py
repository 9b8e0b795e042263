"""Verifies files from their own bytes: extracts of our own unit by unit, in one pass for any Annex B file.

* One gzip member, intact, nothing after it; FNAME is the file's name without .gz (`frame`).
* One XML document, valid by the schema, each record equal to its certificate (`record_check`).
* No issuer and serial number twice.

Which certificates and which statuses a file has to hold is not asked here: the gate does that.

With its manifest an extract is checked page by page, in any number of processes and on any machine: each page inflates
from nothing, is not marked final, and yields the bytes that its facts say. Together they cover the stream without a
gap. Head and tail around each make a whole document, so the whole is one. And the member's CRC-32 is that of them all
combined. What was found of a page that lies in the store is kept (`marks`), so a page is parsed once in its life.

A file is checked by the wire format that its manifest states; where there is no manifest, by the one that its root
element has. `schema` is everywhere the XSD of V1; other formats name theirs (`annex_b.version.schema_path`).

What is wrong is a fault in a row of figures; it stops neither the other units nor the other checks. `verify_file`
raises the first one, `examine_file` returns them all.
"""

import hashlib
import pickle
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from isal import isal_zlib
from numpy.typing import NDArray

from smki.annex_b.gzip_reader import GzipReader, inflate_segment, read_header
from smki.annex_b.version import CURRENT, AnnexB
from smki.certificates.set_digest import SetDigest
from smki.errors import DocumentRefusedError, MissingObjectError
from smki.processes import Progress, map_in_processes
from smki.store.local_files import disk_errors
from smki.store.manifest import Manifest
from smki.store.objects import Store
from smki.store.paged_file import PagedFile
from smki.store.pages import PAGE, Pages
from smki.verify.basis import basis_of
from smki.verify.documents import Source, cut_document
from smki.verify.faults import Fault, FaultError
from smki.verify.figures import SegmentFigures, page_figures, segment_figures
from smki.verify.frame import damage_as_fault, frame_faults, name_faults
from smki.verify.marks import Marks, Unit, record_marks, repeated_keys
from smki.verify.record_check import CheckedRecords, RecordChecker

_PIECE = 4 << 20  # bytes of XML that are parsed at once


@dataclass(frozen=True, slots=True)
class Verification:
    """What a file holds, and what is wrong with it: one row of figures a unit, and the faults."""

    name: str
    bytes: int  # of the file
    sha256: str  # of the file, hex
    segments: tuple[SegmentFigures, ...]
    faults: tuple[FaultError, ...] = ()  # of the file as a whole
    repeated: tuple[int, ...] = ()  # keys (see `marks`) of certificates that are in it more than once
    format: AnnexB = CURRENT  # by which it was checked

    @property
    def records(self) -> int:
        """Certificates in the file."""
        return sum(segment.records for segment in self.segments)

    @property
    def xml_bytes(self) -> int:
        return sum(segment.xml_bytes for segment in self.segments)

    @property
    def statuses(self) -> dict[str, int]:
        """Records by status."""
        return _total(segment.statuses for segment in self.segments)

    @property
    def in_use_until(self) -> datetime | None:
        """The earliest notAfter of the records with status I (UTC)."""
        return min((at for segment in self.segments if (at := segment.in_use_until)), default=None)

    @property
    def classes(self) -> dict[str, int]:
        """Records by class."""
        return _total(segment.classes for segment in self.segments)

    @property
    def issuers(self) -> dict[str, int]:
        """Records by issuer (Name, DER, hex)."""
        return _total(segment.issuers for segment in self.segments)

    @property
    def set_digest(self) -> SetDigest:
        """Of the certificates in the file."""
        return sum((segment.set_digest for segment in self.segments), SetDigest())


def verify_file(
    file: Path,
    schema: Path,
    *,
    manifest: Manifest | None = None,
    workers: int = 1,
    progress: Progress = lambda _done, _of: None,
) -> Verification:
    """What `examine_file` returns, of a file that is right. Raises VerificationError for the first fault."""
    with TemporaryDirectory(prefix="smki-") as folder:
        marks = Marks.folder(Path(folder))
        verification = examine_file(file, schema, marks, manifest=manifest, workers=workers, progress=progress)
    return need_right(verification)


def need_right(verification: Verification) -> Verification:
    """The same, of a file that is right. Raises VerificationError for the first fault."""
    for segment in verification.segments:
        if segment.fault:
            item, _, rule = segment.fault_text.partition(": ")
            raise FaultError(Fault(segment.fault), item, rule)
    for fault in verification.faults:
        raise fault
    return verification


def examine_file(
    file: Path,
    schema: Path,
    marks: Marks,
    *,
    manifest: Manifest | None = None,
    workers: int = 1,
    keep_rows: bool = False,
    progress: Progress = lambda _done, _of: None,
) -> Verification:
    """Verifies a file; with its manifest in `workers` processes, else in one pass that any Annex B .gz suits.

    `marks` is filled; with `keep_rows`, for small files, also with a row a record. `progress` hears units, or bytes
    of the file where there is no manifest.
    """
    if manifest is None:
        return _examine_stream(file, schema, marks, keep_rows, progress)
    paged = PagedFile.on_disk(file, manifest)
    marks.units += [Unit(f"{number:05d}") for number in range(len(paged.units))]
    faulty = _check_in_processes(paged, range(len(paged.units)), schema, marks, workers, keep_rows, progress)
    return conclude(paged, paged.sha256(), marks, faulty)


def examine_stored(
    store: Store,
    manifest: Manifest,
    schema: Path,
    *,
    workers: int = 1,
    keep_rows: bool = False,
    progress: Progress = lambda _done, _of: None,
) -> tuple[Verification, Marks]:
    """Verifies an extract that lies in the store; of its segments those that nobody has. Its marks lie there, too.

    The file's SHA-256 is taken beside it. Raises MissingObjectError, StoreError for pages that are damaged there.
    """
    paged, marks = PagedFile.stored(store, manifest), stored_marks(store, manifest, schema)
    with ThreadPoolExecutor(1) as beside:
        sha256 = beside.submit(paged.sha256)
        numbers = unchecked(marks, keep_rows=keep_rows)
        faulty = _check_in_processes(paged, numbers, schema, marks, workers, keep_rows, progress)
        return conclude(paged, sha256.result(), marks, faulty), marks


def stored_marks(store: Store, manifest: Manifest, schema: Path) -> Marks:
    """The marks of an extract that lies in the store; those of a segment are shared by all files it is used in.

    They are those of the running verifier and schema, whichever the extract was planned under: a worker of another
    version finds none of its own, and leaves none under a foreign name.
    """
    marks = Marks(store, basis_of(manifest.format, schema))
    _frame, *segments = PagedFile.stored(store, manifest).units
    marks.units.append(Unit(f"frame-{manifest.frame_digest}"))
    for segment, places in zip(manifest.segments, segments, strict=True):
        marks.units.append(Unit(segment, manifest.pages["place"][places].astype(np.intp), manifest.places[places]))
    return marks


def unchecked(marks: Marks, *, keep_rows: bool = False) -> list[int]:
    """Numbers of the units that nobody has checked by this basis, and with rows where they are kept, or found wrong."""
    return [number for number, unit in enumerate(marks.units) if not marks.has(unit.name, with_rows=keep_rows)]


def check_units(
    paged: PagedFile, numbers: Iterable[int], schema: Path, marks: Marks, *, keep_rows: bool = False
) -> Iterator[SegmentFigures]:
    """Checks some units of an extract and keeps their marks; yields a row of figures each."""
    checker = RecordChecker(paged.manifest.format, schema, keep_rows=keep_rows)
    for number in numbers:
        yield _check_and_mark(paged, number, checker, marks)


def conclude(paged: PagedFile, sha256: str, marks: Marks, faulty: Iterable[SegmentFigures]) -> Verification:
    """Puts the marks of all units together and checks the whole: frame, coverage, CRC-32, duplicates.

    `sha256` (hex) is the file's; `faulty` are the rows of the units that are wrong.
    """
    wrong = {figures.number: figures for figures in faulty}
    segments = tuple(wrong.get(number) or _figures(paged, number, marks) for number in range(len(paged.units)))
    faults = _collect(frame_faults(paged))
    return _conclude(paged.name, paged.size, paged.manifest.format, sha256, segments, faults, marks)


def _check_in_processes(
    paged: PagedFile,
    numbers: Sequence[int],
    schema: Path,
    marks: Marks,
    workers: int,
    keep_rows: bool,
    progress: Progress,
) -> list[SegmentFigures]:
    """Rows of the units that are wrong."""
    faulty = []
    with TemporaryDirectory(prefix="smki-") as folder:
        work = Path(folder) / "work"  # for a large file too much to be sent with each number
        with disk_errors(Path(folder)):
            work.write_bytes(pickle.dumps((paged, schema, marks, keep_rows)))
        for done, figures in enumerate(map_in_processes(partial(_check_one, work), numbers, workers, __name__), 1):
            if figures.fault:
                faulty.append(figures)
            progress(done, len(numbers))
    return faulty


def _check_one(work: Path, number: int) -> SegmentFigures:
    paged, marks, checker = _load(work)
    return _check_and_mark(paged, number, checker, marks)


@lru_cache(maxsize=1)
def _load(work: Path) -> tuple[PagedFile, Marks, RecordChecker]:
    """For this process in one examination: one schema and one set of templates for all units."""
    paged, schema, marks, keep_rows = pickle.loads(work.read_bytes())  # noqa: S301  # our own, written a moment ago
    return paged, marks, RecordChecker(paged.manifest.format, schema, keep_rows=keep_rows)


def _check_and_mark(paged: PagedFile, number: int, checker: RecordChecker, marks: Marks) -> SegmentFigures:
    unit = marks.units[number]
    if unit.pages is not None and len(unit.pages) < paged.manifest.sizes[number - 1]:
        raise MissingObjectError(
            f"{paged.name}, segment {number}",
            "what was found of it is gone, and this file has not all of its pages.",
            next_step="produce the file from scratch.",
        )
    try:
        pieces = _check_unit(paged, number, checker)
    except FaultError as error:
        return SegmentFigures(number, fault=error.fault, fault_text=error.text)
    stated = _stated(paged.manifest.pages[paged.units[number]])
    _keep(marks, unit.name, pieces, stated)
    return SegmentFigures(number, records=sum(checked.records for checked, _ in pieces))


def _stated(pages: Pages) -> pa.ChunkedArray:
    """(n,) what a manifest states of pages, as bytes; not their places, which are others in other files."""
    rows = pages.copy()
    rows["segment"] = rows["number"] = -1
    return pa.chunked_array([pa.array(rows.view(f"V{PAGE.itemsize}").tolist(), pa.binary())])


def _keep(
    marks: Marks,
    name: str,
    pieces: Sequence[tuple[CheckedRecords, Sequence[int]]],
    stated: pa.ChunkedArray | None = None,
) -> pa.Table:
    """Keeps the marks of a checked unit, whose pieces have pages of so many records, and what is `stated` of each page.

    Returns PAGE_FIGURES of it.
    """
    pages = pa.concat_tables(page_figures(checked, counts) for checked, counts in pieces)
    if stated is not None:
        pages = pages.append_column("stated", stated)
    records = record_marks([checked.keys for checked, _ in pieces], [checked.hashes for checked, _ in pieces])
    rows = [checked.rows for checked, _ in pieces if checked.rows is not None]
    marks.keep(name, pages, records, pa.concat_tables(rows) if rows else None)
    return pages


def _check_unit(paged: PagedFile, number: int, checker: RecordChecker) -> list[tuple[CheckedRecords, Sequence[int]]]:
    """Its pieces, and how many records each page of a piece has. Raises FaultError."""
    manifest, places = paged.manifest, paged.units[number]
    item = f"{paged.name}, segment {number}"
    head, tail = _inflate_frame(paged, item)
    if not len(places):
        return [(checker.check(head, b"", tail, item), [])]
    pieces: list[tuple[CheckedRecords, Sequence[int]]] = []
    for xml in _in_pieces(_inflate_pages(paged, places, item)):
        checked = checker.check(head, b"".join(xml), tail, item)
        end = manifest.format.record_end + b"\n"
        counts = [page.count(end) for page in xml]
        if sum(counts) != checked.records or not all(page.endswith(end) for page in xml):
            raise FaultError(Fault.CONTENT, item, "its pages are not cut between records.")
        pieces.append((checked, counts))
    found, stated = [page for _, counts in pieces for page in counts], manifest.pages["records"][places].tolist()
    if found != stated:
        raise FaultError(Fault.CONTENT, item, f"it has {sum(found)} records and was produced with {sum(stated)}.")
    return pieces


def _inflate_frame(paged: PagedFile, item: str) -> tuple[bytes, bytes]:
    """The XML of head and tail. Raises FaultError."""
    manifest = paged.manifest
    with damage_as_fault():
        head, tail = (
            inflate_segment(paged.read(start, len(frame.deflate)), len(frame.xml), item)
            for start, frame in (
                (len(manifest.header), manifest.head),
                (int(manifest.offsets[-1]), manifest.tail),
            )
        )
    if (head, tail) != (manifest.head.xml, manifest.tail.xml):
        raise FaultError(Fault.CONTENT, item, "what stands around its records is not what was produced.")
    return head, tail


def _inflate_pages(paged: PagedFile, places: NDArray[np.intp], item: str) -> Iterator[bytes]:
    """The XML of each page, held against its facts. Raises FaultError."""
    facts = paged.manifest.pages[places]
    names = ("xml_bytes", "xml_crc32", "xml_sha256", "deflate_crc32")
    for deflate, *stated in zip(paged.read_pages(places), *(facts[name].tolist() for name in names), strict=True):
        with damage_as_fault():
            xml = inflate_segment(deflate, stated[0], item)
        if [len(xml), isal_zlib.crc32(xml), hashlib.sha256(xml).digest(), isal_zlib.crc32(deflate)] != stated:
            raise FaultError(Fault.CONTENT, item, "its content is not what was produced.")
        yield xml


def _in_pieces(pages: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Pages in a row, some megabytes at a time."""
    piece: list[bytes] = []
    for page in pages:
        piece.append(page)
        if sum(map(len, piece)) >= _PIECE:
            yield piece
            piece = []
    if piece:
        yield piece


def _figures(paged: PagedFile, number: int, marks: Marks) -> SegmentFigures:
    """A unit's row, from its marks, where its pages are stated as they were checked. Raises StoreError."""
    manifest, places, marked = paged.manifest, paged.units[number], marks.pages(number)
    pages = manifest.pages[places]
    if not marked["stated"].equals(_stated(pages)):
        text = f"{paged.name}, segment {number}: its pages are stated otherwise than they were found."
        return SegmentFigures(number, fault=Fault.CONTENT, fault_text=text)
    frame_bytes = len(manifest.head.xml) + len(manifest.tail.xml)
    return segment_figures(number, marked, int(pages["xml_bytes"].sum(dtype=np.int64)) if number else frame_bytes)


def _examine_stream(file: Path, schema: Path, marks: Marks, keep_rows: bool, progress: Progress) -> Verification:
    checker: RecordChecker | None = None
    segments: list[SegmentFigures] = []
    faults: list[FaultError] = []
    size = file.stat().st_size
    with file.open("rb") as stream:
        try:
            with damage_as_fault():
                faults += name_faults(file.name, read_header(stream, file.name).file_name)
        except FaultError as error:
            faults.append(error)
        else:
            stream.seek(0)
            gzip = GzipReader(stream, file.name)
            pieces = cut_document(Source(gzip), file.name)
            for number in count():
                marks.units.append(Unit(f"{number:05d}"))
                try:
                    if (piece := next(pieces, None)) is None:
                        marks.units.pop()
                        break
                    checker = checker or RecordChecker(piece.annex_b, schema, keep_rows=keep_rows)
                    item = f"{file.name}, piece {number + 1}"
                    checked = checker.check(piece.opening, piece.records, piece.closing, item)
                except FaultError as error:
                    segments.append(SegmentFigures(number, fault=error.fault, fault_text=error.text))
                except DocumentRefusedError as error:
                    segments.append(SegmentFigures(number, fault=Fault.GZIP, fault_text=f"{file.name}: {error.rule}"))
                else:
                    pages = _keep(marks, marks.units[number].name, [(checked, [checked.records])])
                    row = segment_figures(number, pages, piece.xml_bytes)
                    segments.append(replace(row, parsed=row.parsed or not piece.as_it_stands))
                progress(stream.tell(), size)
            if gzip.members != 1:
                faults.append(FaultError(Fault.GZIP, file.name, f"it has {gzip.members} gzip members, not one."))
            if gzip.padding:
                faults.append(FaultError(Fault.GZIP, file.name, f"{gzip.padding:,} zeros follow its gzip member."))
        stream.seek(0)
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    annex_b = checker.annex_b if checker else CURRENT
    return _conclude(file.name, size, annex_b, sha256, tuple(segments), faults, marks)


def _conclude(
    name: str,
    size: int,
    annex_b: AnnexB,
    sha256: str,
    segments: tuple[SegmentFigures, ...],
    faults: Sequence[FaultError],
    marks: Marks,
) -> Verification:
    """With the check that needs all units' marks."""
    repeated = repeated_keys(marks.keys(segment.number for segment in segments if not segment.fault))
    if len(repeated):
        rule = f"{len(repeated)} certificates (issuer and serial number) are in it more than once."
        faults = [*faults, FaultError(Fault.DUPLICATE, name, rule)]
    return Verification(
        name=name,
        bytes=size,
        sha256=sha256,
        segments=segments,
        faults=tuple(faults),
        repeated=tuple(repeated.tolist()),
        format=annex_b,
    )


def _total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    return dict(sum((Counter(some) for some in counts), Counter()))


def _collect(faults: Iterator[FaultError]) -> list[FaultError]:
    """All of them, with the one that ends them."""
    collected: list[FaultError] = []
    try:
        collected.extend(faults)
    except FaultError as error:
        collected.append(error)
    return collected
