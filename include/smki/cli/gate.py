"""`smki gate`: judges a file as the DAG does, and shows what the gate has said. A look records no verdict."""

import getpass
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from smki.cli.exit_codes import HELD
from smki.cli.terminal import (
    MOST,
    AsJson,
    Limit,
    Wide,
    Workers,
    err,
    find_obligation,
    if_interrupted,
    parse_date,
    print_json,
    print_lines,
    progress_bar,
    show,
)
from smki.errors import PlanError
from smki.gate.judging_process import begin_judging
from smki.gate.ledger import Decision, GateRun, find_gate_run, list_gate_runs
from smki.gate.model import CheckResult, Judgement, Severity, Verdict
from smki.gate.report.page import render_report
from smki.gate.report.wording import sentence
from smki.kinds import Source
from smki.kinds.evidence import gather_evidence
from smki.obligations.catalogue import Obligation, UserGuide
from smki.repository.project import open_project
from smki.store.local_files import disk_error

_SHOWN = 10  # things concerned that the terminal shows of a check
_COLOUR = {Verdict.PASS: "green", Verdict.HOLD: "yellow", Verdict.FAIL: "red"}


def _writable(file: Path | None) -> Path | None:
    """Judging takes minutes: whether its report can be written is asked before."""
    with suppress(OSError):  # of a name that is too long for a file's
        if file is None or (file.parent.is_dir() and not file.is_dir()):
            return file
    raise typer.BadParameter(f"{file} is no file in a folder that is there")


Report = Annotated[
    Path | None,
    typer.Option("--report", metavar="OUT.html", callback=_writable, help="Write the report as a page."),
]


app = typer.Typer(
    no_args_is_help=True,
    help="Judge a file as the DAG does before it publishes, and see what the gate has said so far.",
)


@app.command()
def judge(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A produced file; its manifest beside it is used.")
    ],
    kind: Annotated[str | None, typer.Option("--kind", help="Its obligation; by its name if not given.")] = None,
    day: Annotated[
        date | None,
        typer.Option(
            "--date", metavar="YYYY-MM-DD", parser=parse_date, help="Its business date; by its name if not given."
        ),
    ] = None,
    workers: Workers = 1,
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Judge a file against the repository and the ledger. Exit code 0: PASS, 5: HOLD, 1: FAIL."""
    now = datetime.now(UTC)
    project = open_project()
    obligation, day = _obligation_and_day(project.guide, file, kind, day, now)
    source = Source.of(project)
    with if_interrupted("There is no verdict; nothing was written."), begin_judging() as judge_evidence:
        with progress_bar("reading") as progress:
            evidence = gather_evidence(source, obligation, day, file, now, workers, progress)
        with err.status("judging …"):
            judgement = judge_evidence(evidence, f"smki gate by {getpass.getuser()}", now)
    _report(judgement, None, report, as_json=as_json)
    raise typer.Exit({Verdict.PASS: 0, Verdict.HOLD: HELD, Verdict.FAIL: 1}[judgement.verdict])


@app.command()
def history(
    kind: Annotated[str | None, typer.Option("--kind", help="Of one obligation only.")] = None,
    verdict: Annotated[Verdict | None, typer.Option("--verdict", help="Of one verdict only.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
    wide: Wide = False,
) -> None:
    """List what the gate has said, newest first; `smki gate show NUMBER` has the rest."""
    show(
        [
            _run_facts(run)
            for run in list_gate_runs(open_project().engine, obligation=kind, verdict=verdict, limit=limit)
        ],
        {
            "run": "gate_run",
            "verdict": "verdict",
            "file": "name",
            "judged": "judged_at",
            "did not pass": "did_not_pass",
            "decision": lambda run: run["decision"] and _decision_in_words(run["decision"]),
        },
        as_json=as_json,
        wide=wide,
    )


@app.command("show")
def show_run(
    number: Annotated[int, typer.Argument(min=1, max=MOST, help="Of the gate run.")],
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Show one gate run from the ledger."""
    run = find_gate_run(open_project().engine, number)
    _report(run.judgement, run.decision, report, as_json=as_json)


def _obligation_and_day(
    guide: UserGuide, file: Path, kind: str | None, day: date | None, now: datetime
) -> tuple[Obligation, date]:
    """Which obligation and day a file is to be judged as. Raises PlanError where that cannot be told."""
    obligation = find_obligation(guide, kind) if kind else guide.of_file(file.name)
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


def _report(judgement: Judgement, decision: Decision | None, report: Path | None, *, as_json: bool) -> None:
    if report is not None:
        try:
            report.write_text(render_report(judgement, decision), encoding="utf-8")
        except OSError as error:
            raise disk_error(report, error) from error
    if as_json:
        print_json(judgement.as_json() | {"verdict": judgement.verdict, "decision": decision and asdict(decision)})
        return
    colour = _COLOUR[judgement.verdict]
    print_lines(f"[bold {colour}]{judgement.verdict}[/] {escape(sentence(judgement, decision))}")
    for result in judgement.failed:
        _print_failed(result)
    if unjudged := judgement.unjudged:
        print_lines(escape(f"{unjudged[0].observed}: {', '.join(result.id for result in unjudged)}"))
    for remark in judgement.remarks:
        print_lines(f"to know: {escape(remark)}")
    passed = sum(result.passed for result in judgement.results)
    print_lines(f"{passed} of {len(judgement.results)} checks passed · SHA-256 {judgement.sha256}")
    if report is not None:
        print_lines(f"report: {escape(str(report))}")


def _print_failed(result: CheckResult) -> None:
    colour = "red" if result.severity is Severity.FAIL else "yellow"
    lines = [
        f"[bold {colour}]{result.severity}[/] [bold]{result.id}[/]: {escape(result.observed)}",
        f"  expected: {escape(result.expected)}",
        f"  why it matters: {escape(result.protects)}",
        *(f"  · {escape(detail)}" for detail in result.details[:_SHOWN]),
    ]
    if len(result.details) > _SHOWN:
        lines.append(f"  … {len(result.details) - _SHOWN} more: --report or --json has them")
    print_lines("\n".join(lines))


def _run_facts(run: GateRun) -> dict[str, Any]:
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
        "decision": run.decision and asdict(run.decision),
    }


def _decision_in_words(decision: dict[str, Any]) -> str:
    return f"{'released' if decision['released'] else 'rejected'} by {decision['decided_by']}: {decision['reason']}"
