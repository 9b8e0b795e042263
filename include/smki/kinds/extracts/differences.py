"""Names the certificates in which a full extract differs from the repository, and those that stand in a file twice.

This runs when a check did not pass, and only then. It needs memory for one range of certificates at a time, whatever
the file's size: both sides leave the first 64 bits of each SHA-256 in sorted pieces on disk, and are compared one range
of values at a time. (Two different certificates share them by chance once in 10^11 files of 17 million; the set digest,
which found the difference, has all 256 bits.)
"""

import tempfile
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Engine

from smki.annex_b.gzip_reader import read_gzip
from smki.annex_b.reading import read_records
from smki.certificates.model import Status
from smki.errors import DocumentRefusedError
from smki.repository.holdings import certificate_in_words, certificates_as_of, names_of
from smki.store.local_files import disk_errors
from smki.verify.marks import Marks

MOST_NAMED = 100  # on each side
_RANGES = 16  # of 64-bit values, compared one at a time
Lanes = NDArray[np.uint64]
OpenFile = Callable[[], BinaryIO]
ExamineAgain = Callable[[Marks, Sequence[int]], Sequence[int]]  # fills the marks; which of them are to be looked at


@dataclass(frozen=True, slots=True)
class Differences:
    """What one side has and the other has not."""

    surplus: int  # certificates in the file that are not to be there
    missing: int  # certificates that are to be in the file
    surplus_named: tuple[str, ...]  # at most 100
    missing_named: tuple[str, ...]

    def in_words(self, state: str) -> tuple[str, ...]:
        """One line a certificate; `state` says what the file was held against, such as `in use as of window 7`."""
        return (
            *(f"in the file and not {state}: {name}" for name in self.surplus_named),
            *_more(self.surplus, len(self.surplus_named), f"in the file and not {state}"),
            *(f"{state} and not in the file: {name}" for name in self.missing_named),
            *_more(self.missing, len(self.missing_named), f"{state} and not in the file"),
        )


def full_differences(
    engine: Engine, seq: int, statuses: Collection[Status], open_file: OpenFile, name: str, marks: Marks
) -> Differences:
    """In what a full extract of some statuses, read to its end, differs from the repository as of window `seq`."""
    units = range(len(marks.units))
    with tempfile.TemporaryDirectory(prefix="smki-") as folder:
        lanes, ids = _spool(engine, seq, statuses, Path(folder))
        surplus: list[int] = []
        missing: list[int] = []
        counts = [0, 0]
        for low, high in _ranges():
            ours = np.unique(_within(marks.bodies(units), low, high))
            theirs = np.unique(_within(lanes, low, high))
            for side, (one, other) in enumerate(((ours, theirs), (theirs, ours))):
                only = np.setdiff1d(one, other, assume_unique=True)
                counts[side] += len(only)
                kept = surplus if side == 0 else missing
                kept.extend(only[: MOST_NAMED - len(kept)].tolist())
        missing_ids = [int(id_) for id_ in _at(ids, lanes, missing)]
    return Differences(
        surplus=counts[0],
        missing=counts[1],
        surplus_named=tuple(_records(open_file, name, _places(marks, surplus))),
        missing_named=tuple(names_of(engine, missing_ids).values()),
    )


def confirm_duplicates(
    examine_again: ExamineAgain, repeated: Collection[int], units: Sequence[int], marks: Marks
) -> tuple[str, ...]:
    """The certificates that stand in a file more than once: of equal keys, those of equal issuer and serial number.

    `examine_again` reads the `units` that have such keys once more, with their rows, into marks of their own. At most
    100, one line each.
    """
    wanted = np.array(list(repeated), np.uint64)
    numbers = [number for number, keys in zip(units, marks.keys(units), strict=True) if np.isin(wanted, keys).any()]
    with tempfile.TemporaryDirectory(prefix="smki-") as folder:
        again = Marks.folder(Path(folder))
        rows = again.rows(examine_again(again, numbers))
        pairs = rows.group_by(["issuer", "serial_number"]).aggregate([([], "count_all")])
    twice = pairs.filter(pa.compute.greater(pairs["count_all"], 1))
    lines = [
        f"{certificate_in_words(serial.hex().upper(), None)} stands in it {count} times"
        for serial, count in zip(twice["serial_number"].to_pylist(), twice["count_all"].to_pylist(), strict=True)
    ]
    return (*lines[:MOST_NAMED], *_more(len(lines), min(len(lines), MOST_NAMED), "more than once in the file"))


def _spool(
    engine: Engine, seq: int, statuses: Collection[Status], folder: Path
) -> tuple[list[Lanes], list[NDArray[np.int64]]]:
    """The repository's side on disk: lanes and ids, piece by piece in the same order. Raises StoreError."""
    lanes: list[Lanes] = []
    ids: list[NDArray[np.int64]] = []
    for number, batch in enumerate(certificates_as_of(engine, seq, statuses)):
        lane_bytes = b"".join(batch["lane"].to_pylist())
        with disk_errors(folder):
            np.save(folder / f"lanes-{number}.npy", np.frombuffer(lane_bytes, "<u8"))
            np.save(folder / f"ids-{number}.npy", batch["id"].to_numpy())
        lanes.append(np.load(folder / f"lanes-{number}.npy", mmap_mode="r"))
        ids.append(np.load(folder / f"ids-{number}.npy", mmap_mode="r"))
    return lanes, ids


def _ranges() -> Iterable[tuple[np.uint64, np.uint64]]:
    bounds = [(number << 64) // _RANGES for number in range(_RANGES + 1)]
    return [(np.uint64(low), np.uint64(high - 1)) for low, high in pairwise(bounds)]


def _within(pieces: Iterable[Lanes], low: np.uint64, high: np.uint64) -> Lanes:
    """Values from low to high, both included."""
    return np.concatenate([np.empty(0, np.uint64), *(piece[(piece >= low) & (piece <= high)] for piece in pieces)])


def _places(marks: Marks, wanted: list[int]) -> list[int]:
    """At which places of the file the wanted bodies stand."""
    lanes, places = np.array(wanted, np.uint64), list[int]()
    for number in range(len(marks.units)):
        (bodies,) = marks.bodies([number])
        if (found := np.isin(bodies, lanes)).any():
            places += marks.places(number)[found].tolist()
    return places


def _at(values: Sequence[NDArray[np.int64]], pieces: Sequence[Lanes], wanted: list[int]) -> Iterable[int]:
    """The values that stand where the wanted lanes do."""
    for piece, beside in zip(pieces, values, strict=True):
        yield from beside[np.isin(piece, np.array(wanted, np.uint64))].tolist()


def _records(open_file: OpenFile, name: str, places: list[int]) -> Iterable[str]:
    """Records of a file by their places, in words; the file is read up to the last of them, or to its first damage."""
    wanted = set(places)
    with suppress(DocumentRefusedError), open_file() as stream:
        records = islice(read_records(read_gzip(stream, name), name), max(places, default=-1) + 1)
        for place, record in enumerate(records):
            if place in wanted:
                yield certificate_in_words(record.serial or "", record.subject_name or record.subject_alt_name)


def _more(count: int, shown: int, what: str) -> Iterable[str]:
    return [f"… and {count - shown:,} more {what}"] if count > shown else []
