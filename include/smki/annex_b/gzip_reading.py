"""Reads .gz files that others made: every kind of member, several in a row, and no bombs."""

import io
from typing import BinaryIO

from isal import isal_zlib

from smki.errors import DocumentRefusedError

DEFLATE_ERROR: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its stub takes the class for an instance
_READ = 1 << 18
_BOMB_RATIO = 100  # Base64 of random octets does not shrink below 0.7; a real extract has about 4 : 1
_BOMB_FLOOR = 16 << 20  # octets that any file may expand to


class GzipReader(io.RawIOBase):
    """The uncompressed octets of a gzip stream; integrity is checked member by member.

    Raises DocumentRefusedError for damage, truncation and an expansion beyond 100 : 1.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self._member = isal_zlib.decompressobj(wbits=31)
        self._input = b""
        self._taken = 0
        self._given = 0
        self.members = 1  # begun so far

    def readable(self) -> bool:
        """Always."""
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
                self._member = isal_zlib.decompressobj(wbits=31)
                self.members += 1
            elif not self._input and not self._member.unconsumed_tail:
                raise self._refused("it ends in the middle of its compressed data.")
            try:
                data = self._member.decompress(self._input, len(buffer))
            except DEFLATE_ERROR as error:
                raise self._refused(f"its compressed data are damaged ({error}).") from error
            self._input = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if data:
                self._given += len(data)
                if self._given > _BOMB_FLOOR and self._given > _BOMB_RATIO * self._taken:
                    raise self._refused(f"it expands beyond {_BOMB_RATIO} : 1, which certificates cannot.")
                memoryview(buffer)[: len(data)] = data
                return len(data)

    def _refused(self, rule: str) -> DocumentRefusedError:
        return DocumentRefusedError(
            self._name, rule, "It is not read any further.", "get the file again from whoever made it."
        )
