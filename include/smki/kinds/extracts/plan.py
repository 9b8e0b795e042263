"""Plans an extract: which pages are taken over, which are rendered in which segment, and in which wire format.

* What a page holds depends on its ids and the window alone: not on the machine, the number of tasks, or when it is
  read. FULL: a page has the ids of one stride of 128. DELT: 128 changed certificates in a row.
* A full extract is planned from a predecessor, one of the same obligation, format and basis of an earlier window
  (`predecessor`): pages that no event in between touches are taken over, the others rendered. Where most are touched,
  all are rendered: that is faster, and gives the same.
* A segment of which less than a quarter would be left in use is rendered anew, so that the store stays below twice what
  its files need.
* A task renders several segments: at most 256 tasks, whatever the repository's size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Engine, text

from smki.annex_b.version import CURRENT, AnnexB, StatedFormat
from smki.errors import PlanError
from smki.obligations.catalogue import DeltaExtract, FullExtract, Obligation
from smki.repository.database import reading
from smki.repository.windows import Window, find_window
from smki.store.manifest import Manifest
from smki.store.objects import Store
from smki.store.pages import PAGES_2, PageFormat, consecutive

_TOUCHED = files(__package__).joinpath("touched.sql").read_text(encoding="utf-8")
_SEGMENTS_PER_TASK = 8
_MOST_TASKS = 256
_MOST_TOUCHED = 0.5  # of all pages; from there on rendering all takes less time
_LEAST_USED = 0.25  # of a segment


class IdRange(NamedTuple):
    """Certificates: first ≤ id ≤ last."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class ExtractPlan:
    """What one extract holds and how it is made."""

    obligation: str  # its name
    statuses: str | None  # letters of those that a full extract holds; None: a delta, with what its window changed
    name: str  # of the file, with .gz
    business_date: date
    cutoff: datetime  # UTC
    window_seq: int
    segments: tuple[tuple[IdRange, ...], ...]  # that are rendered: the ids of each, at most 65,536, ascending
    format: StatedFormat
    page_format: PageFormat
    basis: str  # schema and verifier by which its pages will be checked
    predecessor: str = ""  # SHA-256 (hex) of the manifest that all other pages are taken over from

    @property
    def xml_name(self) -> str:
        """Name of the XML inside (Appendix O 2.3.3: the same without .gz)."""
        return self.name.removesuffix(".gz")

    def rendered_pages(self) -> NDArray[np.int64]:
        """Numbers of the pages that are rendered, ascending; for a full extract."""
        size = self.page_format.certificates
        runs = [np.arange(ids.first // size, ids.last // size + 1) for segment in self.segments for ids in segment]
        return np.concatenate([np.empty(0, np.int64), *runs])

    def put(self, store: Store) -> str:
        """Writes it to the store; returns its SHA-256 (hex). Raises StoreError."""
        return store.put_content("plans", _JSON.dump_json(self))

    @staticmethod
    def get(store: Store, sha256: str) -> "ExtractPlan":
        """What `put` wrote. Raises MissingObjectError, StoreError; PlanError for what another release wrote."""
        try:
            return _JSON.validate_json(store.get_content("plans", sha256))
        except ValidationError as error:
            raise PlanError(f"plans/{sha256}", "it is no plan of this release.") from error


_JSON = TypeAdapter(ExtractPlan)


def plan_extract(
    engine: Engine,
    obligation: Obligation,
    business_date: date,
    *,
    basis: str,
    predecessor: tuple[str, Manifest] | None = None,
    annex_b: AnnexB = CURRENT,
    page_format: PageFormat = PAGES_2,
) -> ExtractPlan:
    """The plan of the extract of that day: from a predecessor (SHA-256 and manifest), or from scratch.

    Raises WindowError while the day's window is not closed.
    """
    window = find_window(engine, business_date)
    taken_from = ""
    match obligation.kind:
        case FullExtract(statuses):
            letters: str | None = "".join(sorted(statuses))
            segments = _renewed_segments(engine, window, predecessor[1]) if predecessor else None
            if predecessor and segments is not None:
                taken_from = predecessor[0]
            else:
                segments = _all_segments(engine, window, page_format)
        case DeltaExtract():
            letters, segments = None, _delta_segments(engine, window, page_format)
        case _:
            raise PlanError(obligation.name, "it is no extract of certificates.")
    return ExtractPlan(
        obligation=obligation.name,
        statuses=letters,
        name=obligation.file_name(business_date),
        business_date=business_date,
        cutoff=window.cutoff,
        window_seq=window.seq,
        segments=tuple(segments),
        format=annex_b,
        page_format=page_format,
        basis=basis,
        predecessor=taken_from,
    )


def in_shares(numbers: Sequence[int]) -> list[list[int]]:
    """The numbers of segments that each task takes, in order; one that takes none where there are none."""
    size = max(_SEGMENTS_PER_TASK, -(-len(numbers) // _MOST_TASKS))
    return [list(numbers[start : start + size]) for start in range(0, len(numbers), size)] or [[]]


def taken_over(plan: ExtractPlan, predecessor: Manifest) -> NDArray[np.intp]:
    """Places of the predecessor's pages that stay as they are."""
    return np.flatnonzero(~np.isin(predecessor.pages["number"], plan.rendered_pages()))


def _all_segments(engine: Engine, window: Window, page_format: PageFormat) -> Sequence[tuple[IdRange, ...]]:
    """Fixed strides up to the newest certificate that the window, or one before it, touches."""
    query = text("SELECT max(certificate_id) FROM status_event WHERE window_seq <= :seq")
    with reading(engine) as connection:
        newest: int = connection.execute(query, {"seq": window.seq}).scalar_one() or 0
    size = page_format.segment_certificates
    return [(IdRange(first, first + size - 1),) for first in range(0, newest + 1, size)]


def _renewed_segments(engine: Engine, window: Window, predecessor: Manifest) -> Sequence[tuple[IdRange, ...]] | None:
    """The touched pages, in segments; None where all are to be rendered."""
    page, most = predecessor.page_format.certificates, predecessor.page_format.pages
    query = _TOUCHED.format(page=page, base=predecessor.window_seq, seq=window.seq)
    with reading(engine) as connection:
        touched = np.array(connection.execute(text(query)).scalars().all(), np.int64)
    pages = np.union1d(touched, _of_worn_segments(predecessor, touched))
    if len(pages) > _MOST_TOUCHED * len(predecessor.pages):
        return None
    return [
        tuple(IdRange(first * page, (last + 1) * page - 1) for first, last in consecutive(pages[start : start + most]))
        for start in range(0, len(pages), most)
    ]


def _of_worn_segments(predecessor: Manifest, touched: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of the pages that are left of segments of which little is."""
    pages = predecessor.pages
    left = pages[~np.isin(pages["number"], touched)]
    used = np.bincount(left["segment"], minlength=len(predecessor.segments))
    worn = used < _LEAST_USED * np.array(predecessor.sizes, np.int64)
    numbers: NDArray[np.int64] = left["number"][worn[left["segment"]]]
    return numbers


def _delta_segments(engine: Engine, window: Window, page_format: PageFormat) -> Sequence[tuple[IdRange, ...]]:
    query = text(
        """
        SELECT min(certificate_id), max(certificate_id) FROM (
          SELECT certificate_id, (row_number() OVER (ORDER BY certificate_id) - 1) / :size AS segment
          FROM (SELECT DISTINCT certificate_id FROM status_event WHERE window_seq = :seq) changed
        ) numbered GROUP BY segment ORDER BY segment
        """
    )
    with reading(engine) as connection:
        rows = connection.execute(query, {"seq": window.seq, "size": page_format.segment_certificates}).all()
    return [(IdRange(first, last),) for first, last in rows]
