"""`smki retention`: what stays on a site, what goes and why; and the removal."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from sqlalchemy import Engine

from smki.cli.exit_codes import error_facts, exit_code, print_error
from smki.cli.terminal import AsJson, SiteName, Wide, out, print_json, print_table
from smki.errors import SmkiError
from smki.obligations.catalogue import UserGuide
from smki.publish.login import site_from_environment
from smki.publish.site import Site
from smki.repository.project import open_project
from smki.retention.execution import RetentionReport, apply_retention, look_at_site
from smki.retention.rules import Action, FilePlan

app = typer.Typer(no_args_is_help=True, help="What stays on the SFTP server, what goes, and by which rule.")

_MEANING = {
    Action.KEEP: "stays",
    Action.REMOVE: "due: goes",
    Action.WAIT: "due, and stays all the same: somebody should act",
    Action.ALREADY_GONE: "due, and not there: only the ledger is told",
    Action.LOST: "should be there, and is not: somebody should act",
    Action.FOREIGN: "not what the ledger published: never touched",
    Action.LEFTOVER_PART: "left by a failed upload: goes",
}


@app.command()
def plan(
    site: SiteName = None,
    at: Annotated[datetime | None, typer.Option(help="As if it were this time (UTC); now if not given.")] = None,
    as_json: AsJson = False,
    wide: Wide = False,
) -> None:
    """Say what would be removed, and which rule keeps or removes each file. Changes nothing."""
    instant = at.replace(tzinfo=UTC) if at else None
    _report(
        site,
        lambda engine, known, guide: look_at_site(engine, known, guide, instant),
        "Nothing was changed: `smki retention run` carries this out.",
        as_json=as_json,
        wide=wide,
    )


@app.command()
def run(site: SiteName = None, as_json: AsJson = False, wide: Wide = False) -> None:
    """Remove what is due now and record it, as the DAG smki_retention does every day."""
    _report(
        site,
        lambda engine, known, guide: apply_retention(engine, known, guide, "smki retention run"),
        "What was due has been dealt with, except for what is reported as an error.",
        as_json=as_json,
        wide=wide,
    )


def _report(
    site: str | None,
    do: Callable[[Engine, Site, UserGuide], RetentionReport],
    afterwards: str,
    *,
    as_json: bool,
    wide: bool,
) -> None:
    """Does something with each site and prints what came of it; a site that fails stops no other."""
    project = open_project()
    reports: list[RetentionReport] = []
    failures: dict[str, SmkiError] = {}
    for name in [site] if site else project.settings.sites:
        try:
            reports.append(do(project.engine, site_from_environment(name), project.guide))
        except SmkiError as error:
            failures[name] = error
            continue
        if not as_json:
            _print(reports[-1], wide=wide)
    if as_json:
        failed = [{"site": name} | error_facts(error) for name, error in failures.items()]
        print_json([*map(_report_facts, reports), *failed])
    else:
        out.print(afterwards)
    problems = [*failures.values(), *(problem for report in reports for problem in report.problems)]
    for problem in problems:
        print_error(problem)
    if problems:
        raise typer.Exit(max(map(exit_code, problems)))  # 4 where the same command may succeed later


def _print(report: RetentionReport, *, wide: bool) -> None:
    out.print(f"site {report.site} at {report.at:%Y-%m-%d %H:%M} UTC", style="bold", highlight=False)
    print_table(
        (_file_facts(plan, report.at) for plan in report.plans),
        {"file": "path", "age": lambda file: file.get("age_s"), "action": "action", "rule": "rule"},
        wide=wide,
    )
    counts = Counter(plan.action for plan in report.plans)
    for action, meaning in _MEANING.items():
        if counts[action]:
            out.print(f"{counts[action]:>5} {action}: {meaning}", highlight=False)


def _report_facts(report: RetentionReport) -> dict[str, Any]:
    return {
        "site": report.site,
        "at": report.at,
        "files": [_file_facts(plan, report.at) for plan in report.plans],
        "problems": [error_facts(problem) for problem in report.problems],
    }


def _file_facts(plan: FilePlan, at: datetime) -> dict[str, Any]:
    facts: dict[str, Any] = {"path": plan.path, "action": plan.action, "rule": plan.rule}
    if plan.publication:
        published_at = plan.publication.published_at
        facts |= {"published_at": published_at, "age_s": at - published_at}
    if plan.seen:
        facts["bytes"] = plan.seen.bytes
    return facts
