"""Verifies a whole extract from its own bytes: segment by segment for our own, in one pass for any Annex B file.

* One gzip member, intact, nothing after it; FNAME is the file's name without .gz (Appendix O 2.3.3).
* One XML document, valid by the schema, each record equal to its certificate (`record_check`).
* No issuer and serial number twice.
* A FULL holds status I only.

With the manifest of an assembled extract the segments are checked apart, in any number of processes: each inflates from
nothing, is not marked final, and yields the octets its facts say; together they cover the stream without a gap; head
and tail around each make a whole document, so the whole is one; and the member's CRC-32 is that of them all combined.

What is wrong is a fault in a row of figures; it stops neither the other segments nor the other checks. `verify_file`
raises the first one, `examine_file` returns them all.
"""

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, TypeVar, cast
from uuid import uuid4

from isal import isal_zlib

from smki.annex_b import reading as annex_b
from smki.annex_b.gzip_reading import DEFLATE_ERROR, GzipReader
from smki.certificates.model import Status
from smki.certificates.set_digest import SetDigest
from smki.errors import DocumentRefusedError
from smki.processes import shared_out
from smki.store.manifest import Manifest
from smki.verify.duplicates import repeated_keys
from smki.verify.faults import Fault, FaultError, not_gzip, refused
from smki.verify.gzip_member import TRAILER_BYTES, read_header, read_trailer
from smki.verify.marks import Marks
from smki.verify.record_check import RecordChecker, RecordFigures

_PIECE = 4 << 20  # octets of XML that are parsed at once
_READ = 1 << 20
_RECORD_END = f"</{annex_b.RECORD}>".encode()
_RECORD_START = f"<{annex_b.RECORD}>".encode()
_ROOT_END = f"</{annex_b.ROOT}>".encode()
_LONGEST_END = 1 << 16  # octets after the segments that are looked at; there are ten
Name = TypeVar("Name", str, bytes)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SegmentFigures:
    """One row of figures: what a checked segment holds, or the first thing that is wrong with it."""

    number: int
    records: int = 0
    xml_bytes: int = 0
    deflate_bytes: int = 0  # 0 where the file is read in one pass
    statuses: Mapping[str, int] = field(default_factory=dict)
    classes: Mapping[str, int] = field(default_factory=dict)
    issuers: Mapping[str, int] = field(default_factory=dict)  # Name, DER, hex
    set_digest: str = str(SetDigest())
    manufacturing: int = 0  # records that have the flag
    parsed: bool = False  # something else stands in it than records as the publisher writes them
    fault: str = ""  # a Fault; the other figures are then zero
    fault_text: str = ""  # the item and the rule that it breaks

    def as_json(self) -> dict[str, Any]:
        """JSON types (for XCom)."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Verification:
    """What a file holds, and what is wrong with it: one row of figures a segment, and the faults."""

    name: str
    bytes: int  # of the file
    sha256: str  # of the file, hex
    segments: tuple[SegmentFigures, ...]
    faults: tuple[FaultError, ...] = ()  # of the file as a whole
    repeated: tuple[int, ...] = ()  # keys (see `duplicates`) of certificates that are in it more than once

    @property
    def records(self) -> int:
        """Certificates in the file."""
        return sum(segment.records for segment in self.segments)

    @property
    def xml_bytes(self) -> int:
        """Size of the XML."""
        return sum(segment.xml_bytes for segment in self.segments)

    @property
    def statuses(self) -> dict[str, int]:
        """Records by status."""
        return _total(segment.statuses for segment in self.segments)

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
        return sum((SetDigest.parse(segment.set_digest) for segment in self.segments), SetDigest())

    @property
    def is_readable(self) -> bool:
        """Whether every segment was read to its end, so that the figures are those of the whole file."""
        return not any(segment.fault for segment in self.segments)


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
        verification = examine_file(
            file, schema, Marks(Path(folder)), manifest=manifest, workers=workers, progress=progress
        )
    for segment in verification.segments:
        if segment.fault:
            item, _, rule = segment.fault_text.partition(": ")
            raise refused(Fault(segment.fault), item, rule)
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

    `marks` is filled; with `keep_rows`, for small files, also with a row a record. `progress` hears segments, or octets
    of the file where there is no manifest.
    """
    if manifest is None:
        return _examine_stream(file, RecordChecker(schema, keep_rows=keep_rows), marks, progress)
    figures: list[SegmentFigures] = []
    check = partial(_check_one, file, manifest, schema, marks, keep_rows, uuid4().hex)
    for checked in shared_out(check, range(len(manifest.segments)), workers, __name__):
        figures.append(checked)
        progress(len(figures), len(manifest.segments))
    return conclude(file, manifest, figures, marks)


