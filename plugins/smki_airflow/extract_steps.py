"""The steps of an extract run. Each does one thing of the domain and says what it did in one log line.

XCom carries numbers and facts only; octets, the plan and the manifest lie in the run's staging folder, which all
workers share. Whatever a task leaves there is replaced as a whole when it runs again.
"""

import json
import logging
import shutil
from pathlib import Path

from smki.errors import PlanError
from smki.kinds.extracts.assembly import assemble as assemble_file
from smki.kinds.extracts.evidence import has_rows
from smki.kinds.extracts.plan import ExtractPlan, plan_extract
from smki.kinds.extracts.production import render_segments, staged_segments
from smki.obligations.user_guide import load_user_guide
from smki.repository.database import ensure_server, libpq_url, open_engine
from smki.repository.windows import close_windows
from smki.settings import Settings
from smki.store.manifest import Segment, read_manifest
from smki.store.staging import write_whole
from smki.verify.marks import Marks
from smki.verify.verification import check_segments
from smki_airflow.handover import Json, recorded
from smki_airflow.runs import Run

log = logging.getLogger(__name__)


def close_window(run: Run) -> int:
    """Closes the window of the run's day, and those before it that are still open; returns how many it closed."""
    settings = Settings.from_environment()
    engine = open_engine(ensure_server(settings))
    guide = load_user_guide(settings.config)
    closed = close_windows(engine, run.business_date, guide.delta.cut_off.at)
    for window in closed:
        log.info("window closed seq=%d date=%s events=%d", window.seq, window.business_date, window.events)
    if not closed:
        log.info("window was closed before date=%s", run.business_date)
    return len(closed)


def plan(run: Run, obligation: str) -> list[list[int]]:
    """Plans the run's extract; returns the segment numbers of each task."""
    settings = Settings.from_environment()
    engine = open_engine(ensure_server(settings))
    one = load_user_guide(settings.config).obligation(obligation)
    extract_plan = plan_extract(engine, one, run.business_date)
    write_whole(_plan_path(settings, run), json.dumps(extract_plan.as_json()).encode())
    shares = extract_plan.tasks()
    log.info("extract planned name=%s segments=%d tasks=%d", extract_plan.name, extract_plan.segments, len(shares))
    return shares


def render(run: Run, numbers: list[int]) -> list[Json]:
    """Renders and stages some segments; returns their facts."""
    settings = Settings.from_environment()
    extract_plan, file = _plan(settings, run)
    url = libpq_url(open_engine(ensure_server(settings)))

    def say(segment: Segment) -> None:
        log.info("segment rendered number=%d of=%d records=%d", segment.number, extract_plan.segments, segment.records)

    segments = render_segments(url, extract_plan, staged_segments(file), numbers, say)
    return [segment.as_json() for segment in segments]


def assemble(run: Run, rendered: list[list[Json]]) -> str:
    """Puts the segments together; returns the file's name."""
    settings = Settings.from_environment()
    extract_plan, file = _plan(settings, run)
    segments = [Segment(**facts) for part in rendered for facts in part]
    manifest = assemble_file(extract_plan, segments, staged_segments(file), file)
    log.info("extract assembled name=%s records=%d bytes=%d", file.name, manifest.records, manifest.bytes)
    return file.name


def verify(run: Run, numbers: list[int], name: str) -> list[Json]:
    """Checks some segments of the assembled file from its own octets; returns their figures, with what is wrong."""
    settings = Settings.from_environment()
    file = run.staging(settings) / name
    manifest = read_manifest(file)
    kind = load_user_guide(settings.config).obligation(manifest.obligation).kind
    figures = []
    for segment in check_segments(
        file, manifest, numbers, settings.annex_b_xsd, staged_marks(file), keep_rows=has_rows(kind)
    ):
        if segment.fault:
            log.warning("segment wrong number=%d fault=%s: %s", segment.number, segment.fault, segment.fault_text)
        else:
            log.info(
                "segment verified number=%d records=%d statuses=%s", segment.number, segment.records, segment.statuses
            )
        figures.append(segment.as_json())
    return figures


def record(run: Run, published: list[Json]) -> list[Json]:
    """Ends the run: what is published where, from the ledger; the staging folder is emptied."""
    publications = recorded(run, 1, published)
    shutil.rmtree(run.staging(Settings.from_environment()), ignore_errors=True)
    return publications


def _plan_path(settings: Settings, run: Run) -> Path:
    return run.staging(settings) / "plan.json"


def _plan(settings: Settings, run: Run) -> tuple[ExtractPlan, Path]:
    """The run's plan, and where its file is assembled."""
    path = _plan_path(settings, run)
    try:
        extract_plan = ExtractPlan.from_json(json.loads(path.read_bytes()))
    except FileNotFoundError as error:
        raise PlanError(
            str(path),
            "the run's plan is gone from the staging area.",
            "Nothing was produced.",
            "clear the run from `plan` on.",
        ) from error
    return extract_plan, path.with_name(extract_plan.name)


def staged_marks(file: Path) -> Marks:
    """What checked segments leave for the judgement of the whole: beside the file."""
    return Marks(file.with_name(f".{file.name}.marks"))
