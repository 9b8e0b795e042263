"""Verifies a whole extract from its own bytes: segment by segment for our own, in one pass for any Annex B file.

* One gzip member, intact, nothing after it; FNAME is the file's name without .gz (`frame`).
* One XML document, valid by the schema, each record equal to its certificate (`record_check`).
* No issuer and serial number twice.

Which certificates and which statuses a file has to hold is not asked here: the gate does that.

With the manifest of an assembled extract the segments are checked apart, in any number of processes: each inflates from
nothing, is not marked final, and yields the bytes that its facts say. Together they cover the stream without a gap.
Head and tail around each make a whole document, so the whole is one. And the member's CRC-32 is that of them all
combined.

A file is checked by the wire format that its manifest states; where there is no manifest, by the one that its root
element has. `schema` is everywhere the XSD of V1; other formats name theirs (`annex_b.version.schema_path`).

What is wrong is a fault in a row of figures; it stops neither the other segments nor the other checks. `verify_file`
raises the first one, `examine_file` returns them all.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, TypeVar
from uuid import uuid4

from smki.annex_b.gzip_reader import GzipReader, read_header
from smki.annex_b.version import CURRENT, AnnexB
from smki.certificates.set_digest import SetDigest
from smki.errors import DocumentRefusedError
from smki.processes import Progress, map_in_processes
from smki.store.manifest import Manifest
from smki.verify.documents import Source, cut_document, end_of_records
from smki.verify.faults import Fault, FaultError
from smki.verify.frame import damage_as_fault, frame_faults, name_faults, read_segment
from smki.verify.marks import Marks, repeated_keys
from smki.verify.record_check import RecordChecker, RecordFigures

_PIECE = 4 << 20  # bytes of XML that are parsed at once
Name = TypeVar("Name", str, bytes)


@dataclass(frozen=True, slots=True)
class SegmentFigures:
    """One row of figures: what a checked segment holds, or the first thing that is wrong with it."""

    number: int
    records: int = 0
    xml_bytes: int = 0
    deflate_bytes: int = 0  # 0 where the file is read in one pass
    statuses: Mapping[str, int] = field(default_factory=dict)
    classes: Mapping[str, int] = field(default_factory=dict)
    issuers: Mapping[str, int] = field(default_factory=dict)  # comparable name, hex
    set_digest: str = str(SetDigest())
    manufacturing: int = 0  # records that have the flag
    in_use_until: str = ""  # the earliest notAfter of the records with status I (UTC, ISO 8601); empty: none has it
    parsed: bool = False  # something else stands in it than records as the publisher writes them
    fault: str = ""  # a Fault; the other figures are then zero
    fault_text: str = ""  # the item and the rule that it breaks

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Verification:
    """What a file holds, and what is wrong with it: one row of figures a segment, and the faults."""

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
        return min(
            (datetime.fromisoformat(at) for segment in self.segments if (at := segment.in_use_until)), default=None
        )

    @property
    def classes(self) -> dict[str, int]:
        """Records by class."""
        return _total(segment.classes for segment in self.segments)

    @property
    def issuers(self) -> dict[str, int]:
        """Records by issuer (comparable name, hex)."""
        return _total(segment.issuers for segment in self.segments)

    @property
    def set_digest(self) -> SetDigest:
        """Of the certificates in the file."""
        return sum((SetDigest.parse(segment.set_digest) for segment in self.segments), SetDigest())


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
        marks = Marks(Path(folder))
        verification = examine_file(file, schema, marks, manifest=manifest, workers=workers, progress=progress)
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

    `marks` is filled; with `keep_rows`, for small files, also with a row a record. `progress` hears segments, or bytes
    of the file where there is no manifest.
    """
    if manifest is None:
        return _examine_stream(file, schema, marks, keep_rows, progress)
    figures: list[SegmentFigures] = []
    check = partial(_check_one, file, manifest, schema, marks, keep_rows, uuid4().hex)
    for checked in map_in_processes(check, range(len(manifest.segments)), workers, __name__):
        figures.append(checked)
        progress(len(figures), len(manifest.segments))
    return conclude(file, manifest, figures, marks)


def check_segments(
    file: Path, manifest: Manifest, numbers: Iterable[int], schema: Path, marks: Marks, *, keep_rows: bool = False
) -> Iterator[SegmentFigures]:
    """Checks some segments of an assembled extract; yields a row of figures each and keeps their marks."""
    checker = RecordChecker(manifest.format, schema, keep_rows=keep_rows)
    with file.open("rb") as stream:
        for number in numbers:
            yield _check_and_mark(stream, manifest, number, checker, marks)


def conclude(file: Path, manifest: Manifest, figures: Iterable[SegmentFigures], marks: Marks) -> Verification:
    """Puts the rows of all segments together and checks the whole: frame, coverage, CRC-32, duplicates."""
    segments = tuple(sorted(figures, key=lambda segment: segment.number))
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    faults = _collect(_whole_faults(file, manifest, segments, sha256))
    return _conclude(file, manifest.format, sha256, segments, faults, marks)


def _check_one(
    file: Path, manifest: Manifest, schema: Path, marks: Marks, keep_rows: bool, examination: str, number: int
) -> SegmentFigures:
    checker = _checker(manifest.format, schema, keep_rows, examination)
    with file.open("rb") as stream:
        return _check_and_mark(stream, manifest, number, checker, marks)


@lru_cache(maxsize=1)
def _checker(annex_b: AnnexB, schema: Path, keep_rows: bool, _examination: str) -> RecordChecker:
    """This process's checker in one call of `examine_file`: one schema and one set of templates for all segments."""
    return RecordChecker(annex_b, schema, keep_rows=keep_rows)


