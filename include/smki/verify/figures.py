"""What the check of pages found, page by page: counts and digests that can be added up.

It is kept beside the pages, so that a page that is used in another file need not be read again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from smki.certificates.model import AUTHORITY, Status
from smki.certificates.set_digest import SetDigest
from smki.verify.record_check import CheckedRecords

_LANES = ("lane_1", "lane_2", "lane_3", "lane_4")
_MIX = pa.struct(
    {"status": pa.string(), "class": pa.string(), "issuer": pa.binary(), "records": pa.int32()}  # issuer: Name, DER
)
PAGE_FIGURES = pa.schema(
    {
        "records": pa.int32(),
        **dict.fromkeys(_LANES, pa.uint64()),  # of its set digest
        "manufacturing": pa.int32(),  # records that have the flag
        "in_use_until": pa.timestamp(
            "s", "UTC"
        ),  # the earliest notAfter of its records with status I; null: none has it
        "plain": pa.bool_(),  # nothing stands in it but records as the publisher writes them
        "mix": pa.list_(_MIX),  # how many records there are of each kind
    }
)
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class SegmentFigures:
    """One row of figures: what some checked pages hold, or the first thing that is wrong with them."""

    number: int
    records: int = 0
    xml_bytes: int = 0
    statuses: Mapping[str, int] = field(default_factory=dict)
    classes: Mapping[str, int] = field(default_factory=dict)
    issuers: Mapping[str, int] = field(default_factory=dict)  # Name, DER, hex
    set_digest: SetDigest = field(default_factory=SetDigest)
    manufacturing: int = 0  # records that have the flag
    in_use_until: datetime | None = None  # the earliest notAfter of the records with status I (UTC); none has it
    parsed: bool = False  # something else stands in it than records as the publisher writes them
    fault: str = ""  # a Fault; the other figures are then zero
    fault_text: str = ""  # the item and the rule that it breaks


def page_figures(checked: CheckedRecords, counts: Sequence[int]) -> pa.Table:
    """PAGE_FIGURES of a checked piece whose pages have `counts` records each, all of them together."""
    bounds = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    lanes = np.frombuffer(checked.hashes, "<u8").reshape(-1, len(_LANES))
    return pa.table(
        [
            pa.array(counts, pa.int32()),
            *(pa.array(_sums(lanes[:, number], bounds)) for number in range(len(_LANES))),
            pa.array(_sums(checked.manufacturing.astype(np.int32), bounds), pa.int32()),
            _in_use_until(checked, bounds),
            pa.repeat(pa.scalar(checked.is_plain), len(counts)),
            _mix(checked, bounds),
        ],
        schema=PAGE_FIGURES,
    )


def segment_figures(number: int, pages: pa.Table, xml_bytes: int) -> SegmentFigures:
    """The row that pages (PAGE_FIGURES) add up to."""
    statuses, classes, issuers = Counter[str](), Counter[str](), Counter[str]()
    flat = pages["mix"].combine_chunks().flatten()
    if len(flat):
        table = pa.table(flat.flatten(), names=_MIX.names)
        for row in table.group_by(["status", "class", "issuer"]).aggregate([("records", "sum")]).to_pylist():
            statuses[row["status"]] += row["records_sum"]
            classes[row["class"]] += row["records_sum"]
            issuers[row["issuer"].hex()] += row["records_sum"]
    records = int(pc.sum(pages["records"]).as_py() or 0)
    first, second, third, fourth = (int(pages[lane].to_numpy().sum(dtype=np.uint64)) for lane in _LANES)
    return SegmentFigures(
        number=number,
        records=records,
        xml_bytes=xml_bytes,
        statuses=dict(statuses),
        classes=dict(classes),
        issuers=dict(issuers),
        set_digest=SetDigest(records, (first, second, third, fourth)),
        manufacturing=int(pc.sum(pages["manufacturing"]).as_py() or 0),
        in_use_until=pc.min(pages["in_use_until"]).as_py(),
        parsed=not pc.all(pages["plain"], min_count=0).as_py(),
    )


def _sums(values: NDArray[np.generic], bounds: NDArray[np.int64]) -> NDArray[np.generic]:
    """The sum of each page, modulo what the type holds."""
    running = np.concatenate([np.zeros(1, values.dtype), np.cumsum(values, dtype=values.dtype)])
    sums: NDArray[np.generic] = running[bounds[1:]] - running[bounds[:-1]]
    return sums


def _in_use_until(checked: CheckedRecords, bounds: NDArray[np.int64]) -> pa.Array:
    fields = checked.fields
    ends = np.array([int(profile.not_after.timestamp()) for profile in fields.profiles], np.int64)
    in_use = np.asarray(pc.equal(checked.statuses, str(Status.IN_USE)))
    until = np.where(in_use, ends[fields.profile], _NEVER)
    pages = zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    earliest = np.array([until[start:end].min(initial=_NEVER) for start, end in pages], np.int64)
    return pa.array(earliest, pa.int64(), mask=earliest == _NEVER).cast(pa.timestamp("s", "UTC"))


def _mix(checked: CheckedRecords, bounds: NDArray[np.int64]) -> pa.Array:
    fields, count = checked.fields, len(bounds) - 1
    statuses = checked.statuses.dictionary_encode()
    kinds = [(profile.certificate_class or AUTHORITY, profile.issuer) for profile in fields.profiles]
    known = {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}
    of_profile = np.array([known[kind] for kind in kinds], np.int64)
    kind = np.asarray(statuses.indices, np.int64) * max(len(known), 1) + of_profile[fields.profile]
    page = np.repeat(np.arange(count), np.diff(bounds))
    many = max(len(known), 1) * max(len(statuses.dictionary), 1)
    found, records = np.unique(page * many + kind, return_counts=True)
    of_page, status, which = found // many, found % many // max(len(known), 1), found % max(len(known), 1)
    named = list(known)
    rows = pa.StructArray.from_arrays(
        [
            statuses.dictionary.take(pa.array(status)),
            pa.array([named[number][0] for number in which.tolist()], pa.string()),
            pa.array([named[number][1] for number in which.tolist()], pa.binary()),
            pa.array(records, pa.int32()),
        ],
        fields=list(_MIX),
    )
    offsets = np.concatenate([[0], np.cumsum(np.bincount(of_page, minlength=count))])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), rows)
