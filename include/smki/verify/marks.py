"""What the check of a segment leaves for the check of the whole: a number or a row a record, in files of its own.

So a file of 17 million certificates is judged in the memory that one of a million needs, and by any number of
processes that share the folder.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import feather

from smki.verify.record_check import ROWS, Keys, RecordFigures

_HASH_BYTES = 32
_KEYS_AT_ONCE = 4_000_000


class Marks:
    """The marks of one file's segments, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, segment: int, pieces: Iterable[RecordFigures]) -> None:
        """Keeps the marks of a checked segment; the same call again replaces them."""
        self._folder.mkdir(parents=True, exist_ok=True)
        pieces = list(pieces)
        np.save(self._keys(segment), np.sort(_join([piece.keys for piece in pieces])))
        np.save(self._bodies(segment), _join([_first_lane(piece.hashes) for piece in pieces]))
        if rows := [piece.rows for piece in pieces if piece.rows is not None]:
            feather.write_feather(pa.concat_tables(rows), self._rows(segment))

    def keys(self, segments: Iterable[int]) -> list[Keys]:
        """A segment's keys, sorted; a number that equal issuer and serial number share."""
        return [np.load(self._keys(segment), mmap_mode="r") for segment in segments]

    def bodies(self, segments: Iterable[int]) -> list[NDArray[np.uint64]]:
        """The first lane of the SHA-256 of each body of a segment, in record order."""
        return [np.load(self._bodies(segment), mmap_mode="r") for segment in segments]

    def rows(self, segments: Iterable[int]) -> pa.Table:
        """The rows of all these segments, as `ROWS` says; for files whose rows were kept."""
        tables = [feather.read_table(self._rows(number)) for number in segments if self._rows(number).exists()]
        return pa.concat_tables([ROWS.empty_table(), *tables])

    def _keys(self, segment: int) -> Path:
        return self._folder / f"keys-{segment:05d}.npy"

    def _bodies(self, segment: int) -> Path:
        return self._folder / f"bodies-{segment:05d}.npy"

    def _rows(self, segment: int) -> Path:
        return self._folder / f"rows-{segment:05d}.arrow"


def repeated_keys(pieces: Sequence[Keys], keys_at_once: int = _KEYS_AT_ONCE) -> Keys:
    """Keys that occur more than once in all pieces together; each piece is sorted (and may be a memory map).

    Pieces are compared one range of keys at a time, so that only a few million keys are in memory at once.
    """
    total = sum(len(piece) for piece in pieces)
    ranges = max(1, -(-total // keys_at_once))
    bounds = [(number << 64) // ranges for number in range(ranges)]
    repeated = []
    for low, high in zip(bounds, [*bounds[1:], None], strict=True):
        parts = []
        for piece in pieces:
            start = np.searchsorted(piece, np.uint64(low))
            end = len(piece) if high is None else np.searchsorted(piece, np.uint64(high))
            parts.append(np.asarray(piece[start:end]))
        keys = np.sort(_join(parts))
        repeated.append(np.unique(keys[1:][keys[1:] == keys[:-1]]))
    return np.concatenate(repeated)


def _join(parts: list[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    return np.concatenate([np.empty(0, np.uint64), *parts])


def _first_lane(hashes: bytes) -> NDArray[np.uint64]:
    return np.frombuffer(hashes, dtype="<u8").reshape(-1, _HASH_BYTES // 8)[:, 0]
