"""An extract's run, full or delta, as `extract_run` wires it. Each task says what it did in one log line.

1. `close_window`: the window of the run's day, and those before it that are still open.
2. `plan`: which certificates the file holds, in segments; one task of the next step takes a share of them.
3. `render`, mapped: segments from the repository into the run's staging folder.
4. `assemble`: the segments into one file.
5. `verify`, mapped: segments of the file from its own bytes.
6. `judge`, `release`, `publish`: `publishing.wiring`.
7. `record`: says what is published where and empties the staging folder.

XCom carries numbers and facts only; bytes, the plan and the manifest lie in the run's staging folder, which all workers
share. Whatever a task leaves there is replaced as a whole when it runs again.
"""

import json
import logging
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import task, task_group
from airflow.sdk.exceptions import AirflowSkipException

from smki.errors import NotOwedError
from smki.settings import Settings
from smki_airflow.publishing.gate import GateOperator, gate_source
from smki_airflow.publishing.handover import Judged, confirm_published
from smki_airflow.publishing.wiring import gated_publishing
from smki_airflow.run import Json, Run, current_run, open_project

if TYPE_CHECKING:
    from smki.gate.judging_process import Judge
    from smki.kinds.extracts.plan import ExtractPlan
    from smki.repository.project import Project
    from smki.verify.marks import Marks

log = logging.getLogger(__name__)
_SEGMENTS = "segments {{ task.op_kwargs['numbers'][0] }}–{{ task.op_kwargs['numbers'][-1] }}"


@task_group(prefix_group_id=False)
def extract_run(obligation: str) -> None:
    """All tasks of a DAG that publishes the extract of this obligation."""
    shares: Any = plan(obligation)
    rendered: Any = render.expand(numbers=shares)
    name: Any = assemble(rendered)
    verified = verify.partial(name=name).expand(numbers=shares)
    published = gated_publishing(ExtractGate(name=name, verified=verified))
    close_window() >> shares
    record(published)


@task
def close_window() -> int:
    """Returns how many windows it closed. Skipped, with the whole run, on a day before anything was lodged."""
    from smki.repository.windows import close_windows

    project, run = open_project(), current_run()
    day = run.business_date
    try:
        closed = close_windows(project.engine, day, project.guide.delta.cut_off.at)
    except NotOwedError as error:
        if run.any_day is not None:
            raise  # a person asked for it
        log.info("nothing is owed date=%s rule=%s", day, error.rule)
        raise AirflowSkipException(f"nobody is owed the file of {day}: {error.rule}") from None
    for window in closed:
        log.info("window closed seq=%d date=%s events=%d", window.seq, window.business_date, window.events)
    if not closed:
        log.info("window was closed before date=%s", day)
    return len(closed)


@task
def plan(obligation: str) -> list[list[int]]:
    """Returns the segment numbers of each task."""
    from smki.kinds.extracts.plan import plan_extract
    from smki.store.staging import write_whole

    project, run = open_project(), current_run()
    extract_plan = plan_extract(project.engine, project.guide.obligation(obligation), run.business_date)
    write_whole(_plan_path(project, run), json.dumps(extract_plan.as_json()).encode())
    shares = extract_plan.tasks()
    log.info("extract planned name=%s segments=%d tasks=%d", extract_plan.name, extract_plan.segments, len(shares))
    return shares


@task(map_index_template=_SEGMENTS)
def render(numbers: list[int]) -> list[Json]:
    """Returns the facts of the segments."""
    from smki.kinds.extracts.production import render_segments, staged_segments
    from smki.repository.database import libpq_url
    from smki.store.manifest import Segment

    project = open_project()
    extract_plan, file = _planned(project)

    def say(segment: Segment) -> None:
        log.info("segment rendered number=%d of=%d records=%d", segment.number, extract_plan.segments, segment.records)

    segments = render_segments(libpq_url(project.engine), extract_plan, staged_segments(file), numbers, say)
    return [segment.as_json() for segment in segments]


