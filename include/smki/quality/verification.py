"""Verifies a whole extract from its own bytes: `verify_file` for any Annex B file, segment by segment for our own.

* One gzip member, intact, nothing after it; FNAME is the file's name without .gz (Appendix O 2.3.3).
* One XML document, valid by the schema, each record equal to its certificate (`record_check`).
* No issuer and serial number twice.
* A FULL holds status I only.

With the manifest of an assembled extract the segments are checked apart, in any number of processes: each inflates from
nothing, is not marked final, and yields the octets its facts say; together they cover the stream without a gap; head
and tail around each make a whole document, so the whole is one; and the member's CRC-32 is that of them all combined.
"""

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from isal import isal_zlib

from smki.certificates import annex_b
from smki.certificates.gzip_reading import DEFLATE_ERROR, GzipReader
from smki.certificates.model import Status
from smki.certificates.set_digest import SetDigest
from smki.errors import DocumentRefusedError
from smki.extract.manifest import Manifest
from smki.processes import shared_out
from smki.quality.duplicates import repeated_keys
from smki.quality.gzip_member import TRAILER_BYTES, not_gzip, read_header, read_trailer
from smki.quality.record_check import Keys, RecordChecker, RecordFigures, refused

_PIECE = 8 << 20  # octets of XML that are parsed at once
_READ = 1 << 20
_SEGMENTS_A_SHARE = 4  # checked with one schema and one set of templates
_RECORD_END = f"</{annex_b.RECORD}>".encode()
_RECORD_START = f"<{annex_b.RECORD}>".encode()
_ROOT_END = f"</{annex_b.ROOT}>".encode()
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SegmentFigures:
    """What one checked segment holds (its keys apart)."""

    number: int
    records: int
    statuses: dict[str, int]
    classes: dict[str, int]
    set_digest: str

    def as_json(self) -> dict[str, Any]:
        """JSON types (for XCom)."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Verification:
    """What a file that passed holds."""

    name: str
    bytes: int  # of the file
    sha256: str  # of the file, hex
    xml_bytes: int
    records: int
    statuses: dict[str, int]
    classes: dict[str, int]
    set_digest: SetDigest


def verify_file(
    file: Path,
    schema: Path,
    *,
    manifest: Manifest | None = None,
    workers: int = 1,
    progress: Progress = lambda _done, _of: None,
) -> Verification:
    """Verifies a file; with its manifest in `workers` processes, else in one pass that any Annex B .gz suits.

    `progress` hears segments, or octets of the file where there is no manifest. Raises VerificationError.
    """
    if manifest is None:
        return _verify_stream(file, schema, progress)
    figures: list[SegmentFigures] = []
    keys: list[Keys] = []
    count = len(manifest.segments)
    share = max(1, min(_SEGMENTS_A_SHARE, count // (2 * workers)))
    shares = [range(start, min(start + share, count)) for start in range(0, count, share)]
    for checked in shared_out(partial(_check_share, file, manifest, schema), shares, workers, __name__):
        for segment, segment_keys in checked:
            figures.append(segment)
            keys.append(segment_keys)
            progress(len(figures), count)
    return conclude(file, manifest, figures, keys)


def check_segments(
    file: Path, manifest: Manifest, numbers: Iterable[int], schema: Path
) -> Iterator[tuple[SegmentFigures, Keys]]:
    """Checks some segments of an assembled extract; yields figures and sorted keys. Raises VerificationError."""
    checker = RecordChecker(schema)
    with file.open("rb") as stream:
        opening, closing = (_inflate(stream, manifest, number) for number in (0, len(manifest.segments) - 1))
        for number in numbers:
            item = f"{file.name}, segment {number}"
            is_record_segment = 0 < number < len(manifest.segments) - 1
            xml = _inflate(stream, manifest, number) if is_record_segment else b""
            pieces = [checker.check(opening, piece, closing, item) for piece in _cut(xml)]
            records = sum(piece.records for piece in pieces)
            if records != manifest.segments[number].records:
                raise refused(
                    item, f"it has {records} records and was produced with {manifest.segments[number].records}."
                )
            figures = _sum(pieces)
            yield (
                SegmentFigures(number, records, dict(figures.statuses), dict(figures.classes), str(figures.set_digest)),
                np.sort(figures.keys),
            )


def conclude(file: Path, manifest: Manifest, figures: Sequence[SegmentFigures], keys: Sequence[Keys]) -> Verification:
    """The verdict over all segments: frame, coverage, CRC-32, duplicates, statuses. Raises VerificationError."""
    numbers = sorted(segment.number for segment in figures)
    if numbers != list(range(len(manifest.segments))):
        raise refused(file.name, f"{len(numbers)} of its {len(manifest.segments)} segments were checked.")
    with file.open("rb") as stream:
        header = read_header(stream, file.name)
        crc32, length = read_trailer(stream)
        stream.seek(0)
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    _check_name(file, header.file_name)
    crc = xml_bytes = 0
    for segment in manifest.segments:
        crc = isal_zlib.crc32_combine(crc, segment.xml_crc32, segment.xml_bytes)
        xml_bytes += segment.xml_bytes
    if (crc, xml_bytes & 0xFFFFFFFF) != (crc32, length):
        raise not_gzip(file.name, "its CRC-32 or length is not that of its content.")
    covered = header.length + sum(segment.deflate_bytes for segment in manifest.segments)
    with file.open("rb") as stream:
        stream.seek(covered)
        end = stream.read()
    if header.length != manifest.header_bytes or end[:-TRAILER_BYTES] != b"\x03\x00":
        raise not_gzip(file.name, "its deflate stream is not its segments and an end block.")
    if sha256 != manifest.sha256:
        raise refused(file.name, "its SHA-256 is not that of the file that was produced.")
    _check_repeated(file, keys)
    return _conclusion(file, sha256, xml_bytes, figures)


def _check_share(
    file: Path, manifest: Manifest, schema: Path, numbers: Iterable[int]
) -> list[tuple[SegmentFigures, Keys]]:
    return list(check_segments(file, manifest, numbers, schema))


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
        raise refused(item, "its content is not what was produced.")
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


def _verify_stream(file: Path, schema: Path, progress: Progress) -> Verification:
    checker = RecordChecker(schema)
    size = file.stat().st_size
    with file.open("rb") as stream:
        header = read_header(stream, file.name)
        _check_name(file, header.file_name)
        stream.seek(0)
        gzip = GzipReader(stream, file.name)
        inflated = io.BufferedReader(gzip, _READ)
        figures: list[SegmentFigures] = []
        keys: list[Keys] = []
        xml_bytes = 0
        try:
            for opening, records, closing, octets in _documents(cast("BinaryIO", inflated)):
                piece = checker.check(opening, records, closing, f"{file.name}, piece {len(figures) + 1}")
                keys.append(np.sort(piece.keys))
                figures.append(
                    SegmentFigures(
                        len(figures), piece.records, dict(piece.statuses), dict(piece.classes), str(piece.set_digest)
                    )
                )
                xml_bytes += octets
                progress(stream.tell(), size)
        except DocumentRefusedError as error:
            raise not_gzip(file.name, error.rule) from error
        if gzip.members != 1:
            raise not_gzip(file.name, f"it has {gzip.members} gzip members, not one.")
        stream.seek(0)
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    _check_repeated(file, keys)
    return _conclusion(file, sha256, xml_bytes, figures)


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


def _check_name(file: Path, stated: str | None) -> None:
    if file.name.endswith(".gz") and stated != file.name.removesuffix(".gz"):
        raise refused(
            file.name, f"the name inside (FNAME) is {stated!r} and Appendix O says {file.name.removesuffix('.gz')!r}."
        )


def _check_repeated(file: Path, keys: Sequence[Keys]) -> None:
    repeated = repeated_keys(keys)
    if len(repeated):
        raise refused(file.name, f"{len(repeated)} certificates (issuer and serial number) are in it more than once.")


def _sum(pieces: Sequence[RecordFigures]) -> RecordFigures:
    return RecordFigures(
        records=sum(piece.records for piece in pieces),
        set_digest=sum((piece.set_digest for piece in pieces), SetDigest()),
        statuses=sum((piece.statuses for piece in pieces), Counter()),
        classes=sum((piece.classes for piece in pieces), Counter()),
        keys=np.concatenate([piece.keys for piece in pieces]) if pieces else np.empty(0, np.uint64),
    )


def _conclusion(file: Path, sha256: str, xml_bytes: int, figures: Sequence[SegmentFigures]) -> Verification:
    statuses: Counter[str] = sum((Counter(segment.statuses) for segment in figures), Counter())
    if "_FULL_" in file.name and set(statuses) - {Status.IN_USE}:
        raise refused(
            file.name, f"a full extract holds status I only (Appendix O 2.3.3 (a)) and it has {dict(statuses)}."
        )
    return Verification(
        name=file.name,
        bytes=file.stat().st_size,
        sha256=sha256,
        xml_bytes=xml_bytes,
        records=sum(segment.records for segment in figures),
        statuses=dict(statuses),
        classes=dict(sum((Counter(segment.classes) for segment in figures), Counter())),
        set_digest=sum((SetDigest.parse(segment.set_digest) for segment in figures), SetDigest()),
    )
