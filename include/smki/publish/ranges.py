"""Which bytes of a file that is to be published stand on the server already, in another file.

Pure: manifests in, ranges out.

* A page of both is equal when the SHA-256 of its XML, the CRC-32 of its deflate and the length of its deflate are.
* What stands around the pages (header, head, tail, end) is the file's own and is always sent.
* Pages in a row are one range. Each byte of the new file is in one range, and in no other.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from smki.store.manifest import Manifest
from smki.store.pages import Pages

_SAME = np.dtype([("xml_sha256", "V32"), ("deflate_crc32", "<u4"), ("deflate_bytes", "<i4")])


class Range(NamedTuple):
    """Some bytes of the new file."""

    start: int  # in the new file
    length: int
    source: int | None = None  # where they stand in the old file; None: they have to be sent

    @property
    def end(self) -> int:
        return self.start + self.length


def find_equal_pages(new: Manifest, old: Manifest) -> NDArray[np.intp]:
    """(n,) the place in `old` of each page of `new`; −1 of those that it has not."""
    found = pc.index_in(_keys(new.pages), _keys(old.pages))
    return np.asarray(found.fill_null(-1)).astype(np.intp)


def find_ranges(new: Manifest, old: Manifest) -> list[Range]:
    """The new file as ranges, in its order."""
    places = np.concatenate([[-1], find_equal_pages(new, old), [-1]])  # of what stands before the pages, of each, after
    bounds = np.concatenate([[0], new.offsets, [new.size]])
    goes_on = (places[1:] == -1) & (places[:-1] == -1) | (places[:-1] >= 0) & (places[1:] == places[:-1] + 1)
    firsts = np.concatenate([[0], np.flatnonzero(~goes_on) + 1])
    starts, ends = bounds[firsts], bounds[np.concatenate([firsts[1:], [len(places)]])]
    sources = np.where(places[firsts] >= 0, old.offsets[places[firsts]], -1)
    return [
        Range(start, end - start, None if source < 0 else source)
        for start, end, source in zip(starts.tolist(), ends.tolist(), sources.tolist(), strict=True)
    ]


def pieces(ranges: Iterable[Range], length: int) -> Iterator[Range]:
    """The same bytes in ranges of at most `length`."""
    for start, whole, source in ranges:
        for at in range(0, whole, length):
            yield Range(start + at, min(length, whole - at), None if source is None else source + at)


def split_at(ranges: Iterable[Range], place: int) -> tuple[list[Range], list[Range]]:
    """What of ascending ranges lies before a place in the new file, and what from there on."""
    before, after = [], []
    for one in ranges:
        cut = min(max(place - one.start, 0), one.length)
        if cut:
            before.append(one._replace(length=cut))
        if cut < one.length:
            after.append(Range(one.start + cut, one.length - cut, None if one.source is None else one.source + cut))
    return before, after


def last_bytes(ranges: Sequence[Range], count: int) -> list[Range]:
    """The ranges that hold the last `count` bytes of ascending ones."""
    left, kept = count, []
    for one in reversed(ranges):
        if left <= 0:
            break
        taken = min(one.length, left)
        kept.append(split_at([one], one.end - taken)[1][0])
        left -= taken
    return kept[::-1]


def total_bytes(ranges: Iterable[Range]) -> int:
    """How many bytes ranges hold."""
    return sum(one.length for one in ranges)


def _keys(pages: Pages) -> pa.Array:
    rows = np.empty(len(pages), _SAME)
    for name in _SAME.names or ():
        rows[name] = pages[name]
    width = _SAME.itemsize
    return pa.Array.from_buffers(pa.binary(width), len(rows), [None, pa.py_buffer(rows.tobytes())])
