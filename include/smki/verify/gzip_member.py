"""Reads the frame of a gzip file (RFC 1952): its header and trailer, without inflating what stands between."""

import struct
from dataclasses import dataclass
from typing import BinaryIO

from smki.verify.faults import not_gzip

_FHCRC, _FEXTRA, _FNAME, _FCOMMENT = 0x02, 0x04, 0x08, 0x10
_RESERVED = 0xE0
_LIMIT = 1 << 16  # octets of a header; RFC 1952 sets no limit, file names do
TRAILER_BYTES = 8


@dataclass(frozen=True, slots=True)
class GzipHeader:
    """What a member's header says."""

    length: int  # octets before the deflate stream
    file_name: str | None  # FNAME (Latin-1)
    modified_at: int  # MTIME, s since 1970


def read_header(stream: BinaryIO, item: str) -> GzipHeader:
    """The header at the start of a file; the stream is left anywhere. Raises VerificationError."""
    stream.seek(0)
    head = stream.read(_LIMIT)
    if len(head) < 10 or not head.startswith(b"\x1f\x8b\x08"):
        raise not_gzip(item, "it does not start with a gzip header.")
    if head[3] & _RESERVED:
        raise not_gzip(item, "its gzip header has flags that RFC 1952 (2.3.1.2) reserves: readers refuse it.")
    flags, modified_at = head[3], struct.unpack_from("<I", head, 4)[0]
    position, name = 10, None
    try:
        if flags & _FEXTRA:
            position += 2 + struct.unpack_from("<H", head, position)[0]
        if flags & _FNAME:
            end = head.index(b"\0", position)
            name, position = head[position:end].decode("latin-1"), end + 1
        if flags & _FCOMMENT:
            position = head.index(b"\0", position) + 1
    except (ValueError, struct.error):
        raise not_gzip(item, "its gzip header does not end.") from None
    return GzipHeader(position + (2 if flags & _FHCRC else 0), name, modified_at)


def read_trailer(stream: BinaryIO) -> tuple[int, int]:
    """CRC-32 and length modulo 2^32 of the uncompressed data, as the file's last eight octets state them."""
    stream.seek(-TRAILER_BYTES, 2)
    crc32, length = struct.unpack("<II", stream.read(TRAILER_BYTES))
    return crc32, length