def check_segments(
    file: Path, manifest: Manifest, numbers: Iterable[int], schema: Path, marks: Marks, *, keep_rows: bool = False
) -> Iterator[SegmentFigures]:
    """Checks some segments of an assembled extract; yields a row of figures each and keeps their marks."""
    checker = RecordChecker(schema, keep_rows=keep_rows)
    with file.open("rb") as stream:
        for number in numbers:
            yield _check_and_mark(stream, manifest, number, checker, marks)


def conclude(file: Path, manifest: Manifest, figures: Iterable[SegmentFigures], marks: Marks) -> Verification:
    """Puts the rows of all segments together and checks the whole: frame, coverage, CRC-32, duplicates, statuses."""
    segments = tuple(sorted(figures, key=lambda segment: segment.number))
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    faults = _collected(_whole_faults(file, manifest, segments, sha256))
    return _concluded(file, sha256, segments, faults, marks)


def _check_one(
    file: Path, manifest: Manifest, schema: Path, marks: Marks, keep_rows: bool, examination: str, number: int
) -> SegmentFigures:
    with file.open("rb") as stream:
        return _check_and_mark(stream, manifest, number, _checker(schema, keep_rows, examination), marks)


@lru_cache(maxsize=1)
def _checker(schema: Path, keep_rows: bool, _examination: str) -> RecordChecker:
    """This process's checker in one call of `examine_file`: one schema and one set of templates for all segments."""
    return RecordChecker(schema, keep_rows=keep_rows)


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
    opening, closing = _inflate(stream, manifest, 0), _inflate(stream, manifest, last)
    item = f"{manifest.name}, segment {number}"
    xml = _inflate(stream, manifest, number) if 0 < number < last else b""
    figures = [checker.check(opening, piece, closing, item) for piece in _cut(xml)]
    records = sum(piece.records for piece in figures)
    if records != manifest.segments[number].records:
        raise refused(
            Fault.CONTENT,
            item,
            f"it has {records} records and was produced with {manifest.segments[number].records}.",
        )
    return figures


def _whole_faults(
    file: Path, manifest: Manifest, segments: Sequence[SegmentFigures], sha256: str
) -> Iterator[FaultError]:
    if [segment.number for segment in segments] != list(range(len(manifest.segments))):
        yield refused(
            Fault.CONTENT,
            file.name,
            f"{len(segments)} rows came of its {len(manifest.segments)} segments, and each has to be checked once.",
        )
    if sha256 != manifest.sha256:
        yield refused(Fault.CONTENT, file.name, "its SHA-256 is not that of the file that was produced.")
    with file.open("rb") as stream:
        header = read_header(stream, file.name)
        crc32, length = read_trailer(stream)
        stream.seek(header.length + sum(segment.deflate_bytes for segment in manifest.segments))
        end = stream.read(_LONGEST_END)
    yield from _name_faults(file, header.file_name)
    crc = xml_bytes = 0
    for segment in manifest.segments:
        crc = isal_zlib.crc32_combine(crc, segment.xml_crc32, segment.xml_bytes)
        xml_bytes += segment.xml_bytes
    if (crc, xml_bytes & 0xFFFFFFFF) != (crc32, length):
        yield not_gzip(file.name, "its CRC-32 or length is not that of its content.")
    if header.length != manifest.header_bytes or end[:-TRAILER_BYTES] != b"\x03\x00":
        yield not_gzip(file.name, "its deflate stream is not its segments and an end block.")


def _inflate(stream: BinaryIO, manifest: Manifest, number: int) -> bytes:
    """A segment's XML, inflated on its own and held against its facts."""
    segment = manifest.segments[number]
    stream.seek(manifest.header_bytes + sum(before.deflate_bytes for before in manifest.segments[:number]))
    deflate = stream.read(segment.deflate_bytes)
    item = f"{manifest.name}, segment {number}"
    inflater = isal_zlib.decompressobj(-15)
    try:
        xml: bytes = inflater.decompress(deflate, segment.xml_bytes + 1)
    except DEFLATE_ERROR as error:
        raise not_gzip(item, f"its compressed data are damaged ({error}).") from error
    if inflater.eof or not deflate.endswith(b"\x00\x00\xff\xff"):
        raise not_gzip(item, "its compressed data do not end with a full flush.")
    if (len(xml), isal_zlib.crc32(xml), hashlib.sha256(xml).hexdigest()) != (
        segment.xml_bytes,
        segment.xml_crc32,
        segment.xml_sha256,
    ):
        raise refused(Fault.CONTENT, item, "its content is not what was produced.")
    return xml


