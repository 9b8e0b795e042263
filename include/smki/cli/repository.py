"""`smki lodge`, `rejected`, `certificate`, `windows`: what goes into the repository and what its days hold."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from sqlalchemy import exists, or_, select

from smki.certificates.model import Status
from smki.cli.revocation import lodgement_facts
from smki.cli.terminal import (
    AsJson,
    Wide,
    err,
    if_interrupted,
    parse_date,
    parse_serial_number,
    print_facts,
    print_json,
    print_lines,
    progress_bar,
    show,
)
from smki.kinds.revocation.lodging import lodge_revocation_lists
from smki.publish.login import site_from_environment
from smki.publish.unknown_files import refuse_to_close
from smki.repository import lodging, status, windows
from smki.repository.database import reading
from smki.repository.offers import Lodgement, Refusal, RevocationListOffer
from smki.repository.project import open_project
from smki.repository.sources import offers_of
from smki.repository.tables import body_hash, rejected_lodgement, revocation_list
from smki.repository.takeover import take_over
from smki.words import counted

certificate_app = typer.Typer(no_args_is_help=True, help="Change the status of lodged certificates.")
windows_app = typer.Typer(no_args_is_help=True, help="Close and list delta windows.")


def lodge(
    paths: Annotated[
        list[Path],
        typer.Argument(
            exists=True,
            readable=False,  # what cannot be read is refused by name, and the rest is lodged
            help="Certificates and lists as DER, PEM or PKCS #7, or in Annex B XML; gzip of each; folders of them.",
        ),
    ],
    as_status: Annotated[
        Status | None, typer.Option("--status", help="Status where the file states none; I if not given.")
    ] = None,
    manufacturing: Annotated[
        bool | None, typer.Option(help="Manufacturing flag where the file states none; false if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Lodge certificates, then revocation lists.

    Each has to verify under a lodged authority that chains to a trusted root (`smki authority trust`); authorities may
    be offered with what they signed, in any order. What cannot be lodged is kept with its reason, and the rest is
    lodged: exit code 1 then.
    """
    lists: list[RevocationListOffer] = []

    def certificates() -> Iterator[Lodgement | Refusal]:
        """What is offered without the lists, which wait until their issuers are lodged."""
        schema = project.settings.annex_b_xsd
        for offer in offers_of(paths, as_status, manufacturing=manufacturing, schema=schema):
            if isinstance(offer, RevocationListOffer):
                lists.append(offer)
            else:
                yield offer

    project = open_project()
    engine = project.engine
    with if_interrupted("What was lodged before stays; the same command lodges the rest."):
        with progress_bar("lodging") as progress:
            report = lodging.lodge(engine, certificates(), progress=lambda done: progress(done, None))
        listed = lodge_revocation_lists(engine, lists, datetime.now(UTC))
    refusals = [*report.refusals, *listed.refusals]
    refused = report.refused + len(listed.refusals)
    facts = {
        "lodged": report.lodged,
        "already_there": report.already_there,
        "status_changed": report.changed,
        "status_kept": report.kept_status,
        "refused": refused,
        "classes": dict(report.classes),
    }
    lodgements = [lodgement_facts(lodgement) for lodgement in listed.lodgements]
    if as_json:
        stated = [{"origin": r.origin, "error": type(r.error).__name__, "reason": str(r.error)} for r in refusals]
        print_json(facts | {"revocation_lists": lodgements, "refusals": stated})
    else:
        for one in (facts, *lodgements):
            print_facts(one)
        for refusal in refusals:
            print_lines(f"[bold red]refused[/] {escape(refusal.origin)}\n  {escape(str(refusal.error))}", err)
        if refused > len(refusals):
            err.print(f"… and {refused - len(refusals):,} more: `smki rejected` lists them.")
    if refused:
        raise typer.Exit(1)


