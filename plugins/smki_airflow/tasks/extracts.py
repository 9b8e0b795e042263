"""An extract's run, full or delta, as `extract_run` wires it. Each task says what it did in one log line.

1. `close_window`: the window of the run's day, and those before it that are still open; not where a site has files that
   are newer than the ledger, nor for a day on which no file is due and nobody asked for by *Any day*.
2. `plan`: which pages are taken over from the extract before, and which are rendered, in segments; one task of the next
   step takes a share of them.
3. `render`, mapped: segments from the repository into the store.
4. `assemble`: the manifest of the whole.
5. `verify`, mapped: segments from their own bytes, those that nobody has verified. `digest`: the file's SHA-256.
6. `judge`, `release`, `publish_SITE`: `publishing.wiring`.
7. `record`: says what is published where.

XCom carries numbers and SHA-256 values only; everything else lies in the store, which all workers reach, under its
SHA-256. So any worker may do any step, and a step that is repeated finds what is done.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import task, task_group
from airflow.sdk.exceptions import AirflowSkipException

from smki.errors import ConfigurationError, NotOwedError
from smki_airflow.publishing.gate import GateOperator
from smki_airflow.publishing.handover import Judged, confirm_published
from smki_airflow.publishing.wiring import gated_publishing
from smki_airflow.run import Json, Run, current_run, open_project
from smki_airflow.signals.metrics import measure_pages

if TYPE_CHECKING:
    from smki.gate.judging_process import Judge
    from smki.store.pages import Segment

log = logging.getLogger(__name__)
_SEGMENTS = (
    "{% set numbers = task.op_kwargs['share']['numbers'] %}"
    "{% if numbers %}segments {{ numbers[0] }}–{{ numbers[-1] }}{% else %}nothing new{% endif %}"
)


@task_group(prefix_group_id=False)
def extract_run(obligation: str) -> None:
    """All tasks of a DAG that publishes the extract of this obligation."""
    planned: Any = plan(obligation)
    rendered: Any = render.expand(share=planned)
    units: Any = assemble(rendered)
    verified: Any = verify.expand(share=units)
    published = gated_publishing(ExtractGate(produced=verified, sha256=digest(units)), in_place=False)
    close_window(obligation) >> planned
    record(published)


@task
def close_window(obligation: str) -> int:
    """Returns how many windows it closed. Skipped, with the whole run, on a day before anything was lodged.

    Raises ConfigurationError for a day on which no file is due, unless a person asked for it by *Any day*.
    """
    from smki.publish.unknown_files import refuse_to_close
    from smki.repository.windows import close_windows
    from smki_airflow.sites import open_site

    project, run = open_project(), current_run()
    day = run.business_date
    if run.any_day is None and (rule := project.guide.obligation(obligation).why_not_due(day)):
        raise ConfigurationError(
            f"run {run.run_id}",
            f"{rule}.",
            "No window was closed and nothing was produced.",
            "trigger with a cut-off as logical date, or set Any day.",
        )
    refuse_to_close(project.engine, project.settings.sites, open_site, project.guide, day, datetime.now(UTC))
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
def plan(obligation: str, params: Json | None = None) -> list[Json]:
    """Returns what each task renders: the plan, and numbers of its segments; at least one share."""
    from smki.kinds.extracts.plan import in_shares
    from smki.kinds.extracts.production import plan_in_store

    project, run = open_project(), current_run()
    from_scratch = bool((params or {}).get("from_scratch"))
    planned = plan_in_store(
        project.engine,
        project.store,
        project.settings.annex_b_xsd,
        project.guide.obligation(obligation),
        run.business_date,
        from_scratch=from_scratch,
    )
    shares = in_shares(range(len(planned.segments)))
    log.info(
        "extract planned name=%s segments=%d tasks=%d predecessor=%s",
        planned.name,
        len(planned.segments),
        len(shares),
        planned.predecessor or "none: from scratch",
    )
    sha256 = planned.put(project.store)
    return [{"plan": sha256, "numbers": share} for share in shares]


@task(map_index_template=_SEGMENTS)
def render(share: Json) -> Json:
    """Returns the plan and, by number, each segment's SHA-256 and that of its pages' facts."""
    from smki.kinds.extracts.plan import ExtractPlan
    from smki.kinds.extracts.production import render_segments
    from smki.repository.database import libpq_url
    from smki.store.pages import put_pages

    project = open_project()
    store, extract_plan = project.store, ExtractPlan.get(project.store, share["plan"])

    def say(number: int, segment: "Segment") -> None:
        records = int(segment.pages["records"].sum())
        log.info("segment rendered number=%d of=%d records=%d", number, len(extract_plan.segments), records)

    segments = render_segments(libpq_url(project.engine), extract_plan, store, share["numbers"], say)
    return {
        "plan": share["plan"],
        "segments": [
            {"number": number, "segment": segment.sha256, "pages": put_pages(store, segment.pages)}
            for number, segment in segments.items()
        ],
    }


@task
def assemble(rendered: list[Json]) -> list[Json]:
    """Returns what each task verifies: the manifest, and numbers of its units; at least one share."""
    from smki.kinds.extracts.plan import ExtractPlan, in_shares
    from smki.kinds.extracts.production import assemble as assemble_extract
    from smki.kinds.extracts.reading import has_rows
    from smki.store.pages import Segment, get_pages
    from smki.verify.verification import stored_marks, unchecked

    project = open_project()
    store = project.store
    segments = {
        facts["number"]: Segment(facts["segment"], get_pages(store, facts["pages"]))
        for part in rendered
        for facts in part["segments"]
    }
    sha256, manifest = assemble_extract(ExtractPlan.get(store, rendered[0]["plan"]), store, segments)
    log.info(
        "extract assembled name=%s records=%d bytes=%d pages=%d taken_over=%d from=%s",
        manifest.name,
        manifest.records,
        manifest.size,
        len(manifest.pages),
        manifest.taken_over,
        manifest.predecessor or "none",
    )
    measure_pages(manifest)
    marks = stored_marks(store, manifest, project.settings.annex_b_xsd)
    keep_rows = has_rows(project.guide.obligation(manifest.obligation).kind)
    return [{"manifest": sha256, "numbers": share} for share in in_shares(unchecked(marks, keep_rows=keep_rows))]


@task
def digest(units: list[Json]) -> str:
    """Returns the file's SHA-256."""
    from smki.store.manifest import get_manifest
    from smki.store.paged_file import PagedFile

    store = open_project().store
    return PagedFile.stored(store, get_manifest(store, units[0]["manifest"])).sha256()


