"""Holds the records of a delta against what its window changed.

Both sides are split into files by SHA-256, each row once, and joined one range of values after the other. So memory is
for one range and one segment, time is in proportion to the rows, and a segment is read once. Records that are judged
the same become one row; the first of them keep rows of their own, as reports name them.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Engine

from smki.certificates.columns import put_end_to_end
from smki.kinds.extracts.checks import NEW, RecordRow
from smki.kinds.extracts.differences import MOST_NAMED
from smki.repository.holdings import CHANGED, certificate_in_words, changed_by, names_of
from smki.store.local_files import disk_errors
from smki.verify.marks import Marks

_RANGES = 64  # of hashes, at most 256: of a delta of three million, 50,000 certificates each
_AT_ONCE = 100_000  # records of a range: a file may hold a certificate any number of times
_NAMED = 20  # records judged the same that have rows of their own: as many as Great Expectations lists
_RECORDS = pa.schema(
    {
        "class": pa.string(),
        "status": pa.string(),
        "serial_number": pa.binary(),
        "sha256": pa.binary(),
        "place": pa.int64(),  # in the file
    }
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a delta's records are, and what they are to be."""

    rows: Sequence[RecordRow]
    missing: int  # certificates that the window changed and no record has
    missing_named: Sequence[str]  # the first hundred, in words


class _Judged(NamedTuple):
    """What is judged of a record."""

    certificate_class: str
    status: str
    before: str | None
    after: str | None


@dataclass(slots=True)
class _Alike:
    count: int = 0
    first: list[tuple[int, bytes]] = field(default_factory=list)  # place in the file, serial number


def compare_with_window(
    engine: Engine, seq: int, marks: Marks, segments: Iterable[int], *, ranges: int = _RANGES
) -> Comparison:
    """The records of some segments beside what window `seq` changed.

    Raises RepositoryUnavailableError, StoreError.
    """
    found: dict[_Judged, _Alike] = {}
    missing = 0
    named: list[dict[str, Any]] = []
    with TemporaryDirectory(prefix="smki-") as folder:
        changed = _split(changed_by(engine, seq), CHANGED, Path(folder, "changed"), ranges)
        records = _split(_records(marks, segments), _RECORDS, Path(folder, "records"), ranges)
        for of_window, of_file in zip(changed, records, strict=True):
            absent = _join(_gather(_read(of_file)), pa.Table.from_batches(_read(of_window), CHANGED), found)
            missing += absent.num_rows
            named += absent.slice(0, MOST_NAMED - len(named)).to_pylist()
    names = names_of(engine, [one["id"] for one in named])
    return Comparison(
        _rows(found),
        missing,
        [f"{names.get(one['id'], 'certificate that is gone')}: {one['before'] or NEW}→{one['after']}" for one in named],
    )


def _records(marks: Marks, segments: Iterable[int]) -> Iterator[pa.RecordBatch]:
    place = 0
    for number in segments:
        rows = marks.rows([number])
        places = np.arange(place, place := place + rows.num_rows)
        records = rows.append_column("place", pa.array(places)).select(_RECORDS.names)
        yield from records.combine_chunks().to_batches()


def _split(batches: Iterable[pa.RecordBatch], schema: pa.Schema, folder: Path, ranges: int) -> list[Path]:
    """Writes the rows into a file for each range of hashes, in their order. Raises StoreError."""
    paths = [folder / f"{number}" for number in range(ranges)]
    with disk_errors(folder.parent), ExitStack() as opened:
        folder.mkdir()
        files = [opened.enter_context(pa.OSFile(str(path), "wb")) for path in paths]
        streams = [opened.enter_context(pa.ipc.new_stream(file, schema)) for file in files]
        for batch in batches:
            content, bounds = put_end_to_end(batch["sha256"])
            numbers = content[bounds[:-1]].astype(np.intp) * ranges >> 8
            ordered = batch.take(pa.array(np.argsort(numbers, kind="stable")))
            ends = np.cumsum(np.bincount(numbers, minlength=ranges)).tolist()
            for stream, (start, end) in zip(streams, pairwise([0, *ends]), strict=True):
                if start < end:
                    stream.write_batch(ordered.slice(start, end - start))
    return paths


def _read(path: Path) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
        yield from stream


def _gather(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The same rows, many at once: for each table that is joined, what changed is put into an index."""
    gathered: list[pa.RecordBatch] = []
    for batch in batches:
        gathered.append(batch)
        if sum(len(one) for one in gathered) >= _AT_ONCE:
            yield pa.Table.from_batches(gathered)
            gathered = []
    if gathered:
        yield pa.Table.from_batches(gathered)


def _join(records_of_range: Iterable[pa.Table], changed: pa.Table, found: dict[_Judged, _Alike]) -> pa.Table:
    """Adds the records of a range of hashes to `found`; id, before and after of what changed and no record has."""
    is_there = np.zeros(changed.num_rows, np.bool_)
    for records in records_of_range:
        match = pc.index_in(records["sha256"], value_set=changed["sha256"])
        is_there[match.drop_null().to_numpy()] = True
        _count(records, changed.take(match), found)
    return changed.filter(pa.array(~is_there)).select(["id", "before", "after"])


def _count(records: pa.Table, changed: pa.Table, found: dict[_Judged, _Alike]) -> None:
    """Adds records, each with what the window changed beside it, to those that are judged the same."""
    together = pa.table(
        {
            "class": records["class"],
            "status": records["status"],
            "before": changed["before"],
            "after": changed["after"],
            "place": records["place"],
            "serial_number": records["serial_number"],
        }
    )
    groups = together.group_by(["class", "status", "before", "after"], use_threads=False).aggregate(
        [("place", "list"), ("serial_number", "list")]
    )
    for row, judged in enumerate(groups.select(["class", "status", "before", "after"]).to_pylist()):
        alike = found.setdefault(_Judged(*judged.values()), _Alike())
        places, serials = (groups[name][row].values for name in ("place_list", "serial_number_list"))
        alike.count += len(places)
        first = zip(places[:_NAMED].to_pylist(), serials[:_NAMED].to_pylist(), strict=True)
        alike.first = sorted([*alike.first, *first])[:_NAMED]


def _rows(found: dict[_Judged, _Alike]) -> Sequence[RecordRow]:
    """The named ones in the file's order, then one row for the others of each kind."""
    named: list[tuple[int, RecordRow]] = []
    others: list[RecordRow] = []
    for judged, alike in found.items():
        move = f"{judged.certificate_class} {judged.before or NEW}→{judged.status}"
        for place, serial in alike.first:
            item = f"{certificate_in_words(serial.hex().upper(), None)}: {move}"
            named.append((place, RecordRow(judged.status, judged.after, move, 1, item)))
        if rest := alike.count - len(alike.first):
            others.append(RecordRow(judged.status, judged.after, move, rest, ""))
    others.sort(key=lambda row: (row.move, row.expected_status or ""))
    return [*(row for _, row in sorted(named, key=lambda one: one[0])), *others]
