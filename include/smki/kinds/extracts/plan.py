"""Plans an extract: which certificates go into which segment, and in which wire format.

* A segment is a range of certificate ids, so its content depends on the window alone: not on the machine, the number of
  tasks, or when it is read. FULL: every 65,536 ids, wherever ids exist. DELT: 65,536 changed certificates each.
* Segment 0 is the document's head and the last one its tail; certificates stand between them in lodging order.
* A task renders several segments: at most 256 tasks, whatever the repository's size.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import Engine, text

from smki.annex_b.version import CURRENT, AnnexB, StatedFormat
from smki.errors import PlanError
from smki.obligations.catalogue import DeltaExtract, FullExtract, Obligation
from smki.repository.database import reading
from smki.repository.windows import Window, find_window

SEGMENT_CERTIFICATES = 65_536  # part of the format: another number gives other content digests
_SEGMENTS_PER_TASK = 8
_MOST_TASKS = 256


class IdRange(NamedTuple):
    """Certificates of one segment: first ≤ id ≤ last."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class ExtractPlan:
    """What one extract holds and how it is cut up."""

    obligation: str  # its name
    statuses: str | None  # letters of those that a full extract holds; None: a delta, with what its window changed
    name: str  # of the file, with .gz
    business_date: date
    cutoff: datetime  # UTC
    window_seq: int
    ranges: tuple[IdRange, ...]
    format: StatedFormat

    @property
    def xml_name(self) -> str:
        """Name of the XML inside (Appendix O 2.3.3: the same without .gz)."""
        return self.name.removesuffix(".gz")

    @property
    def segments(self) -> int:
        """Number of segments, head and tail included."""
        return len(self.ranges) + 2

    def tasks(self) -> list[list[int]]:
        """Segment numbers of each task, in order; every segment once."""
        size = max(_SEGMENTS_PER_TASK, -(-self.segments // _MOST_TASKS))
        return [list(range(start, min(start + size, self.segments))) for start in range(0, self.segments, size)]

    def as_json(self) -> dict[str, Any]:
        stated: dict[str, Any] = _JSON.dump_python(self, mode="json")
        return stated

    @staticmethod
    def from_json(stated: dict[str, Any]) -> "ExtractPlan":
        return _JSON.validate_python(stated)


_JSON = TypeAdapter(ExtractPlan)


def plan_extract(
    engine: Engine,
    obligation: Obligation,
    business_date: date,
    *,
    segment_certificates: int = SEGMENT_CERTIFICATES,
    annex_b: AnnexB = CURRENT,
) -> ExtractPlan:
    """The plan of the extract of that day. Raises WindowError while the day's window is not closed."""
    window = find_window(engine, business_date)
    match obligation.kind:
        case FullExtract(statuses):
            letters: str | None = "".join(sorted(statuses))
            ranges = _full_ranges
        case DeltaExtract():
            letters, ranges = None, _delta_ranges
        case _:
            raise PlanError(obligation.name, "it is no extract of certificates.")
    return ExtractPlan(
        obligation=obligation.name,
        statuses=letters,
        name=obligation.file_name(business_date),
        business_date=business_date,
        cutoff=window.cutoff,
        window_seq=window.seq,
        ranges=ranges(engine, window, segment_certificates),
        format=annex_b,
    )


def _full_ranges(engine: Engine, window: Window, size: int) -> tuple[IdRange, ...]:
    """Fixed strides up to the newest certificate that the window, or one before it, touches."""
    query = text("SELECT max(certificate_id) FROM status_event WHERE window_seq <= :seq")
    with reading(engine) as connection:
        newest: int = connection.execute(query, {"seq": window.seq}).scalar_one() or 0
    return tuple(IdRange(first, first + size - 1) for first in range(1, newest + 1, size))


def _delta_ranges(engine: Engine, window: Window, size: int) -> tuple[IdRange, ...]:
    query = text(
        """
        SELECT min(certificate_id), max(certificate_id) FROM (
          SELECT certificate_id, (row_number() OVER (ORDER BY certificate_id) - 1) / :size AS segment
          FROM (SELECT DISTINCT certificate_id FROM status_event WHERE window_seq = :seq) changed
        ) numbered GROUP BY segment ORDER BY segment
        """
    )
    with reading(engine) as connection:
        rows = connection.execute(query, {"seq": window.seq, "size": size}).all()
    return tuple(IdRange(first, last) for first, last in rows)
