"""What the check of a file's units leaves for the check of the whole, in the store: figures a page, numbers a record.

* A unit is what is checked at once: a segment's pages, or a piece of a file that has no manifest.
* So a file of 17 million certificates is judged in the memory that one of a million needs, by any number of processes.
* What is kept of a segment is kept under the basis of its check (`basis`), and found again by every later file that its
  pages are used in.
* Each object ends with the SHA-256 of what stands before. One that is damaged or gone counts as never kept: its unit is
  checked again, and what is kept then takes its place.
* What is found counts as written now, as what `Store.put` finds does.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile, gettempdir

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import feather

from smki.errors import MissingObjectError
from smki.store.local_files import disk_errors
from smki.store.objects import Store
from smki.verify.record_check import ROWS, Keys

_BOUNDS = np.arange(1, 16, dtype=np.uint64) << np.uint64(60)  # that part the keys by their first bits
_SEAL_BYTES = hashlib.sha256().digest_size
_RECORDS = pa.schema({"key": pa.uint64(), "lane": pa.uint64()})


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of a file, and which of its pages are in the file."""

    name: str
    pages: NDArray[np.intp] | None = None  # their places in the unit, ascending; None: all
    first: NDArray[np.int64] | None = None  # how many of the file's records stand before each; None: units are in order


class Marks:
    """The marks of one file's units, by number."""

    def __init__(self, store: Store, basis: str = "") -> None:
        self.units: list[Unit] = []
        self._store, self._prefix = store, f"checked/{basis or 'once'}"

    @classmethod
    def folder(cls, path: Path) -> "Marks":
        """Marks of a file that is checked once, in a folder of this machine."""
        return cls(Store.folder(path))

    def keep(self, name: str, pages: pa.Table, records: pa.Table, rows: pa.Table | None) -> None:
        """Keeps the marks of a checked unit: PAGE_FIGURES, key and first lane of each record, ROWS where there are any.

        The same call again replaces them.
        """
        self._put(name, "records", records)
        if rows is not None:
            self._put(name, "rows", rows)
        self._put(name, "pages", pages)

    def has(self, name: str, *, with_rows: bool) -> bool:
        """Whether a unit's marks are there and whole: a file whose rows are judged may share it with one whose are not.

        Those that are there count as written now. Raises StoreError.
        """
        whats = ("pages", "records", "rows") if with_rows else ("pages", "records")
        return all(self._store.holds_as_new(self._key(name, what), _is_sealed) for what in whats)

    def pages(self, number: int) -> pa.Table:
        """PAGE_FIGURES of a unit's pages that are in the file."""
        unit = self.units[number]
        table = self._get(unit.name, "pages")
        return table if unit.pages is None else table.take(pa.array(unit.pages))

    def keys(self, numbers: Iterable[int]) -> Iterator[Keys]:
        """The keys of each unit's records; a number that equal issuer and serial number share."""
        return (self._records(number, "key") for number in numbers)

    def bodies(self, numbers: Iterable[int]) -> Iterator[NDArray[np.uint64]]:
        """The first lane of the SHA-256 of each body of a unit, in record order."""
        return (self._records(number, "lane") for number in numbers)

    def rows(self, numbers: Iterable[int]) -> pa.Table:
        """The rows of all these units, as `ROWS` says; for files whose rows were kept."""
        return pa.concat_tables([ROWS.empty_table(), *(self._of_file(number, "rows") for number in numbers)])

    def places(self, number: int) -> NDArray[np.int64]:
        """(n,) at which place of the file each of a unit's records stands."""
        unit = self.units[number]
        if unit.first is None:
            before = sum(int(self._counts(one).sum()) for one in range(number))
            return before + np.arange(int(self._counts(number).sum()))
        counts = self._counts(number)
        return np.repeat(unit.first - (np.cumsum(counts) - counts), counts) + np.arange(int(counts.sum()))

    def _records(self, number: int, column: str) -> NDArray[np.uint64]:
        values: NDArray[np.uint64] = self._of_file(number, "records")[column].to_numpy()
        return values

    def _of_file(self, number: int, what: str) -> pa.Table:
        """A table a record, of those that are in the file."""
        unit = self.units[number]
        table = self._get(unit.name, what)
        if unit.pages is None:
            return table
        counts = self._get(unit.name, "pages")["records"].to_numpy()
        used = np.zeros(len(counts), np.bool_)
        used[unit.pages] = True
        return table if used.all() else table.filter(pa.array(np.repeat(used, counts)))

    def _counts(self, number: int) -> NDArray[np.int64]:
        return np.asarray(self.pages(number)["records"], np.int64)

    def _put(self, name: str, what: str, table: pa.Table) -> None:
        sink = io.BytesIO()
        feather.write_feather(table, sink, compression="uncompressed")
        sink.write(hashlib.sha256(sink.getbuffer()).digest())
        self._store.put(self._key(name, what), sink.getvalue())

    def _get(self, name: str, what: str) -> pa.Table:
        content = self._store.get(key := self._key(name, what))
        if not _is_sealed(content):
            raise MissingObjectError(
                key,
                "what was found of a file's pages is damaged there.",
                next_step="have the storage looked at, then produce the file again from the beginning: "
                "the pages are verified anew.",
            )
        return feather.read_table(pa.BufferReader(memoryview(content)[:-_SEAL_BYTES]))

    def _key(self, name: str, what: str) -> str:
        return f"{self._prefix}/{name}.{what}"


def _is_sealed(content: bytes) -> bool:
    """Whether it is, byte for byte, what was kept."""
    return hashlib.sha256(memoryview(content)[:-_SEAL_BYTES]).digest() == content[-_SEAL_BYTES:]


def record_marks(keys: Sequence[Keys], hashes: Sequence[bytes]) -> pa.Table:
    """Key and first lane of each record, of pieces in a row."""
    lanes = np.frombuffer(b"".join(hashes), "<u8").reshape(-1, 4)[:, 0]
    return pa.table([pa.array(np.concatenate([np.empty(0, np.uint64), *keys])), pa.array(lanes)], schema=_RECORDS)


def repeated_keys(pieces: Iterable[Keys]) -> Keys:
    """Keys that occur more than once in all pieces together.

    Each goes to a file of those with the same first bits, and one such file is in memory at a time. Raises StoreError.
    """
    repeated = [np.empty(0, np.uint64)]
    with disk_errors(Path(gettempdir(), "smki-keys")), ExitStack() as opened:
        spools = [opened.enter_context(TemporaryFile(prefix="smki-")) for _ in range(len(_BOUNDS) + 1)]
        for piece in pieces:
            ordered = np.sort(piece)
            for spool, part in zip(spools, np.split(ordered, np.searchsorted(ordered, _BOUNDS)), strict=True):
                spool.write(part.data)
        for spool in spools:
            spool.seek(0)
            within = np.sort(np.frombuffer(spool.read(), np.uint64))
            repeated.append(np.unique(within[1:][within[1:] == within[:-1]]))
    return np.concatenate(repeated)
