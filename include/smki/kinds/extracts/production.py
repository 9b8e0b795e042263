"""Produces an extract: renders the planned segments, in this process or in several, and puts them together."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from smki.errors import PlanError
from smki.kinds.extracts.assembly import assemble, discard_segments
from smki.kinds.extracts.plan import ExtractPlan
from smki.kinds.extracts.rendering import render_head, render_records, render_tail
from smki.kinds.extracts.source import read_columns
from smki.processes import Progress, map_in_processes
from smki.repository.database import arrow_connection
from smki.store.gzip_writer import write_segment
from smki.store.manifest import Manifest, Segment

_SEGMENTS_A_SHARE = 4  # rendered on one connection, which takes about 50 ms to open


def staged_segments(file: Path) -> Path:
    """The folder in which a file's segments are staged: beside it."""
    return file.with_name(f".{file.name}.segments")


def render_segments(
    url: str,
    plan: ExtractPlan,
    staged: Path,
    numbers: Sequence[int],
    on_segment: Callable[[Segment], None] = lambda _segment: None,
) -> list[Segment]:
    """Renders and stages some of a plan's segments; `on_segment` hears of each as it is done.

    Raises RepositoryUnavailableError, StagingError.
    """
    segments = []
    with arrow_connection(url) as connection:
        for number in numbers:
            if number == 0:
                segments.append(write_segment(staged, number, 0, [render_head(plan.xml_name, plan.format)]))
            elif number == plan.segments - 1:
                segments.append(write_segment(staged, number, 0, [render_tail(plan.format)]))
            else:
                columns = read_columns(connection, plan, plan.ranges[number - 1])
                segments.append(write_segment(staged, number, columns.num_rows, render_records(columns, plan.format)))
            on_segment(segments[-1])
    return segments


def produce(
    url: str, plan: ExtractPlan, file: Path, *, workers: int = 1, progress: Progress = lambda _done, _of: None
) -> Manifest:
    """Produces the planned extract as `file`, with its manifest beside it, in `workers` processes.

    Raises RepositoryUnavailableError, StagingError, PlanError.
    """
    if file.name != plan.name:
        raise PlanError(str(file), f"Appendix O names it {plan.name}.", next_step="give the folder only.")
    staged = staged_segments(file)
    share = max(1, min(_SEGMENTS_A_SHARE, plan.segments // (2 * workers)))
    shares = [range(start, min(start + share, plan.segments)) for start in range(0, plan.segments, share)]
    segments: list[Segment] = []
    for share_segments in map_in_processes(partial(render_segments, url, plan, staged), shares, workers, __name__):
        segments += share_segments
        progress(len(segments), plan.segments)
    manifest = assemble(plan, segments, staged, file)
    discard_segments(staged)
    return manifest
