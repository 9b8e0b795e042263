"""Reads gzip (RFC 1952): whole streams, headers and trailers, small files, segments of our own.

Everything here raises DocumentRefusedError for what is damaged.
"""

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from isal import isal_zlib

from smki.errors import DocumentRefusedError

_READ = 1 << 18  # bytes
_BOMB_RATIO = 100  # Base64 of random bytes does not shrink below 0.7; a real extract has about 4 : 1
_BOMB_FLOOR = 16 << 20  # bytes that any file may expand to
_SMALL = 64 << 20  # bytes that a small file may expand to
_HEADER = 1 << 16  # bytes of a header; RFC 1952 sets no limit, file names do
_MAGIC = b"\x1f\x8b\x08"  # and the method, deflate
_FHCRC, _FEXTRA, _FNAME, _FCOMMENT = 0x02, 0x04, 0x08, 0x10
_RESERVED = 0xE0
_FULL_FLUSH = b"\x00\x00\xff\xff"  # ends an empty stored block
_DEFLATE_ERROR: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its stub takes the class for an instance
TRAILER_BYTES = 8


class GzipReader(io.RawIOBase):
    """The uncompressed bytes of a gzip stream, all of its members; each is checked against its trailer.

    What a member holds is given before its trailer is looked at, so that of a file with a wrong check sum nothing is
    lost without a word. Zeros after a member are padding, as `gzip -d` has it. Raises DocumentRefusedError also for an
    expansion beyond 100 : 1.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self._inflater: Any = None  # none: between two members
        self._crc32 = self._length = 0  # of what the member has given
        self._input = b""
        self._taken = 0
        self._given = 0
        self.members = 0  # begun so far
        self.padding = 0  # bytes so far

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fills `buffer` as far as the stream gives; 0 at the end."""
        while True:
            if self._inflater is None:
                if not self._begin_member():
                    return 0
            elif self._inflater.eof:
                self._end_member()
                continue
            elif not self._input and not self._fill():
                raise _cut_off(self._name)
            try:
                data = self._inflater.decompress(self._input, len(buffer))
            except _DEFLATE_ERROR as error:
                raise _damaged(self._name, error) from error
            self._input = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            if data:
                self._crc32 = isal_zlib.crc32(data, self._crc32)
                self._length += len(data)
                self._given += len(data)
                if self._given > _BOMB_FLOOR and self._given > _BOMB_RATIO * self._taken:
                    raise DocumentRefusedError(
                        self._name, f"it expands beyond {_BOMB_RATIO} : 1, which certificates cannot."
                    )
                memoryview(buffer)[: len(data)] = data
                return len(data)

    def _begin_member(self) -> bool:
        """Reads the header of the next member, if there is one."""
        while self.members and (self._input or self._fill()):
            member = self._input.lstrip(b"\0")
            self.padding += len(self._input) - len(member)
            self._input = member
            if member:
                break
        if self.members and not self._input:
            return False
        while (header := _parse_header(self._input, self._name)) is None:
            if not self._fill():
                raise _cut_off(self._name)
        self._input = self._input[header.length :]
        self._inflater = isal_zlib.decompressobj(-15)
        self._crc32 = self._length = 0
        self.members += 1
        return True

    def _end_member(self) -> None:
        while len(self._input) < TRAILER_BYTES:
            if not self._fill():
                raise _cut_off(self._name)
        if struct.unpack_from("<II", self._input) != (self._crc32, self._length & 0xFFFFFFFF):
            raise _damaged(self._name, "check sum and length are not those of their trailer")
        self._input = self._input[TRAILER_BYTES:]
        self._inflater = None

    def _fill(self) -> bool:
        """Reads more of the stream, if there is more."""
        more = self._stream.read(_READ)
        self._taken += len(more)
        self._input += more
        return bool(more)


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
    header = _parse_header(stream.read(_HEADER), name)
    if header is None:
        raise DocumentRefusedError(name, "its gzip header does not end.")
    return header


def _parse_header(head: bytes, name: str) -> GzipHeader | None:
    """The header that `head` begins with; none while more bytes are needed to tell."""
    if head[: len(_MAGIC)] != _MAGIC[: len(head)]:
        raise DocumentRefusedError(name, "it does not start with a gzip header.")
    if len(head) < 10:
        return None
    if head[3] & _RESERVED:
        raise DocumentRefusedError(
            name, "its gzip header has flags that RFC 1952 (2.3.1.2) reserves: readers refuse it."
        )
    try:
        position, file_name = _read_fields(head)
        if head[3] & _FHCRC:
            (check_sum,) = struct.unpack_from("<H", head, position)
            if check_sum != zlib.crc32(head[:position]) & 0xFFFF:
                raise _damaged(name, "the check sum of the header is wrong")
            position += 2
    except (ValueError, struct.error):
        if len(head) >= _HEADER:
            raise DocumentRefusedError(name, "its gzip header does not end.") from None
        return None
    return GzipHeader(position, file_name, struct.unpack_from("<I", head, 4)[0])


def _read_fields(head: bytes) -> tuple[int, str | None]:
    """Where a header's optional fields end, its check sum apart, and FNAME. Raises ValueError or struct.error where
    they do not end in `head`.
    """
    flags, position, file_name = head[3], 10, None
    if flags & _FEXTRA:
        position += 2 + struct.unpack_from("<H", head, position)[0]
    if flags & _FNAME:
        end = head.index(b"\0", position)
        file_name, position = head[position:end].decode("latin-1"), end + 1
    if flags & _FCOMMENT:
        position = head.index(b"\0", position) + 1
    if position > len(head):
        raise ValueError
    return position, file_name


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


def _damaged(name: str, error: object) -> DocumentRefusedError:
    return DocumentRefusedError(name, f"its compressed data are damaged ({error}).")


def _cut_off(name: str) -> DocumentRefusedError:
    return DocumentRefusedError(name, "it ends in the middle of its compressed data.")
