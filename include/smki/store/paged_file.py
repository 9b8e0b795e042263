"""The bytes of an extract by its manifest: from the store's segments, or from the file on a disk.

Pages of the store are each held against the CRC-32 that the manifest states: an object that is damaged is an error of
the store, never content. A file on a disk is read as it is: what is wrong with it, the verifier says. Memory is for
some pages at a time.
"""

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from smki.processes import Progress
from smki.store.local_files import write_chunks
from smki.store.manifest import Manifest, write_manifest
from smki.store.objects import Store, damaged

_NONE = np.empty(0, np.intp)
_AT_ONCE = 8 << 20  # bytes of pages that are read at once


class PagedFile(ABC):
    """An extract's bytes, wherever its pages lie."""

    def __init__(self, manifest: Manifest, units: Sequence[NDArray[np.intp]]) -> None:
        self.manifest = manifest
        self.units = [_NONE, *units]  # places of pages that are checked together; the first has none: the frame

    @staticmethod
    def stored(store: Store, manifest: Manifest) -> "StoredFile":
        """Its pages lie in the store's segments; a unit is a segment's pages."""
        return StoredFile(store, manifest)

    @staticmethod
    def on_disk(file: Path, manifest: Manifest) -> "PagedFile":
        """They lie in the file itself; a unit is as many pages in a row as a segment has."""
        return _OnDisk(file, manifest)

    @property
    @abstractmethod
    def name(self) -> str:
        """Of the file, with .gz."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes."""

    @abstractmethod
    def read_pages(self, places: NDArray[np.intp]) -> list[bytes]:
        """The deflate of some pages, by their ascending places in the file. Raises MissingObjectError, StoreError."""

    @abstractmethod
    def read(self, start: int, length: int) -> bytes:
        """A range of the file, shorter only at its end. Raises MissingObjectError, StoreError."""

    @abstractmethod
    def chunks(self) -> Iterator[bytes]:
        """The whole file, some megabytes at a time. Raises MissingObjectError, StoreError."""

    @abstractmethod
    def open(self) -> BinaryIO:
        """The file as a stream that can be read from any place."""

    @abstractmethod
    def is_as_stated(self) -> bool:
        """Whether its bytes are those that the manifest states."""

    def sha256(self, progress: Progress = lambda _done, _of: None) -> str:
        """Of the file, hex. `progress` hears bytes. Raises MissingObjectError, StoreError."""
        digest, done = hashlib.sha256(), 0
        for chunk in self.chunks():
            digest.update(chunk)
            progress(done := done + len(chunk), self.size)
        return digest.hexdigest()

    def write(self, file: Path) -> None:
        """Writes the file, whole or not at all, and its manifest beside it. Raises StoreError."""
        write_chunks(file, self.chunks())
        write_manifest(file, self.manifest)


