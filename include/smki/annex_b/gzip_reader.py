"""Reads gzip (RFC 1952): whole streams, headers and trailers, small files, segments of our own.

Everything here raises DocumentRefusedError for what is damaged.
"""

import io
import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO, cast

from isal import isal_zlib

from smki.errors import DocumentRefusedError

_READ = 1 << 18  # bytes
_BOMB_RATIO = 100  # Base64 of random bytes does not shrink below 0.7; a real extract has about 4 : 1
_BOMB_FLOOR = 16 << 20  # bytes that any file may expand to
_SMALL = 64 << 20  # bytes that a small file may expand to
_HEADER = 1 << 16  # bytes of a header; RFC 1952 sets no limit, file names do
_FHCRC, _FEXTRA, _FNAME, _FCOMMENT = 0x02, 0x04, 0x08, 0x10
_RESERVED = 0xE0
_FULL_FLUSH = b"\x00\x00\xff\xff"  # ends an empty stored block
_DEFLATE_ERROR: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its stub takes the class for an instance
TRAILER_BYTES = 8


class GzipReader(io.RawIOBase):
    """The uncompressed bytes of a gzip stream, all of its members; each is checked against its trailer.

    Zeros after a member are padding, as `gzip -d` has it. Raises DocumentRefusedError also for an expansion beyond
    100 : 1.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self._member = isal_zlib.decompressobj(wbits=31)
        self._input = b""
        self._taken = 0
        self._given = 0
        self.members = 1  # begun so far
        self.padding = 0  # bytes so far

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fills `buffer` as far as the stream gives; 0 at the end."""
        while True:
            if not self._input:
                self._input = self._stream.read(_READ)
                self._taken += len(self._input)
            if self._member.eof:
                if not self._input:
                    return 0
                member = self._input.lstrip(b"\0")
                self.padding += len(self._input) - len(member)
                self._input = member
                if not member:
                    continue
                self._member = isal_zlib.decompressobj(wbits=31)
                self.members += 1
            elif not self._input and not self._member.unconsumed_tail:
                raise _cut_off(self._name)
            try:
                data = self._member.decompress(self._input, len(buffer))
            except _DEFLATE_ERROR as error:
                raise _damaged(self._name, error) from error
            self._input = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if data:
                self._given += len(data)
                if self._given > _BOMB_FLOOR and self._given > _BOMB_RATIO * self._taken:
                    raise DocumentRefusedError(
                        self._name, f"it expands beyond {_BOMB_RATIO} : 1, which certificates cannot."
                    )
                memoryview(buffer)[: len(data)] = data
                return len(data)


def read_gzip(stream: BinaryIO, name: str) -> BinaryIO:
    """What a gzip stream holds, as a stream."""
    return cast("BinaryIO", io.BufferedReader(GzipReader(stream, name), _READ))


@dataclass(frozen=True, slots=True)
class GzipHeader:
    """What a member's header says."""

    length: int  # bytes before the deflate stream
    file_name: str | None  # FNAME (Latin-1)
    modified_at: int  # MTIME, s since 1970


def read_header(stream: BinaryIO, name: str) -> GzipHeader:
    """The header at the start of a file; the stream is left anywhere."""
    stream.seek(0)
    head = stream.read(_HEADER)
    if len(head) < 10 or not head.startswith(b"\x1f\x8b\x08"):
        raise DocumentRefusedError(name, "it does not start with a gzip header.")
    if head[3] & _RESERVED:
        raise DocumentRefusedError(
            name, "its gzip header has flags that RFC 1952 (2.3.1.2) reserves: readers refuse it."
        )
    flags, modified_at = head[3], struct.unpack_from("<I", head, 4)[0]
    position, file_name = 10, None
    try:
        if flags & _FEXTRA:
            position += 2 + struct.unpack_from("<H", head, position)[0]
        if flags & _FNAME:
            end = head.index(b"\0", position)
            file_name, position = head[position:end].decode("latin-1"), end + 1
        if flags & _FCOMMENT:
            position = head.index(b"\0", position) + 1
    except (ValueError, struct.error):
        raise DocumentRefusedError(name, "its gzip header does not end.") from None
    return GzipHeader(position + (2 if flags & _FHCRC else 0), file_name, modified_at)


def read_trailer(stream: BinaryIO) -> tuple[int, int]:
    """CRC-32 and length modulo 2^32 of the uncompressed data, as the file's last eight bytes state them."""
    stream.seek(-TRAILER_BYTES, io.SEEK_END)
    crc32, length = struct.unpack("<II", stream.read(TRAILER_BYTES))
    return crc32, length


def inflate_small(content: bytes, name: str) -> bytes:
    """What a small file holds, which has to be one member with nothing after it.

    It is inflated by zlib: ISA-L wrote it, and a fault that its two halves share would not show. Extracts need ISA-L's
    speed, and are held against the SHA-256 of what was compressed.
    """
    inflater = zlib.decompressobj(wbits=31)
    try:
        inflated = inflater.decompress(content, _SMALL)
    except zlib.error as error:
        raise _damaged(name, error) from error
    if inflater.unconsumed_tail:
        raise DocumentRefusedError(name, f"it expands beyond {_SMALL} bytes.")
    if not inflater.eof:
        raise _cut_off(name)
    if inflater.unused_data:
        raise DocumentRefusedError(name, f"{len(inflater.unused_data)} bytes follow its one gzip member.")
    return inflated


def inflate_segment(deflate: bytes, length: int, name: str) -> bytes:
    """The XML of a segment: raw deflate that starts from nothing and ends with a full flush. At most `length` + 1 bytes
    are inflated, so that another length shows.
    """
    inflater = isal_zlib.decompressobj(-15)
    try:
        xml: bytes = inflater.decompress(deflate, length + 1)
    except _DEFLATE_ERROR as error:
        raise _damaged(name, error) from error
    if inflater.eof or not deflate.endswith(_FULL_FLUSH):
        raise DocumentRefusedError(name, "its compressed data do not end with a full flush.")
    return xml


def _damaged(name: str, error: Exception) -> DocumentRefusedError:
    return DocumentRefusedError(name, f"its compressed data are damaged ({error}).")


def _cut_off(name: str) -> DocumentRefusedError:
    return DocumentRefusedError(name, "it ends in the middle of its compressed data.")