def takeover(
    full: Annotated[Path, typer.Argument(metavar="FULL", exists=True, dir_okay=False, help="The full extract.")],
    deltas: Annotated[
        list[Path] | None, typer.Argument(metavar="DELT…", exists=True, dir_okay=False, help="The deltas after it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take over what was published before: a full extract, and the deltas of the days after it.

    It begins in an empty repository, with the trusted roots stated (`smki authority trust`). Authorities that are no
    longer in use are in no full extract: lodge these before. The same call again goes on where it stopped. Nothing is
    owed for these days. Lodge the newest revocation lists afterwards.
    """
    project = open_project()
    schema = project.settings.annex_b_xsd
    taken_over = []
    left = "The windows that are named above stay; the same command goes on from there."
    with if_interrupted(left), progress_bar("taking over") as progress:

        def show_progress(_name: str, done: int) -> None:
            progress(done, None)

        for one in take_over(project.engine, project.guide, full, deltas or [], show_progress, schema=schema):
            if not as_json:
                print_lines(
                    f"{escape(one.name)}: window {one.window.seq}, {counted(one.window.changed.count, 'certificate')}"
                )
            taken_over.append(one)
    facts = {
        "windows": len(taken_over),
        "lodged": sum(one.lodged for one in taken_over),
        "status_changed": sum(one.changed for one in taken_over),
        "next_day": taken_over[-1].window.business_date + timedelta(days=1),
        "in_use": str(windows.in_use_digest(project.engine, taken_over[-1].window.seq)),
    }
    show(facts, as_json=as_json)


def rejected(as_json: AsJson = False) -> None:
    """List what could not be lodged, with reasons, and whether the same bytes were lodged since; newest first."""
    offered = rejected_lodgement.c
    as_certificate = exists().where(body_hash.c.sha256 == offered.sha256)
    as_list = exists().where(revocation_list.c.body == offered.body)
    columns = [*(c for c in offered if c.name != "body"), or_(as_certificate, as_list).label("lodged_since")]
    with reading(open_project().engine) as connection:
        rows = connection.execute(select(*columns).order_by(offered.last_offered_at.desc())).all()
    if as_json:
        print_json([row._asdict() | {"sha256": row.sha256.hex()} for row in rows])
        return
    for row in rows:
        since = ", lodged since" if row.lodged_since else ""
        print_lines(f"[bold]{escape(row.origin)}[/] {row.last_offered_at:%Y-%m-%d %H:%M} UTC{since}")
        print_lines(f"  {escape(row.reason)}")


@certificate_app.command()
def set_status(
    new_status: Annotated[Status, typer.Argument(metavar="STATUS", help="P, I, N, E or R.")],
    serial_numbers: Annotated[
        list[str], typer.Argument(metavar="SERIAL…", help="Hex, however spelled: 054A, 05:4a, 0x54A.")
    ],
    reason: Annotated[str, typer.Option(help="Why; kept with the event.")],
    issuer: Annotated[
        str, typer.Option(help="Their issuer, where others used the numbers, too: its common name, or CN=…,OU=….")
    ] = "",
    decimal: Annotated[bool, typer.Option("--decimal", help="The serial numbers are decimal.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give certificates another status: all of them or, where a rule forbids one, none."""
    serials = [parse_serial_number(text, decimal=decimal) for text in serial_numbers]
    engine = open_project().engine
    try:
        name = status.find_issuer(engine, issuer) if issuer else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--issuer") from None
    references = [status.CertificateReference(serial, name) for serial in serials]
    changes = [status.StatusChange(reference, new_status, reason) for reference in references]
    changed = status.set_statuses(engine, changes)
    show({"changed": changed, "unchanged": len(references) - changed}, as_json=as_json)


@certificate_app.command()
def expire(as_json: AsJson = False) -> None:
    """Give status E to all certificates whose notAfter has passed."""
    show({"expired": status.expire(open_project().engine, datetime.now(UTC))}, as_json=as_json)


@windows_app.command()
def close(
    to: Annotated[
        date,
        typer.Option(metavar="YYYY-MM-DD", parser=parse_date, help="Close all windows up to this day's cut-off."),
    ],
    as_json: AsJson = False,
    wide: Wide = False,
) -> None:
    """Close the window of a day, and those before it that are still open, unless a site has a later file already."""
    project = open_project()
    sites, now = project.settings.sites, datetime.now(UTC)
    refuse_to_close(project.engine, sites, site_from_environment, project.guide, to, now)
    _show_windows(windows.close_windows(project.engine, to, project.guide.delta.cut_off.at), as_json=as_json, wide=wide)


@windows_app.command("list")
def list_(as_json: AsJson = False, wide: Wide = False) -> None:
    """List all closed windows."""
    _show_windows(windows.list_windows(open_project().engine), as_json=as_json, wide=wide)


def _show_windows(closed: Iterable[windows.Window], *, as_json: bool, wide: bool) -> None:
    fields = ("seq", "business_date", "cutoff", "closed_at", "events", "changed", "entered", "departed")
    show(
        [{field: getattr(window, field) for field in fields} for window in closed],
        {
            "window": "seq",
            "business date": "business_date",
            "cut-off": "cutoff",
            "events": "events",
            "certificates": lambda window: window["changed"].count,
            "entered I": lambda window: window["entered"].count,
            "left I": lambda window: window["departed"].count,
        },
        as_json=as_json,
        wide=wide,
    )
