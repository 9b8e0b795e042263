"""The gzip side of a published file: one member, intact, under its name (Appendix O 2.3.3), with nothing after it."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from isal import isal_zlib

from smki.annex_b.gzip_reader import TRAILER_BYTES, inflate_segment, inflate_small, read_header, read_trailer
from smki.errors import DocumentRefusedError
from smki.store.manifest import Manifest
from smki.store.staging import staging_error
from smki.verify.faults import Fault, FaultError

_END_BLOCK = b"\x03\x00"  # fixed Huffman codes, no data, last one (RFC 1951, 3.2.3)
_LONGEST_END = 1 << 16  # bytes after the segments that are looked at; there are ten


@contextmanager
def damage_as_fault() -> Iterator[None]:
    """Within it, a gzip that cannot be read is a FaultError."""
    try:
        yield
    except DocumentRefusedError as error:
        raise FaultError(Fault.GZIP, error.item, error.rule) from error


def read_single(file: Path) -> bytes:
    """What a small file holds.

    Raises VerificationError for damage, another name inside and more than one member, StagingError for the disk's
    errors.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise staging_error(file, error) from error
    with damage_as_fault():
        for fault in name_faults(file.name, read_header(io.BytesIO(content), file.name).file_name):
            raise fault
        return inflate_small(content, file.name)


def name_faults(name: str, stated: str | None) -> Iterator[FaultError]:
    """What is wrong with the name that a .gz states inside (FNAME)."""
    expected = name.removesuffix(".gz")
    if name.endswith(".gz") and stated != expected:
        rule = f"the name inside (FNAME) is {stated!r} and Appendix O 2.3.3 says {expected!r}."
        yield FaultError(Fault.NAME, name, rule)


def frame_faults(file: Path, manifest: Manifest) -> Iterator[FaultError]:
    """What is wrong around the segments of an extract: header, end block and trailer. May raise the last of them."""
    with file.open("rb") as stream, damage_as_fault():
        header = read_header(stream, file.name)
        crc32, length = read_trailer(stream)
        stream.seek(header.length + sum(segment.deflate_bytes for segment in manifest.segments))
        end = stream.read(_LONGEST_END)
    yield from name_faults(file.name, header.file_name)
    crc = xml_bytes = 0
    for segment in manifest.segments:
        crc = isal_zlib.crc32_combine(crc, segment.xml_crc32, segment.xml_bytes)
        xml_bytes += segment.xml_bytes
    if (crc, xml_bytes & 0xFFFFFFFF) != (crc32, length):
        yield FaultError(Fault.GZIP, file.name, "its CRC-32 or length is not that of its content.")
    if header.length != manifest.header_bytes or end[:-TRAILER_BYTES] != _END_BLOCK:
        yield FaultError(Fault.GZIP, file.name, "its deflate stream is not its segments and an end block.")


def read_segment(stream: BinaryIO, manifest: Manifest, number: int) -> bytes:
    """A segment's XML, inflated on its own and held against its facts. Raises FaultError."""
    segment = manifest.segments[number]
    stream.seek(manifest.header_bytes + sum(before.deflate_bytes for before in manifest.segments[:number]))
    item = f"{manifest.name}, segment {number}"
    with damage_as_fault():
        xml = inflate_segment(stream.read(segment.deflate_bytes), segment.xml_bytes, item)
    if (len(xml), isal_zlib.crc32(xml), hashlib.sha256(xml).hexdigest()) != (
        segment.xml_bytes,
        segment.xml_crc32,
        segment.xml_sha256,
    ):
        raise FaultError(Fault.CONTENT, item, "its content is not what was produced.")
    return xml
