"""The gzip side of a published file: one member, intact, under its name (Appendix O 2.3.3), with nothing after it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isal import isal_zlib

from smki.annex_b.gzip_reader import TRAILER_BYTES, inflate_small, read_header, read_trailer
from smki.errors import DocumentRefusedError
from smki.store.local_files import disk_error
from smki.store.manifest import Manifest
from smki.store.paged_file import PagedFile
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

    Raises VerificationError for damage, another name inside and more than one member, StoreError for the disk's
    errors.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise disk_error(file, error) from error
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


def frame_faults(paged: PagedFile) -> Iterator[FaultError]:
    """What is wrong around the pages of an extract: header, end block and trailer. May raise the last of them."""
    name, manifest = paged.name, paged.manifest
    if not paged.is_as_stated():
        yield FaultError(Fault.CONTENT, name, "its bytes are not those that were produced.")
    with paged.open() as stream, damage_as_fault():
        header = read_header(stream, name)
        crc32, length = read_trailer(stream)
        stream.seek(int(manifest.offsets[-1]) + len(manifest.tail.deflate))
        end = stream.read(_LONGEST_END)
    yield from name_faults(name, header.file_name)
    crc = xml_bytes = 0
    for part_crc, part_bytes in _parts(manifest):
        crc = isal_zlib.crc32_combine(crc, part_crc, part_bytes)
        xml_bytes += part_bytes
    if (crc, xml_bytes & 0xFFFFFFFF) != (crc32, length):
        yield FaultError(Fault.GZIP, name, "its CRC-32 or length is not that of its content.")
    if header.length != len(manifest.header) or end[:-TRAILER_BYTES] != _END_BLOCK:
        yield FaultError(Fault.GZIP, name, "its deflate stream is not its pages and an end block.")


def _parts(manifest: Manifest) -> Iterator[tuple[int, int]]:
    """CRC-32 and length of the XML of head, pages and tail."""
    yield isal_zlib.crc32(manifest.head.xml), len(manifest.head.xml)
    yield from zip(manifest.pages["xml_crc32"].tolist(), manifest.pages["xml_bytes"].tolist(), strict=True)
    yield isal_zlib.crc32(manifest.tail.xml), len(manifest.tail.xml)
