"""`smki retention`: what stays on a site, what goes and why; and the removal."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from sqlalchemy import Engine

from smki.cli.terminal import AsJson, open_repository, out, print_json, print_rows, reported_errors
from smki.obligations.catalogue import UserGuide
from smki.obligations.user_guide import load_user_guide
from smki.publish.login import SiteLogin, site_from_environment
from smki.publish.site import Site
from smki.retention.execution import RetentionReport, apply_retention, look_at_site
from smki.retention.rules import Action, FilePlan

app = typer.Typer(no_args_is_help=True, help="What stays on the SFTP server, what goes, and by which rule.")

SiteName = Annotated[str | None, typer.Option("--site", help="One site only; all of SMKI_SITES if not given.")]
Host = Annotated[
    str | None, typer.Option(help="Of the server. This and the next five go before what SMKI_SITE_NAME says.")
]
Port = Annotated[int | None, typer.Option(min=1, max=65_535, help="Of the server; 22 if stated nowhere.")]
User = Annotated[str | None, typer.Option(help="The account that publishes.")]
KeyFile = Annotated[str | None, typer.Option(help="Its private key.")]
HostKey = Annotated[str | None, typer.Option(help="The server's pinned public key, 'ssh-ed25519 AAAA…'.")]
Folder = Annotated[str | None, typer.Option(help="What the folders of user_guide.toml are below.")]

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
def plan(  # noqa: PLR0913, PLR0917  # each is an option of the command
    site: SiteName = None,
    at: Annotated[datetime | None, typer.Option(help="As if it were this time (UTC); now if not given.")] = None,
    host: Host = None,
    port: Port = None,
    user: User = None,
    key_file: KeyFile = None,
    host_key: HostKey = None,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Say what would be removed, and which rule keeps or removes each file. Changes nothing."""
    login = SiteLogin(host, port, user, key_file, host_key, folder)
    instant = at.replace(tzinfo=UTC) if at else None
    _report(
        site,
        login,
        lambda engine, known, guide: look_at_site(engine, known, guide, instant),
        "Nothing was changed: `smki retention run` carries this out.",
        as_json=as_json,
    )


@app.command()
def run(  # noqa: PLR0913, PLR0917  # each is an option of the command
    site: SiteName = None,
    host: Host = None,
    port: Port = None,
    user: User = None,
    key_file: KeyFile = None,
    host_key: HostKey = None,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Remove what is due now and record it, as the DAG smki_retention does every day."""
    login = SiteLogin(host, port, user, key_file, host_key, folder)
    _report(
        site,
        login,
        lambda engine, known, guide: apply_retention(engine, known, guide, "smki retention run"),
        "What was due has been dealt with, except for what is reported as an error.",
        as_json=as_json,
    )


def _report(
    site: str | None,
    login: SiteLogin,
    do: Callable[[Engine, Site, UserGuide], RetentionReport],
    afterwards: str,
    *,
    as_json: bool,
) -> None:
    """Does something with each site and prints what came of it."""
    if login != SiteLogin() and site is None:
        raise typer.BadParameter("options that describe a server need --site NAME: the ledger keeps each site apart")
    reports = []
    with reported_errors(as_json=as_json):
        engine, settings = open_repository()
        guide = load_user_guide(settings.config)
        for name in [site] if site else settings.sites:
            reports.append(do(engine, site_from_environment(name, login), guide))
            if not as_json:
                _print(reports[-1])
        if as_json:
            print_json([_as_json(report) for report in reports])
        else:
            out.print(afterwards)
    with reported_errors():
        for report in reports:
            report.raise_problems()


def _print(report: RetentionReport) -> None:
    out.print(f"site {report.site} at {report.at:%Y-%m-%d %H:%M} UTC", style="bold", highlight=False)
    print_rows(
        ["file", "age", "action", "rule"],
        [[f.name, _age(f, report.at), str(f.action), f.rule] for f in report.plans],
    )
    counts = Counter(plan.action for plan in report.plans)
    for action, meaning in _MEANING.items():
        if counts[action]:
            out.print(f"{counts[action]:>5} {action}: {meaning}", highlight=False)


def _age(plan: FilePlan, at: datetime) -> str:
    """Time since the publication; empty for what has none."""
    if plan.publication is None:
        return ""
    age = at - plan.publication.published_at
    return f"{age // timedelta(days=1)} d {age // timedelta(hours=1) % 24} h"


def _as_json(report: RetentionReport) -> dict[str, Any]:
    return {
        "site": report.site,
        "at": report.at.isoformat(),
        "files": [dict(_facts(plan, report.at)) for plan in report.plans],
        "problems": [str(problem) for problem in report.problems],
    }


def _facts(plan: FilePlan, at: datetime) -> Iterator[tuple[str, Any]]:
    yield "path", plan.path
    yield "action", plan.action
    yield "rule", plan.rule
    if plan.publication:
        yield "published_at", plan.publication.published_at.isoformat()
        yield "age_s", int((at - plan.publication.published_at).total_seconds())
    if plan.seen:
        yield "bytes", plan.seen.bytes
