"""`smki gate`: judges a file as the DAG does, and shows what the gate has said. A look records no verdict."""

import getpass
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from smki.cli.extract import Workers
from smki.cli.repository import parsed_date
from smki.cli.terminal import (
    AsJson,
    err,
    existing,
    open_repository,
    out,
    print_json,
    print_rows,
    progress_bar,
    reported_errors,
)
from smki.errors import PlanError
from smki.gate.bounds import load_quality
from smki.gate.evidence import Evidence, Source
from smki.gate.ledger import Decision, GateRun, find_gate_run, list_gate_runs
from smki.gate.model import CheckResult, Judgement, Severity, Verdict
from smki.gate.report.page import render_report
from smki.gate.report.wording import sentence
from smki.kinds.anchors.evidence import file_evidence
from smki.kinds.anchors.production import checked_set
from smki.kinds.extracts.evidence import extract_evidence
from smki.kinds.revocation.evidence import list_evidence
from smki.obligations.catalogue import AnchorSlots, DeltaExtract, Obligation, RevocationList, UserGuide
from smki.obligations.user_guide import load_user_guide
from smki.settings import Settings
from smki.store.manifest import manifest_path, read_manifest
from smki.verify.marks import Marks
from smki.verify.verification import examine_file

_HELD = 5  # exit code
_SHOWN = 10  # things concerned that the terminal shows of a check
_COLOUR = {Verdict.PASS: "green", Verdict.HOLD: "yellow", Verdict.FAIL: "red"}
Report = Annotated[Path | None, typer.Option("--report", metavar="OUT.html", help="Write the report as a page.")]


class _FileFirst(TyperGroup):
    """`smki gate FILE` means `smki gate judge FILE`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """A first word that is no command is the file."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["judge", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_FileFirst,
    no_args_is_help=True,
    help="Judge a file as the DAG does before it publishes: `smki gate FILE`. And what the gate has said so far.",
)


@app.command()
def judge(
    file: Annotated[Path, typer.Argument(help="A produced file; its manifest beside it is used.")],
    kind: Annotated[str | None, typer.Option("--kind", help="Its obligation; by its name if not given.")] = None,
    date_: Annotated[
        str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="Its business date; by its name if not given.")
    ] = None,
    workers: Workers = 1,
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Judge a file against the repository and the ledger. Exit code 0: PASS, 5: HOLD, 1: FAIL."""
    existing([file])
    now = datetime.now(UTC)
    with reported_errors(as_json=as_json):
        engine, settings = open_repository()
        guide = load_user_guide(settings.config)
        obligation, day = _meant(guide, file, kind, parsed_date(date_) if date_ else None, now)
        source = Source(engine, guide, load_quality(settings.config), settings.annex_b_xsd)
        evidence = _evidence(source, settings, obligation, day, file, workers, now)
        with err.status("judging …"):
            from smki.gate.judging import judge as judge_evidence  # noqa: PLC0415  # takes seconds to load

            judgement = judge_evidence(evidence, f"smki gate by {getpass.getuser()}", now)
    _show(judgement, None, report, as_json=as_json)
    raise typer.Exit({Verdict.PASS: 0, Verdict.HOLD: _HELD, Verdict.FAIL: 1}[judgement.verdict])


@app.command()
def history(
    kind: Annotated[str | None, typer.Option("--kind", help="Of one obligation only.")] = None,
    verdict: Annotated[Verdict | None, typer.Option("--verdict", help="Of one verdict only.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="So many of the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List what the gate has said, newest first; `smki gate show NUMBER` has the rest."""
    with reported_errors(as_json=as_json):
        engine, _ = open_repository()
        runs = list_gate_runs(engine, obligation=kind, verdict=verdict, limit=limit)
    if as_json:
        print_json([_in_short(run) for run in runs])
        return
    print_rows(
        ["run", "verdict", "file", "judged (UTC)", "did not pass", "decision"],
        [
            [
                run.id,
                str(run.judgement.verdict),
                run.judgement.name,
                f"{run.judgement.judged_at:%Y-%m-%d %H:%M}",
                ", ".join(result.id for result in run.judgement.failed),
                _decided(run.decision),
            ]
            for run in runs
        ],
    )