class StoredFile(PagedFile):
    """Its pages lie in the store's segments; a unit is a segment's pages."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        segment = manifest.pages["segment"]
        order = np.argsort(segment, kind="stable")
        bounds = np.searchsorted(segment[order], np.arange(len(manifest.segments) + 1))
        super().__init__(manifest, [order[start:end] for start, end in pairwise(bounds)])
        self.store, self._keys = store, [f"segments/{sha256}" for sha256 in manifest.segments]

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def size(self) -> int:
        return self.manifest.size

    def read_pages(self, places: NDArray[np.intp]) -> list[bytes]:
        parts: dict[int, bytes] = {}
        segments = self.manifest.pages["segment"][places]
        for segment in np.unique(segments).tolist():
            of_segment = places[segments == segment]
            starts, lengths = self._runs(of_segment)
            contents = self.store.get_ranges(self._keys[segment], starts, lengths)
            sizes = self.manifest.pages["deflate_bytes"][of_segment].tolist()
            content, start = b"".join(contents), 0
            for place, size in zip(of_segment.tolist(), sizes, strict=True):
                parts[place] = content[start : start + size]
                start += size
        self._need_whole(places, parts)
        return [parts[place] for place in places.tolist()]

    def read(self, start: int, length: int) -> bytes:
        return self.read_ranges([(start, length)])

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> bytes:
        """Some ranges (start, length) of the file, one after the other. Raises MissingObjectError, StoreError."""
        offsets = self.manifest.offsets
        starts = np.array([start for start, _ in ranges], np.int64)
        ends = np.minimum(starts + [length for _, length in ranges], self.size)
        firsts = np.maximum(np.searchsorted(offsets, starts, "right") - 1, 0).tolist()
        lasts = np.searchsorted(offsets[:-1], ends, "left").tolist()
        spans = [np.arange(first, last) for first, last in zip(firsts, lasts, strict=True)]
        places = np.unique(np.concatenate([_NONE, *spans]))
        pages = dict(zip(places.tolist(), self.read_pages(places), strict=True))
        return b"".join(
            self._cut(start, end, b"".join(pages[place] for place in span.tolist()), span)
            for start, end, span in zip(starts.tolist(), ends.tolist(), spans, strict=True)
        )

    def _cut(self, start: int, end: int, content: bytes, span: NDArray[np.intp]) -> bytes:
        """The bytes of a range; `content` is that of the pages that it touches, whose places `span` has."""
        first, last = int(self.manifest.offsets[0]), int(self.manifest.offsets[-1])
        parts = []
        if start < first:
            parts.append(self.manifest.opening[start:end])
        if len(span):
            begin = int(self.manifest.offsets[span[0]])
            parts.append(content[max(0, start - begin) : max(0, end - begin)])
        if end > last:
            parts.append(self.manifest.closing[max(0, start - last) : end - last])
        return b"".join(parts)

    def chunks(self) -> Iterator[bytes]:
        manifest = self.manifest
        yield manifest.opening
        starts = np.arange(int(manifest.offsets[0]), int(manifest.offsets[-1]), _AT_ONCE)
        for first, last in pairwise([*np.searchsorted(manifest.offsets, starts).tolist(), len(manifest.pages)]):
            if first < last:
                yield b"".join(self.read_pages(np.arange(first, last)))
        yield manifest.closing

    def open(self) -> BinaryIO:
        return cast("BinaryIO", io.BufferedReader(_Stream(self), _AT_ONCE))

    def is_as_stated(self) -> bool:
        return True  # each page is held against its CRC-32 when it is read, and what is around them is the manifest's

    def _runs(self, places: NDArray[np.intp]) -> tuple[list[int], list[int]]:
        """Start and length of each range of a segment that holds pages in a row."""
        pages = self.manifest.pages[places]
        offsets = pages["offset"]
        ends = offsets + pages["deflate_bytes"]
        breaks = np.flatnonzero(offsets[1:] != ends[:-1])
        starts = offsets[np.concatenate([[0], breaks + 1])]
        stops = ends[np.concatenate([breaks, [len(ends) - 1]])]
        return starts.tolist(), (stops - starts).tolist()

    def _need_whole(self, places: NDArray[np.intp], parts: dict[int, bytes]) -> None:
        pages = self.manifest.pages[places]
        for place, segment, crc32 in zip(
            places.tolist(), pages["segment"].tolist(), pages["deflate_crc32"].tolist(), strict=True
        ):
            if isal_zlib.crc32(parts[place]) != crc32:
                raise damaged(self._keys[segment], f"page {place} of {self.name} is damaged in it.")


class _OnDisk(PagedFile):
    """What is read is what stands there, however much of it does."""

    def __init__(self, file: Path, manifest: Manifest) -> None:
        places = np.arange(len(manifest.pages))
        size = manifest.page_format.pages
        super().__init__(manifest, [places[start : start + size] for start in range(0, len(places), size)])
        self._file = file

    @property
    def name(self) -> str:
        return self._file.name

    @property
    def size(self) -> int:
        return self._file.stat().st_size

    def read_pages(self, places: NDArray[np.intp]) -> list[bytes]:
        starts, sizes = self.manifest.offsets[places].tolist(), self.manifest.pages["deflate_bytes"][places].tolist()
        with self.open() as stream:
            return [_read_at(stream, start, size) for start, size in zip(starts, sizes, strict=True)]

    def read(self, start: int, length: int) -> bytes:
        with self.open() as stream:
            return _read_at(stream, start, length)

    def chunks(self) -> Iterator[bytes]:
        with self.open() as stream:
            while chunk := stream.read(_AT_ONCE):
                yield chunk

    def open(self) -> BinaryIO:
        return self._file.open("rb")

    def is_as_stated(self) -> bool:
        manifest, pages = self.manifest, self.manifest.pages
        with self.open() as stream:
            return (
                self.size == manifest.size
                and stream.read(len(manifest.opening)) == manifest.opening
                and all(
                    isal_zlib.crc32(stream.read(size)) == crc32
                    for size, crc32 in zip(
                        pages["deflate_bytes"].tolist(), pages["deflate_crc32"].tolist(), strict=True
                    )
                )
                and stream.read() == manifest.closing
            )


def _read_at(stream: BinaryIO, start: int, length: int) -> bytes:
    stream.seek(start)
    return stream.read(length)


class _Stream(io.RawIOBase):
    def __init__(self, file: PagedFile) -> None:
        self._file, self._at = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        content = self._file.read(self._at, len(buffer))
        memoryview(buffer)[: len(content)] = content
        self._at += len(content)
        return len(content)
