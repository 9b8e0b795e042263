"""A full extract by its pages: which of them a copy has, and what is in the others.

* A page table (docs/party.md) says of each page how many bytes, and records, it has, and the SHA-256 of its XML. The
  signed index states the table's own SHA-256.
* A copy knows the pages of the full extract that it began with. One that no delta has touched since, and whose SHA-256
  the new table has under its number, holds what it held: nothing of it is fetched.
* Every other page is fetched as a range of the file, and inflated alone. Its XML has the SHA-256 that the table states.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smki.party.extract_reading import Batch, Reader
from smki.party.planning import OfferedFile
from smki.party.refusals import Refusal, SyncRefusedError
from smki.publish.ranges import Range

_ROW = np.dtype([("number", "<i8"), ("deflate_bytes", "<u4"), ("records", "<u4"), ("xml_sha256", "V32")])
_PIECE = 4 << 20  # bytes of XML that are read at once
_MOST_PAGE = 16 << 20  # bytes of XML; 128 certificates have some 100,000


@dataclass(frozen=True, slots=True, eq=False)
class PageTable:
    """What a full extract is made of."""

    head: bytes  # XML before the records
    tail: bytes
    rows: NDArray[np.void]  # (n,) of _ROW, in the file's order
    offsets: NDArray[np.int64]  # (n + 1,) where each page begins in the file, and where the last one ends

    @property
    def pages(self) -> Iterator[tuple[int, bytes]]:
        """Number and SHA-256 of each."""
        for row in self.rows:
            yield int(row["number"]), row["xml_sha256"].tobytes()


@dataclass(frozen=True, slots=True, eq=False)
class Changed:
    """The pages of a full extract that a copy lacks."""

    table: PageTable
    places: NDArray[np.intp]  # ascending, in the table

    @property
    def bytes(self) -> int:
        """Of their ranges."""
        return int(self.table.rows["deflate_bytes"][self.places].sum(dtype=np.int64))

    @property
    def kept(self) -> list[int]:
        """Numbers of the pages that the copy has."""
        there = np.ones(len(self.table.rows), np.bool_)
        there[self.places] = False
        numbers: list[int] = self.table.rows["number"][there].tolist()
        return numbers

    def ranges(self) -> list[Range]:
        """Where they stand in the file; pages in a row are one."""
        found: list[Range] = []
        starts, ends = self.table.offsets[self.places], self.table.offsets[self.places + 1]
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            if found and found[-1].end == start:
                found[-1] = Range(found[-1].start, end - found[-1].start)
            else:
                found.append(Range(start, end - start))
        return found


def read_table(content: bytes, file: OfferedFile) -> PageTable:
    """The page table of a full extract. Raises SyncRefusedError for one that is not as the index, or the file, says."""
    assert file.pages is not None  # noqa: S101  # the index states it
    name = file.pages.name
    if hashlib.sha256(content).hexdigest() != file.pages.sha256:
        rule = f"the index states SHA-256 {file.pages.sha256}, and another came."
        raise SyncRefusedError(Refusal.DAMAGED, name, rule)
    try:
        first, _, packed = content.partition(b"\n")
        facts = json.loads(first)
        rows = np.frombuffer(packed, _ROW)
        offsets = facts["opening_bytes"] + np.concatenate([[0], np.cumsum(rows["deflate_bytes"], dtype=np.int64)])
        table = PageTable(facts["head"].encode(), facts["tail"].encode(), rows, offsets)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SyncRefusedError(Refusal.CONTENT, name, f"it is no page table ({type(error).__name__}).") from error
    if len(rows) != facts["pages"] or facts["version"] != 1 or int(offsets[-1]) > file.bytes:
        raise SyncRefusedError(Refusal.CONTENT, name, "it is not the page table of that file.")
    return table


def find_changed(table: PageTable, known: Mapping[int, bytes]) -> Changed:
    """The pages that a copy lacks which knows pages of this SHA-256, by number."""
    return Changed(
        table, np.array([place for place, (number, xml) in enumerate(table.pages) if known.get(number) != xml], np.intp)
    )


def number_pages(batches: Iterable[Batch], table: PageTable, name: str) -> Iterator[Batch]:
    """The records of the whole file, each with the number of its page. Raises SyncRefusedError at the end if they are
    not as many as the table says.
    """
    ends = np.cumsum(table.rows["records"], dtype=np.int64)
    at, wanted = 0, int(ends[-1]) if len(ends) else 0
    for batch in batches:
        end = at + len(batch.bodies)
        if end <= wanted:
            places = np.searchsorted(ends, np.arange(at, end), side="right")
            yield replace(batch, pages=table.rows["number"][places].tolist())
        at = end
    if at != wanted:
        raise SyncRefusedError(Refusal.CONTENT, name, f"it has {at:,} records, and its page table {wanted:,}.")


def read_changed(fetched: Path, changed: Changed, name: str) -> Iterator[Batch]:
    """The records of changed pages, whose ranges were fetched one after the other. Raises SyncRefusedError."""
    table, reader = changed.table, Reader(name)
    with fetched.open("rb") as stream:
        parts: list[bytes] = []
        numbers: list[int] = []
        size = 0
        for place in changed.places.tolist():
            row = table.rows[place]
            xml = _inflate(stream.read(int(row["deflate_bytes"])), name)
            if hashlib.sha256(xml).digest() != row["xml_sha256"].tobytes():
                rule = f"page {row['number']} of it is not what its table states."
                raise SyncRefusedError(Refusal.DAMAGED, name, rule)
            parts.append(xml)
            numbers += [int(row["number"])] * int(row["records"])
            size += len(xml)
            if size >= _PIECE:
                yield _numbered(reader, table, parts, numbers, name)
                parts, numbers, size = [], [], 0
        if parts:
            yield _numbered(reader, table, parts, numbers, name)


def _inflate(deflate: bytes, name: str) -> bytes:
    try:
        return zlib.decompressobj(-15).decompress(deflate, _MOST_PAGE)
    except zlib.error as error:
        raise SyncRefusedError(Refusal.DAMAGED, name, f"a page of it is damaged ({error}).") from error


def _numbered(reader: Reader, table: PageTable, parts: list[bytes], numbers: list[int], name: str) -> Batch:
    batch = reader.read(table.head, b"".join(parts), table.tail)
    if len(batch.bodies) != len(numbers):
        raise SyncRefusedError(Refusal.CONTENT, name, "its pages have not as many records as their table says.")
    return replace(batch, pages=numbers)
