"""`smki retention`: what stays on a site, what goes and why; and the removal."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from sqlalchemy import Engine

from smki.cli.exit_codes import end_with
from smki.cli.terminal import AsJson, out, print_json, print_table
from smki.errors import SmkiError
from smki.obligations.catalogue import UserGuide
from smki.publish.login import site_from_environment
from smki.publish.site import Site
from smki.repository.project import open_project
from smki.retention.execution import RetentionReport, apply_retention, look_at_site
from smki.retention.rules import Action, FilePlan

app = typer.Typer(no_args_is_help=True, help="What stays on the SFTP server, what goes, and by which rule.")

SiteName = Annotated[str | None, typer.Option("--site", help="One site only; all of SMKI_SITES if not given.")]

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
) -> None:
    """Say what would be removed, and which rule keeps or removes each file. Changes nothing."""
    instant = at.replace(tzinfo=UTC) if at else None
    _report(
        site,
        lambda engine, known, guide: look_at_site(engine, known, guide, instant),
        "Nothing was changed: `smki retention run` carries this out.",
        as_json=as_json,
    )


@app.command()
def run(site: SiteName = None, as_json: AsJson = False) -> None:
    """Remove what is due now and record it, as the DAG smki_retention does every day."""
    _report(
        site,
        lambda engine, known, guide: apply_retention(engine, known, guide, "smki retention run"),
        "What was due has been dealt with, except for what is reported as an error.",
        as_json=as_json,
    )


def _report(
    site: str | None, do: Callable[[Engine, Site, UserGuide], RetentionReport], afterwards: str, *, as_json: bool
) -> None:
    """Does something with each site and prints what came of it."""
    project = open_project()
    reports = []
    for name in [site] if site else project.settings.sites:
        reports.append(do(project.engine, site_from_environment(name), project.guide))
        if not as_json:
            _print(reports[-1])
    if as_json:
        print_json([_report_facts(report) for report in reports])
    else:
        out.print(afterwards)
    for report in reports:
        try:
            report.raise_problems()
        except SmkiError as error:
            end_with(error, as_json=False)  # stdout has its one document


def _print(report: RetentionReport) -> None:
    out.print(f"site {report.site} at {report.at:%Y-%m-%d %H:%M} UTC", style="bold", highlight=False)
    print_table(
        (_file_facts(plan, report.at) for plan in report.plans),
        {"file": "path", "age": lambda file: file.get("age_s"), "action": "action", "rule": "rule"},
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
        "problems": [str(problem) for problem in report.problems],
    }


def _file_facts(plan: FilePlan, at: datetime) -> dict[str, Any]:
    facts: dict[str, Any] = {"path": plan.path, "action": plan.action, "rule": plan.rule}
    if plan.publication:
        published_at = plan.publication.published_at
        facts |= {"published_at": published_at, "age_s": at - published_at}
    if plan.seen:
        facts["bytes"] = plan.seen.bytes
    return facts
