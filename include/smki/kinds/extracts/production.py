"""Produces an extract: renders the planned segments into the store, and writes the manifest of the whole."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from sqlalchemy import Engine

from smki.annex_b.version import CURRENT
from smki.errors import PlanError
from smki.kinds.extracts.plan import ExtractPlan, plan_extract, taken_over
from smki.kinds.extracts.predecessor import find_predecessor
from smki.kinds.extracts.rendering import render_head, render_pages, render_tail
from smki.kinds.extracts.source import read_columns
from smki.obligations.catalogue import Obligation
from smki.processes import Progress, map_in_processes
from smki.repository.database import arrow_connection
from smki.repository.windows import find_window
from smki.store.manifest import Frame, Manifest, get_manifest, put_manifest
from smki.store.objects import Store
from smki.store.pages import PAGE, PageXml, Segment, write_segment
from smki.verify.basis import basis_of

_SEGMENTS_A_SHARE = 4  # rendered on one connection, which takes about 50 ms to open


def plan_in_store(
    engine: Engine,
    store: Store,
    schema: Path,
    obligation: Obligation,
    business_date: date,
    *,
    from_scratch: bool = False,
) -> ExtractPlan:
    """The plan of the extract of that day, from the newest predecessor that the store has; `schema` is the XSD of V1.

    Raises WindowError while the day's window is not closed, PlanError, RepositoryUnavailableError, StoreError.
    """
    basis, window = basis_of(CURRENT, schema), find_window(engine, business_date)
    predecessor = None if from_scratch else find_predecessor(engine, store, obligation, window.seq, basis)
    return plan_extract(engine, obligation, business_date, basis=basis, predecessor=predecessor)


def render_segments(
    url: str,
    plan: ExtractPlan,
    store: Store,
    numbers: Sequence[int],
    on_segment: Callable[[int, Segment], None] = lambda _number, _segment: None,
) -> dict[int, Segment]:
    """Renders some of a plan's segments into the store, by number; `on_segment` hears of each as it is done.

    Raises RepositoryUnavailableError, StoreError.
    """
    segments = {}
    with arrow_connection(url) as connection:
        for number in numbers:
            columns = read_columns(connection, plan, plan.segments[number])
            segments[number] = write_segment(store, _render(plan, number, columns))
            on_segment(number, segments[number])
    return segments


def assemble(plan: ExtractPlan, store: Store, segments: dict[int, Segment]) -> tuple[str, Manifest]:
    """Writes the manifest of an extract whose planned segments are all rendered; its SHA-256 (hex), and the manifest.

    Raises PlanError where one is missing, StoreError.
    """
    if missing := set(range(len(plan.segments))) - segments.keys():
        raise PlanError(plan.name, f"of its {len(plan.segments)} segments these did not come: {sorted(missing)}.")
    names: list[str] = []
    sizes: list[int] = []
    pages = [np.empty(0, PAGE)]
    predecessor = get_manifest(store, plan.predecessor) if plan.predecessor else None
    if predecessor:
        stay = predecessor.pages[taken_over(plan, predecessor)]
        used, stay["segment"] = np.unique(stay["segment"], return_inverse=True)
        names += [predecessor.segments[number] for number in used.tolist()]
        sizes += [predecessor.sizes[number] for number in used.tolist()]
        pages.append(stay)
    for number in sorted(segments):
        segment = segments[number]
        if not len(segment.pages):
            continue  # nothing in its ranges belongs into the file
        rendered = segment.pages.copy()
        rendered["segment"] = len(names)
        names.append(segment.sha256)
        sizes.append(len(rendered))
        pages.append(rendered)
    all_pages = np.concatenate(pages)
    manifest = Manifest(
        page_format=plan.page_format,
        format=plan.format,
        obligation=plan.obligation,
        statuses=plan.statuses,
        name=plan.name,
        business_date=plan.business_date,
        cutoff=plan.cutoff,
        window_seq=plan.window_seq,
        basis=plan.basis,
        predecessor=predecessor.name if predecessor else "",
        taken_over=len(pages[1]) if predecessor else 0,
        head=Frame.of(render_head(plan.xml_name, plan.format)),
        tail=Frame.of(render_tail(plan.format)),
        segments=tuple(names),
        sizes=tuple(sizes),
        pages=all_pages[np.argsort(all_pages["number"], kind="stable")],
    )
    return put_manifest(store, manifest), manifest


def produce(
    url: str, plan: ExtractPlan, store: Store, *, workers: int = 1, progress: Progress = lambda _done, _of: None
) -> tuple[str, Manifest]:
    """Produces the planned extract in `workers` processes; the SHA-256 (hex) of its manifest, and the manifest.

    Raises RepositoryUnavailableError, StoreError, PlanError.
    """
    count = len(plan.segments)
    share = max(1, min(_SEGMENTS_A_SHARE, count // (2 * workers)))
    shares = [range(start, min(start + share, count)) for start in range(0, count, share)]
    segments: dict[int, Segment] = {}
    for rendered in map_in_processes(partial(render_segments, url, plan, store), shares, workers, __name__):
        segments |= rendered
        progress(len(segments), count)
    return assemble(plan, store, segments)


def _render(plan: ExtractPlan, segment: int, columns: pa.Table) -> Iterator[PageXml]:
    size = plan.page_format.certificates
    if plan.statuses is None:
        numbers = segment * plan.page_format.pages + np.arange(columns.num_rows) // size
    else:
        numbers = columns["id"].to_numpy() // size
    return render_pages(columns, numbers, plan.format)