@task
def assemble(rendered: list[list[Json]]) -> str:
    """Returns the file's name."""
    from smki.kinds.extracts.assembly import assemble as assemble_file
    from smki.kinds.extracts.production import staged_segments
    from smki.store.manifest import Segment

    extract_plan, file = _planned(open_project())
    segments = [Segment(**facts) for part in rendered for facts in part]
    manifest = assemble_file(extract_plan, segments, staged_segments(file), file)
    log.info("extract assembled name=%s records=%d bytes=%d", file.name, manifest.records, manifest.bytes)
    return file.name


@task(map_index_template=_SEGMENTS)
def verify(numbers: list[int], name: str) -> list[Json]:
    """Returns the figures of the segments, with what is wrong."""
    from smki.kinds.extracts.evidence import has_rows
    from smki.store.manifest import read_manifest
    from smki.verify.verification import check_segments

    project = open_project()
    file = current_run().staging(project.settings) / name
    manifest = read_manifest(file)
    keep_rows = has_rows(project.guide.obligation(manifest.obligation).kind)
    figures = []
    for segment in check_segments(
        file, manifest, numbers, project.settings.annex_b_xsd, _staged_marks(file), keep_rows=keep_rows
    ):
        if segment.fault:
            log.warning("segment wrong number=%d fault=%s: %s", segment.number, segment.fault, segment.fault_text)
        else:
            log.info(
                "segment verified number=%d records=%d statuses=%s", segment.number, segment.records, segment.statuses
            )
        figures.append(segment.as_json())
    return figures


class ExtractGate(GateOperator):
    """Judges the file by the figures of its segments, the repository and the ledger."""

    template_fields: Sequence[str] = ("name", "verified")

    def __init__(self, *, name: Any, verified: Any, **options: Any) -> None:
        super().__init__(**options)
        self.name = name
        self.verified = verified

    def judge(self, run: Run, judge: "Judge") -> list[Judged]:
        from smki.gate.model import Verdict
        from smki.kinds.extracts.assembly import discard_segments
        from smki.kinds.extracts.evidence import extract_evidence
        from smki.kinds.extracts.production import staged_segments
        from smki.publish.artefact import Artefact
        from smki.store.manifest import read_manifest
        from smki.verify.verification import SegmentFigures, conclude

        project = open_project()
        file = run.staging(project.settings) / self.name
        manifest, marks = read_manifest(file), _staged_marks(file)
        figures = [SegmentFigures(**facts) for part in self.verified for facts in part]
        verification = conclude(file, manifest, figures, marks)
        obligation = project.guide.obligation(manifest.obligation)
        evidence = extract_evidence(gate_source(project), obligation, manifest.business_date, file, verification, marks)
        judgement = judge(evidence, run.label, datetime.now(UTC))
        if judgement.verdict is not Verdict.FAIL:
            discard_segments(staged_segments(file))
        artefact = Artefact(
            obligation=manifest.obligation,
            name=manifest.name,
            business_date=manifest.business_date,
            window_seq=manifest.window_seq,
            bytes=verification.bytes,
            sha256=verification.sha256,
            content_digest=manifest.content_digest,
            xml_bytes=verification.xml_bytes,
            records=verification.records,
            set_digest=verification.set_digest,
            run=run.label,
            verified_at=judgement.judged_at,
        )
        return [Judged(judgement, artefact, file)]


@task
def record(published: list[Json]) -> list[Json]:
    """Returns what is published where."""
    run = current_run()
    publications = confirm_published(run, 1, published)
    shutil.rmtree(run.staging(Settings.from_environment()), ignore_errors=True)
    return publications


def _plan_path(project: "Project", run: Run) -> Path:
    return run.staging(project.settings) / "plan.json"


def _planned(project: "Project") -> "tuple[ExtractPlan, Path]":
    """The run's plan, and where its file is assembled."""
    from smki.errors import PlanError
    from smki.kinds.extracts.plan import ExtractPlan

    path = _plan_path(project, current_run())
    try:
        extract_plan = ExtractPlan.from_json(json.loads(path.read_bytes()))
    except FileNotFoundError as error:
        raise PlanError(str(path), "the run's plan is gone from the staging area.") from error
    return extract_plan, path.with_name(extract_plan.name)


def _staged_marks(file: Path) -> "Marks":
    """What checked segments leave, beside the file, for the judgement of the whole."""
    from smki.verify.marks import Marks

    return Marks(file.with_name(f".{file.name}.marks"))