def _check_and_mark(
    stream: BinaryIO, manifest: Manifest, number: int, checker: RecordChecker, marks: Marks
) -> SegmentFigures:
    try:
        figures = _check_segment(stream, manifest, number, checker)
    except FaultError as error:
        return SegmentFigures(number, fault=error.fault, fault_text=error.text)
    marks.keep(number, figures)
    return _row(number, figures, manifest.segments[number].xml_bytes, manifest.segments[number].deflate_bytes)


def _check_segment(stream: BinaryIO, manifest: Manifest, number: int, checker: RecordChecker) -> list[RecordFigures]:
    """The figures of its pieces. Raises FaultError."""
    last = len(manifest.segments) - 1
    opening, closing = read_segment(stream, manifest, 0), read_segment(stream, manifest, last)
    item = f"{manifest.name}, segment {number}"
    xml = read_segment(stream, manifest, number) if 0 < number < last else b""
    figures = [checker.check(opening, piece, closing, item) for piece in _cut_records(xml, manifest.format)]
    records = sum(piece.records for piece in figures)
    if records != manifest.segments[number].records:
        raise FaultError(
            Fault.CONTENT,
            item,
            f"it has {records} records and was produced with {manifest.segments[number].records}.",
        )
    return figures


def _whole_faults(
    file: Path, manifest: Manifest, segments: Sequence[SegmentFigures], sha256: str
) -> Iterator[FaultError]:
    if [segment.number for segment in segments] != list(range(len(manifest.segments))):
        yield FaultError(
            Fault.CONTENT,
            file.name,
            f"{len(segments)} rows came of its {len(manifest.segments)} segments, and each has to be checked once.",
        )
    if sha256 != manifest.sha256:
        yield FaultError(Fault.CONTENT, file.name, "its SHA-256 is not that of the file that was produced.")
    yield from frame_faults(file, manifest)


def _cut_records(records: bytes, annex_b: AnnexB) -> Iterator[bytes]:
    """Whole records, some megabytes at a time; what is not cut between two records fails as XML."""
    start = 0
    while len(records) - start > _PIECE:
        end = end_of_records(records, annex_b, start, start + _PIECE - 1)
        if end == start:
            break
        yield records[start:end]
        start = end
    yield records[start:]


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
                try:
                    if (piece := next(pieces, None)) is None:
                        break
                    checker = checker or RecordChecker(piece.annex_b, schema, keep_rows=keep_rows)
                    item = f"{file.name}, piece {number + 1}"
                    figures = checker.check(piece.opening, piece.records, piece.closing, item)
                except FaultError as error:
                    segments.append(SegmentFigures(number, fault=error.fault, fault_text=error.text))
                except DocumentRefusedError as error:
                    segments.append(SegmentFigures(number, fault=Fault.GZIP, fault_text=f"{file.name}: {error.rule}"))
                else:
                    marks.keep(number, [figures])
                    row = _row(number, [figures], piece.xml_bytes, 0)
                    segments.append(replace(row, parsed=row.parsed or not piece.as_it_stands))
                progress(stream.tell(), size)
            if gzip.members != 1:
                faults.append(FaultError(Fault.GZIP, file.name, f"it has {gzip.members} gzip members, not one."))
            if gzip.padding:
                faults.append(FaultError(Fault.GZIP, file.name, f"{gzip.padding:,} zeros follow its gzip member."))
        stream.seek(0)
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    annex_b = checker.annex_b if checker else CURRENT
    return _conclude(file, annex_b, sha256, tuple(segments), faults, marks)


def _conclude(
    file: Path,
    annex_b: AnnexB,
    sha256: str,
    segments: tuple[SegmentFigures, ...],
    faults: Sequence[FaultError],
    marks: Marks,
) -> Verification:
    """With the check that needs all segments' marks."""
    repeated = repeated_keys(marks.keys(segment.number for segment in segments if not segment.fault))
    if len(repeated):
        rule = f"{len(repeated)} certificates (issuer and serial number) are in it more than once."
        faults = [*faults, FaultError(Fault.DUPLICATE, file.name, rule)]
    return Verification(
        name=file.name,
        bytes=file.stat().st_size,
        sha256=sha256,
        segments=segments,
        faults=tuple(faults),
        repeated=tuple(repeated.tolist()),
        format=annex_b,
    )


def _row(number: int, pieces: Sequence[RecordFigures], xml_bytes: int, deflate_bytes: int) -> SegmentFigures:
    return SegmentFigures(
        number=number,
        records=sum(piece.records for piece in pieces),
        xml_bytes=xml_bytes,
        deflate_bytes=deflate_bytes,
        statuses=_total(piece.statuses for piece in pieces),
        classes=_total(piece.classes for piece in pieces),
        issuers={name.hex(): count for name, count in _total(piece.issuers for piece in pieces).items()},
        set_digest=str(sum((piece.set_digest for piece in pieces), SetDigest())),
        manufacturing=sum(piece.manufacturing for piece in pieces),
        in_use_until=min((at.isoformat() for piece in pieces if (at := piece.in_use_until)), default=""),
        parsed=not all(piece.is_plain for piece in pieces),
    )


def _total(counts: Iterable[Mapping[Name, int]]) -> dict[Name, int]:
    return dict(sum((Counter(some) for some in counts), Counter()))


def _collect(faults: Iterator[FaultError]) -> list[FaultError]:
    """All of them, with the one that ends them."""
    collected: list[FaultError] = []
    try:
        collected.extend(faults)
    except FaultError as error:
        collected.append(error)
    return collected
