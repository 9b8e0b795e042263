"""`smki status`: how every obligation stands, as the board shows it."""

from datetime import UTC, datetime

import typer
from rich.markup import escape

from smki.cli.audit import print_finding
from smki.cli.terminal import AsJson, Wide, out, print_json, print_lines, print_table
from smki.repository.project import open_project
from smki.watch.status_report import Chain, StatusReport, status_report
from smki.words import counted, span

BEFORE_ARGUMENTS = {"allow_extra_args": True, "allow_interspersed_args": False}  # so that `status set` is answered


def status(context: typer.Context, as_json: AsJson = False, wide: Wide = False) -> None:
    """Say how every obligation stands.

    Exit code 0 when nothing is late, missed, not usable or held and no finding is open, else 1.
    """
    if context.args:
        raise typer.BadParameter(
            f"it takes no argument ({context.args[0]}): it shows obligations. "
            "`smki certificate set-status` and `smki certificate expire` change certificates"
        )
    project = open_project()
    found = status_report(project.engine, project.guide, project.settings.sites, datetime.now(UTC))
    if as_json:
        print_json(found.as_json())
    else:
        _print(found, wide=wide)
    if not found.in_order:
        raise typer.Exit(1)


def _print(found: StatusReport, *, wide: bool) -> None:
    out.print(f"{', '.join(found.sites)} at {found.at:%Y-%m-%d %H:%M} UTC", style="bold", highlight=False)
    print_table(
        found.standings,
        {
            "obligation": lambda one: one.obligation.name,
            "state": lambda one: one.words,
            "last file": lambda one: one.last and one.last.name,
            "next publish-by": lambda one: one.next.publish_by,
            "published": lambda one: one.last and one.last.first_published_at,
            "records": lambda one: one.last and one.last.records,
            "bytes": lambda one: one.last and one.last.bytes,
        },
        wide=wide,
    )
    print_lines(escape(_chain_in_words(found.chain)))
    for look in found.looks:
        at = (
            f"{look.looked_at:%Y-%m-%d %H:%M} UTC ({span(found.at - look.looked_at)} ago)"
            if look.looked_at
            else "never"
        )
        overdue = "; [bold red]the auditor does not look[/]" if look.is_overdue else ""
        print_lines(f"looked at {look.site}: {at}{overdue}")
    for known in found.findings:
        site = f" on {known.finding.site}" if known.finding.site else ""
        since = f"{known.first_seen:%Y-%m-%d %H:%M} UTC ({span(found.at - known.first_seen)})"
        print_finding(known.finding, f"{site} since {since}")
    if not found.findings:
        out.print("no finding is open")


def _chain_in_words(chain: Chain) -> str:
    if chain.full is None:
        return "recovery: no full extract is on every site"
    if chain.holes:
        days = ", ".join(str(link.status.due.business_date) for link in chain.holes)
        return f"recovery: after {chain.full.name} the deltas of {days} are not on every site"
    return f"recovery: {chain.full.name} and {counted(len(chain.links), 'delta')} after it"