def _cut(records: bytes) -> Iterator[bytes]:
    """Whole records, some megabytes at a time; what is not cut between two records fails as XML."""
    start = 0
    while start < len(records) or start == 0:
        end = len(records)
        if end - start > _PIECE:
            end = records.rfind(_RECORD_END, start, start + _PIECE) + len(_RECORD_END)
            end = len(records) if end < start + len(_RECORD_END) else end + (records[end : end + 1] == b"\n")
        yield records[start:end]
        start = max(end, 1)


def _examine_stream(file: Path, checker: RecordChecker, marks: Marks, progress: Progress) -> Verification:
    segments: list[SegmentFigures] = []
    faults: list[FaultError] = []
    size = file.stat().st_size
    with file.open("rb") as stream:
        try:
            faults += _name_faults(file, read_header(stream, file.name).file_name)
            stream.seek(0)
            gzip = GzipReader(stream, file.name)
            for opening, records, closing, octets in _documents(cast("BinaryIO", io.BufferedReader(gzip, _READ))):
                number = len(segments)
                try:
                    figures = checker.check(opening, records, closing, f"{file.name}, piece {number + 1}")
                except FaultError as error:
                    segments.append(SegmentFigures(number, fault=error.fault, fault_text=error.text))
                else:
                    marks.keep(number, [figures])
                    segments.append(_row(number, [figures], octets, 0))
                progress(stream.tell(), size)
            if gzip.members != 1:
                faults.append(not_gzip(file.name, f"it has {gzip.members} gzip members, not one."))
        except FaultError as error:
            faults.append(error)
        except DocumentRefusedError as error:
            number = len(segments)
            segments.append(SegmentFigures(number, fault=Fault.GZIP, fault_text=f"{file.name}: {error.rule}"))
        stream.seek(0)
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return _concluded(file, sha256, tuple(segments), faults, marks)


def _documents(stream: BinaryIO) -> Iterator[tuple[bytes, bytes, bytes, int]]:
    """A document cut between records into small ones: opening, records, closing, and how many octets they took."""
    buffer = stream.read(_PIECE)
    start = buffer.find(_RECORD_START)
    if start < 0:  # no record: the document as it is
        rest = buffer + stream.read()
        yield rest, b"", b"", len(rest)
        return
    opening, buffer = buffer[:start], buffer[start:]
    taken = len(opening)
    while more := stream.read(_PIECE):
        buffer += more
        end = buffer.rfind(_RECORD_END) + len(_RECORD_END)
        if end >= len(_RECORD_END):
            end += buffer[end : end + 1] == b"\n"
            yield opening, buffer[:end], _ROOT_END, taken + end
            buffer, taken = buffer[end:], 0
    end = buffer.rfind(_RECORD_END) + len(_RECORD_END)
    end = max(end, 0) if end >= len(_RECORD_END) else 0
    end += buffer[end : end + 1] == b"\n"
    yield opening, buffer[:end], buffer[end:], taken + len(buffer)


def _name_faults(file: Path, stated: str | None) -> Iterator[FaultError]:
    if file.name.endswith(".gz") and stated != file.name.removesuffix(".gz"):
        yield refused(
            Fault.NAME,
            file.name,
            f"the name inside (FNAME) is {stated!r} and Appendix O says {file.name.removesuffix('.gz')!r}.",
        )


def _concluded(
    file: Path, sha256: str, segments: tuple[SegmentFigures, ...], faults: Sequence[FaultError], marks: Marks
) -> Verification:
    """With the checks that need all segments' marks and rows."""
    repeated = repeated_keys(marks.keys(segment.number for segment in segments if not segment.fault))
    statuses = _total(segment.statuses for segment in segments)
    last = []
    if len(repeated):
        last.append(
            refused(
                Fault.DUPLICATE,
                file.name,
                f"{len(repeated)} certificates (issuer and serial number) are in it more than once.",
            )
        )
    if "_FULL_" in file.name and set(statuses) - {Status.IN_USE}:
        last.append(
            refused(
                Fault.STATUS,
                file.name,
                f"a full extract holds status I only (Appendix O 2.3.3 (a)) and it has {statuses}.",
            )
        )
    return Verification(
        name=file.name,
        bytes=file.stat().st_size,
        sha256=sha256,
        segments=segments,
        faults=(*faults, *last),
        repeated=tuple(repeated.tolist()),
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
        parsed=not all(piece.is_plain for piece in pieces),
    )


def _total(counts: Iterable[Mapping[Name, int]]) -> dict[Name, int]:
    return dict(sum((Counter(some) for some in counts), Counter()))


def _collected(faults: Iterator[FaultError]) -> list[FaultError]:
    """All of them, with the one that ends them."""
    collected: list[FaultError] = []
    try:
        collected.extend(faults)
    except FaultError as error:
        collected.append(error)
    return collected
