"""Holds the records of a delta against what its window changed.

Memory is for one range of hashes and one segment at a time, whatever the delta's size: what the window changed lies in
a file, and both sides are joined by SHA-256, one range of values after the other. Records that are judged the same
become one row; the first of them keep rows of their own, as reports name them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Engine

from smki.kinds.extracts.checks import NEW, RecordRow
from smki.kinds.extracts.differences import MOST_NAMED
from smki.repository.holdings import CHANGED, certificate_in_words, changed_by, names_of
from smki.verify.marks import Marks

_AT_ONCE = 250_000  # certificates of the window that are in memory
_NAMED = 20  # records judged the same that have rows of their own: as many as Great Expectations lists


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
    engine: Engine, seq: int, marks: Marks, segments: Iterable[int], *, at_once: int = _AT_ONCE
) -> Comparison:
    """The records of some segments beside what window `seq` changed. Raises RepositoryUnavailableError."""
    found: dict[_Judged, _Alike] = {}
    missing = 0
    named: list[dict[str, Any]] = []
    numbers = list(segments)
    with TemporaryDirectory(prefix="smki-") as folder:
        spooled = Path(folder) / "changed"
        total = _spool(changed_by(engine, seq), spooled)
        for low, high in _ranges(-(-total // at_once)):
            changed = pa.Table.from_batches([_within(batch, low, high) for batch in _read(spooled)], CHANGED)
            absent = _join(_records(marks, numbers, low, high, at_once), changed, found)
            missing += absent.num_rows
            named += absent.slice(0, MOST_NAMED - len(named)).to_pylist()
            del changed, absent
    pa.default_memory_pool().release_unused()  # Great Expectations comes next, and takes 130 MB
    names = names_of(engine, [one["id"] for one in named])
    return Comparison(
        _rows(found),
        missing,
        [f"{names.get(one['id'], 'certificate that is gone')}: {one['before'] or NEW}→{one['after']}" for one in named],
    )


def _records(marks: Marks, segments: Sequence[int], low: bytes, high: bytes | None, at_once: int) -> Iterator[pa.Table]:
    """The records of a range of hashes, with their places in the file: as many at once, or up to a segment more.

    For each table of them the hashes of what changed are put into an index: one a segment would take most of the time.
    """
    gathered: list[pa.Table] = []
    place = 0
    for number in segments:
        records = marks.rows([number]).select(["class", "status", "serial_number", "sha256"])
        places = np.arange(place, place := place + records.num_rows)
        gathered.append(_within(records.append_column("place", pa.array(places)), low, high))
        if sum(table.num_rows for table in gathered) >= at_once:
            yield pa.concat_tables(gathered)
            gathered = []
    if gathered:
        yield pa.concat_tables(gathered)


def _join(records_of_range: Iterable[pa.Table], changed: pa.Table, found: dict[_Judged, _Alike]) -> pa.Table:
    """Adds the records of a range of hashes to `found`; id, before and after of what changed and no record has."""
    is_there = np.zeros(changed.num_rows, np.bool_)
    for records in records_of_range:
        match = pc.index_in(records["sha256"], value_set=changed["sha256"])
        is_there[match.drop_null().to_numpy()] = True
        _count(records, changed.take(match), found)
    return changed.filter(pa.array(~is_there)).select(["id", "before", "after"])


def _spool(batches: Iterable[pa.RecordBatch], path: Path) -> int:
    """Writes the batches to a file; how many rows they have."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, CHANGED) as stream:
        rows = 0
        for batch in batches:
            stream.write_batch(batch)
            rows += batch.num_rows
    return rows


def _read(path: Path) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
        yield from stream


def _ranges(count: int) -> Iterator[tuple[bytes, bytes | None]]:
    """About so many ranges of hashes, at most 256 and at least one: from … to before; none: to the last."""
    bounds = sorted({number * 256 // max(count, 1) for number in range(max(count, 1))})
    for low, high in zip(bounds, [*bounds[1:], None], strict=True):
        yield bytes([low]), None if high is None else bytes([high])


def _within(rows: pa.RecordBatch | pa.Table, low: bytes, high: bytes | None) -> pa.RecordBatch | pa.Table:
    inside = pc.greater_equal(rows["sha256"], low)
    return rows.filter(inside if high is None else pc.and_(inside, pc.less(rows["sha256"], high)))


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
    return [*(row for _, row in sorted(named, key=lambda one: one[0])), *others]