@task(map_index_template=_SEGMENTS)
def verify(share: Json) -> Json:
    """Returns the manifest, and what is wrong; what is right is kept in the store, page by page."""
    from smki.kinds.extracts.reading import has_rows
    from smki.store.manifest import get_manifest
    from smki.store.paged_file import PagedFile
    from smki.verify.verification import check_units, stored_marks

    project = open_project()
    schema, made = project.settings.annex_b_xsd, get_manifest(project.store, share["manifest"])
    paged, marks = PagedFile.stored(project.store, made), stored_marks(project.store, made, schema)
    keep_rows = has_rows(project.guide.obligation(made.obligation).kind)
    wrong = []
    for figures in check_units(paged, share["numbers"], schema, marks, keep_rows=keep_rows):
        if figures.fault:
            log.warning("segment wrong number=%d fault=%s: %s", figures.number, figures.fault, figures.fault_text)
            wrong.append({"number": figures.number, "fault": figures.fault, "fault_text": figures.fault_text})
        else:
            log.info("segment verified number=%d records=%d", figures.number, figures.records)
    return {"manifest": share["manifest"], "wrong": wrong}


class ExtractGate(GateOperator):
    """Judges the file by the figures of its pages, the repository and the ledger."""

    template_fields: Sequence[str] = (*GateOperator.template_fields, "sha256")

    def __init__(self, *, sha256: Any, **options: Any) -> None:
        super().__init__(**options)
        self.sha256 = sha256

    def judge(self, run: Run, judge: "Judge") -> list[Judged]:
        from smki.kinds import Source
        from smki.kinds.extracts.agreement import extract_artefact
        from smki.kinds.extracts.evidence import extract_evidence
        from smki.kinds.extracts.reading import read_stored
        from smki.store.manifest import get_manifest
        from smki.store.paged_file import PagedFile
        from smki.verify.figures import SegmentFigures
        from smki.verify.verification import conclude, stored_marks

        project = open_project()
        store, schema = project.store, project.settings.annex_b_xsd
        manifest = get_manifest(store, of_manifest := self.produced[0]["manifest"])
        marks = stored_marks(store, manifest, schema)
        wrong = [SegmentFigures(**facts) for part in self.produced for facts in part["wrong"]]
        verification = conclude(PagedFile.stored(store, manifest), self.sha256, marks, wrong)
        read = read_stored(store, manifest, schema, verification, marks)
        obligation = project.guide.obligation(manifest.obligation)
        evidence = extract_evidence(Source.of(project), obligation, manifest.business_date, read)
        judgement = judge(evidence, run.label, datetime.now(UTC))
        at = judgement.judged_at
        return [Judged(judgement, extract_artefact(obligation, of_manifest, manifest, verification, run.label, at))]


@task
def record(published: list[list[Json]]) -> list[Json]:
    """Returns what is published where."""
    return confirm_published(current_run(), 1, published)
