"""`smki lodge`, `status`, `windows`, `rejected`: what goes into the repository and what its days hold."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from sqlalchemy import select

from smki.certificates.model import CertificateClass, Status
from smki.cli.revocation import lodgement_facts, print_lodgement
from smki.cli.terminal import (
    AsJson,
    err,
    existing,
    open_repository,
    out,
    print_facts,
    print_json,
    print_rows,
    progress_bar,
    reported_errors,
)
from smki.kinds.revocation.lodging import lodge_revocation_lists
from smki.obligations.user_guide import load_user_guide
from smki.repository import lodging, status, windows
from smki.repository.sources import offers_of
from smki.repository.tables import rejected_lodgement

status_app = typer.Typer()
windows_app = typer.Typer(no_args_is_help=True, help="Close and list delta windows.")


def lodge(
    paths: Annotated[
        list[Path],
        typer.Argument(help="DER, PEM, Annex B XML or XML.gz; folders of them. Revocation lists as DER or PEM."),
    ],
    as_status: Annotated[Status, typer.Option("--status", help="Status where the file states none.")] = Status.IN_USE,
    manufacturing: Annotated[bool, typer.Option(help="Manufacturing flag where the file states none.")] = False,
    ca_class: Annotated[
        CertificateClass | None, typer.Option(help="OCA or DCA, for CA certificates whose name does not say it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Lodge certificates, then revocation lists.

    What cannot be lodged is kept with its reason, and the rest is lodged: exit code 1 then.
    """
    files = existing(paths)
    lists: list[lodging.RevocationListOffer] = []

    def certificates() -> Iterator[lodging.Lodgement | lodging.Refusal]:
        """What is offered without the lists, which wait until their issuers are lodged."""
        for offer in offers_of(files, as_status, manufacturing=manufacturing):
            if isinstance(offer, lodging.RevocationListOffer):
                lists.append(offer)
            else:
                yield offer

    with reported_errors(as_json=as_json):
        engine, _ = open_repository()
        with progress_bar("lodging") as progress:
            report = lodging.lodge(
                engine,
                certificates(),
                ca_class=ca_class,
                progress=lambda done: progress(done, None),
            )
        listed = lodge_revocation_lists(engine, lists, datetime.now(UTC))
    shown = [*report.refusals, *listed.refusals]
    refused = report.refused + len(listed.refusals)
    if as_json:
        refusals = [{"origin": r.origin, "error": type(r.error).__name__, "reason": str(r.error)} for r in shown]
        print_json(
            {
                "lodged": report.lodged,
                "already_there": report.already_there,
                "refused": refused,
                "classes": dict(report.classes),
                "revocation_lists": [lodgement_facts(lodgement) for lodgement in listed.lodgements],
                "refusals": refusals,
            }
        )
    else:
        print_facts(
            {"lodged": report.lodged, "already there": report.already_there, "refused": refused}
            | {f"  {name}": count for name, count in sorted(report.classes.items())}
        )
        for lodgement in listed.lodgements:
            print_lodgement(lodgement)
        for refusal in shown:
            err.print(f"[bold red]refused[/] {escape(refusal.origin)}\n  {escape(str(refusal.error))}", highlight=False)
        if refused > len(shown):
            err.print(f"… and {refused - len(shown):,} more: `smki rejected` lists them.")
    if refused:
        raise typer.Exit(1)


def rejected(as_json: AsJson = False) -> None:
    """List what could not be lodged, with reasons; newest first."""
    with reported_errors(as_json=as_json):
        engine, _ = open_repository()
        with engine.connect() as connection:
            columns = [c for c in rejected_lodgement.c if c.name != "body"]
            rows = connection.execute(select(*columns).order_by(rejected_lodgement.c.last_offered_at.desc())).all()
    facts = [row._asdict() | {"sha256": row.sha256.hex()} for row in rows]
    if as_json:
        print_json(facts)
    else:
        print_rows(
            ["last offered (UTC)", "offers", "origin", "reason"],
            [[f"{f['last_offered_at']:%Y-%m-%d %H:%M}", f["offers"], f["origin"], f["reason"]] for f in facts],
        )


@status_app.command("set")
def status_set(
    new_status: Annotated[Status, typer.Argument(metavar="STATUS", help="P, I, N, E or R.")],
    serial_numbers: Annotated[list[str], typer.Argument(metavar="SERIAL…", help="Serial numbers, hex.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the event.")],
    as_json: AsJson = False,
) -> None:
    """Give certificates another status: all of them or, where a rule forbids one, none."""
    try:
        references = [status.CertificateReference(bytes.fromhex(text).lstrip(b"\0")) for text in serial_numbers]
    except ValueError:
        raise typer.BadParameter("serial numbers are pairs of hex digits") from None
    with reported_errors(as_json=as_json):
        engine, _ = open_repository()
        changed = status.set_statuses(engine, [status.StatusChange(ref, new_status, reason) for ref in references])
    if as_json:
        print_json({"changed": changed, "unchanged": len(references) - changed})
    else:
        out.print(f"{changed} changed to {new_status}, {len(references) - changed} had it already")


@status_app.command("expire")
def status_expire(as_json: AsJson = False) -> None:
    """Give status E to all certificates whose notAfter has passed."""
    with reported_errors(as_json=as_json):
        engine, _ = open_repository()
        expired = status.expire(engine, datetime.now(UTC))
    if as_json:
        print_json({"expired": expired})
    else:
        out.print(f"{expired:,} expired")


@windows_app.command("close")
def windows_close(
    to: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="Close all windows up to this day's cut-off.")],
    as_json: AsJson = False,
) -> None:
    """Close the window of a day, and those before it that are still open."""
    day = parsed_date(to)
    with reported_errors(as_json=as_json):
        engine, settings = open_repository()
        closed = windows.close_windows(engine, day, load_user_guide(settings.config).delta.cut_off.at)
    _print_windows(closed, as_json=as_json)


@windows_app.command("list")
def windows_list(as_json: AsJson = False) -> None:
    """List all closed windows."""
    with reported_errors(as_json=as_json):
        engine, _ = open_repository()
        closed = windows.list_windows(engine)
    _print_windows(closed, as_json=as_json)


def parsed_date(text: str) -> date:
    """A date, or a usage error."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no date of the form YYYY-MM-DD") from None


def _print_windows(closed: list[windows.Window], *, as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {
                    "seq": w.seq,
                    "business_date": w.business_date,
                    "cutoff": w.cutoff,
                    "closed_at": w.closed_at,
                    "events": w.events,
                    "changed": str(w.changed),
                    "entered": str(w.entered),
                    "departed": str(w.departed),
                }
                for w in closed
            ]
        )
    else:
        print_rows(
            ["window", "business date", "cut-off (UTC)", "events", "certificates", "entered I", "left I"],
            [
                [
                    w.seq,
                    w.business_date,
                    f"{w.cutoff:%Y-%m-%d %H:%M}",
                    w.events,
                    w.changed.count,
                    w.entered.count,
                    w.departed.count,
                ]
                for w in closed
            ],
        )
