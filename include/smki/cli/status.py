"""`smki status`: how every obligation stands, as the board shows it."""

from datetime import UTC, datetime

import typer

from smki.cli.terminal import AsJson, open_repository, out, print_json, print_rows, reported_errors
from smki.obligations.user_guide import load_user_guide
from smki.watch.states import span
from smki.watch.status_report import Chain, Standing, StatusReport, status_report


def report(context: typer.Context, as_json: AsJson = False) -> None:
    """Say how every obligation stands; `set` and `expire` change the status of lodged certificates.

    Exit code 0 when nothing is late, missed or held and no finding is open, else 1.
    """
    if context.invoked_subcommand is not None:
        return
    with reported_errors(as_json=as_json):
        engine, settings = open_repository()
        found = status_report(engine, load_user_guide(settings.config), settings.sites, datetime.now(UTC))
    if as_json:
        print_json(found.as_json())
    else:
        _print(found)
    if not found.in_order:
        raise typer.Exit(1)


def _print(found: StatusReport) -> None:
    out.print(f"{', '.join(found.sites)} at {found.at:%Y-%m-%d %H:%M} UTC", style="bold", highlight=False)
    print_rows(
        ["obligation", "state", "last file", "octets", "records", "published (UTC)", "next publish-by (UTC)"],
        [_row(standing) for standing in found.standings],
    )
    out.print(_chain_in_words(found.chain), highlight=False, markup=False)
    if found.findings:
        print_rows(
            ["open finding", "site", "item", "since", "what is wrong", "what to do"],
            [
                [
                    known.finding.kind.value,
                    known.finding.site,
                    known.finding.item,
                    f"{known.first_seen:%Y-%m-%d %H:%M} ({span(found.at - known.first_seen)})",
                    known.finding.rule,
                    known.finding.next_step,
                ]
                for known in found.findings
            ],
        )
    else:
        out.print("no finding is open")


def _row(standing: Standing) -> list[object]:
    last = standing.last
    facts: list[object] = ["", "", "", ""]
    if last is not None:
        facts = [last.name, f"{last.bytes:,}", f"{last.records:,}", f"{last.first_published_at:%Y-%m-%d %H:%M}"]
    return [standing.obligation.name, standing.words, *facts, f"{standing.next.publish_by:%Y-%m-%d %H:%M}"]


def _chain_in_words(chain: Chain) -> str:
    if chain.full is None:
        return "recovery: no full extract is on every site"
    if chain.holes:
        days = ", ".join(str(link.status.due.business_date) for link in chain.holes)
        return f"recovery: after {chain.full.name} the deltas of {days} are not on every site"
    return f"recovery: {chain.full.name} and {len(chain.links)} deltas after it"
