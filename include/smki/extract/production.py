"""Produces an extract: renders the planned segments, in this process or in several, and puts them together."""

from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from pathlib import Path

from smki.errors import PlanError
from smki.extract.assembly import assemble, discard_segments
from smki.extract.columns import read_columns
from smki.extract.manifest import Manifest
from smki.extract.plan import ExtractPlan
from smki.extract.rendering import render_head, render_records, render_tail
from smki.extract.segment import Segment, write_segment
from smki.processes import worker_pool
from smki.repository.database import arrow_connection

Progress = Callable[[int, int], None]  # segments done, of all


def staged_segments(file: Path) -> Path:
    """The folder in which a file's segments are staged: beside it."""
    return file.with_name(f".{file.name}.segments")


def render_segments(url: str, plan: ExtractPlan, numbers: Sequence[int], staged: Path) -> list[Segment]:
    """Renders and stages some of a plan's segments. Raises RepositoryUnavailableError, StagingError."""
    segments = []
    with arrow_connection(url) as connection:
        for number in numbers:
            if number == 0:
                segments.append(write_segment(staged, number, 0, [render_head(plan)]))
            elif number == plan.segments - 1:
                segments.append(write_segment(staged, number, 0, [render_tail()]))
            else:
                columns = read_columns(connection, plan, plan.ranges[number - 1])
                segments.append(write_segment(staged, number, columns.num_rows, render_records(columns)))
    return segments


def produce(
    url: str, plan: ExtractPlan, file: Path, *, workers: int = 1, progress: Progress = lambda _done, _of: None
) -> Manifest:
    """Produces the planned extract as `file`, with its manifest beside it, in `workers` processes.

    Raises RepositoryUnavailableError, StagingError, PlanError.
    """
    if file.name != plan.name:
        raise PlanError(
            str(file), f"Appendix O names it {plan.name}.", "Nothing was produced.", "give the folder only."
        )
    staged = staged_segments(file)
    share = max(1, min(4, plan.segments // (2 * workers)))  # segments a call: a fresh connection is dear
    shares = [range(start, min(start + share, plan.segments)) for start in range(0, plan.segments, share)]
    segments: list[Segment] = []
    if workers == 1:
        for numbers in shares:
            segments += render_segments(url, plan, numbers, staged)
            progress(len(segments), plan.segments)
    else:
        with worker_pool(workers, __name__) as pool:
            calls = [pool.submit(render_segments, url, plan, numbers, staged) for numbers in shares]
            for call in as_completed(calls):
                segments += call.result()
                progress(len(segments), plan.segments)
    manifest = assemble(plan, segments, staged, file)
    discard_segments(staged)
    return manifest