@app.command()
def show(
    number: Annotated[int, typer.Argument(help="Of the gate run.")],
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Show one gate run from the ledger."""
    with reported_errors(as_json=as_json):
        engine, _ = open_repository()
        run = find_gate_run(engine, number)
    _show(run.judgement, run.decision, report, as_json=as_json)


def _meant(guide: UserGuide, file: Path, kind: str | None, day: date | None, now: datetime) -> tuple[Obligation, date]:
    """Which obligation and day a file is to be judged as. Raises PlanError where that cannot be told."""
    obligation = guide.obligation(kind) if kind else guide.of_file(file.name)
    if obligation is None:
        raise PlanError(
            file.name,
            "by its name it is of no obligation in user_guide.toml.",
            "It is not judged.",
            "say what it is to be: --kind, and --date.",
        )
    day = day or obligation.day_of(file.name)
    if day is None and not obligation.replaced_in_place:
        raise PlanError(
            file.name, f"a {obligation.name} is of one day.", "It is not judged.", "say which day it is: --date."
        )
    return obligation, day or now.date()


def _evidence(
    source: Source, settings: Settings, obligation: Obligation, day: date, file: Path, workers: int, now: datetime
) -> Evidence:
    if isinstance(obligation.kind, RevocationList):
        return list_evidence(source, obligation, file, now)
    if isinstance(obligation.kind, AnchorSlots):
        return file_evidence(source, obligation, file, checked_set(source.engine, settings.anchor_slots, now), day)
    manifest = read_manifest(file) if manifest_path(file).exists() else None
    with tempfile.TemporaryDirectory(prefix="smki-") as folder, progress_bar("reading") as progress:
        marks = Marks(Path(folder))
        verification = examine_file(
            file,
            source.schema,
            marks,
            manifest=manifest,
            workers=workers,
            keep_rows=isinstance(obligation.kind, DeltaExtract),
            progress=progress,
        )
        return extract_evidence(source, obligation, day, file, verification, marks)


def _show(judgement: Judgement, decision: Decision | None, report: Path | None, *, as_json: bool) -> None:
    if report is not None:
        report.write_text(render_report(judgement, decision), encoding="utf-8")
    if as_json:
        print_json(judgement.as_json() | {"verdict": judgement.verdict, "decision": decision and _as_json(decision)})
        return
    colour = _COLOUR[judgement.verdict]
    out.print(f"[bold {colour}]{judgement.verdict}[/] {escape(sentence(judgement, decision))}", highlight=False)
    for result in judgement.failed:
        _show_failed(result)
    if unjudged := judgement.unjudged:
        out.print(f"{unjudged[0].observed}: {', '.join(result.id for result in unjudged)}", highlight=False)
    passed = sum(result.passed for result in judgement.results)
    out.print(f"{passed} of {len(judgement.results)} checks passed · SHA-256 {judgement.sha256}", highlight=False)
    if report is not None:
        out.print(f"report: {escape(str(report))}", highlight=False)


def _show_failed(result: CheckResult) -> None:
    colour = "red" if result.severity is Severity.FAIL else "yellow"
    lines = [
        f"[bold {colour}]{result.severity}[/] [bold]{result.id}[/]: {escape(result.observed)}",
        f"  expected: {escape(result.expected)}",
        f"  why it matters: {escape(result.protects)}",
        *(f"  · {escape(detail)}" for detail in result.details[:_SHOWN]),
    ]
    if len(result.details) > _SHOWN:
        lines.append(f"  … {len(result.details) - _SHOWN} more: --report or --json has them")
    out.print("\n".join(lines), highlight=False)


def _in_short(run: GateRun) -> dict[str, object]:
    judgement = run.judgement
    return {
        "gate_run": run.id,
        "verdict": judgement.verdict,
        "obligation": judgement.obligation,
        "name": judgement.name,
        "business_date": judgement.business_date,
        "sha256": judgement.sha256,
        "run": judgement.run,
        "judged_at": judgement.judged_at,
        "did_not_pass": [result.id for result in judgement.failed],
        "decision": run.decision and _as_json(run.decision),
    }


def _as_json(decision: Decision) -> dict[str, object]:
    return {
        "released": decision.released,
        "reason": decision.reason,
        "decided_by": decision.decided_by,
        "decided_at": decision.decided_at,
    }


def _decided(decision: Decision | None) -> str:
    if decision is None:
        return ""
    return f"{'released' if decision.released else 'rejected'} by {decision.decided_by}: {decision.reason}"
