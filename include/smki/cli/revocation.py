"""`smki revocation`: the Organisation ARL and CRL. `smki lodge` takes the lists in."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from smki.cli.terminal import AsJson, OutFolder, Wide, err, print_lines, show
from smki.errors import PlanError
from smki.kinds.revocation.evidence import examine_list
from smki.kinds.revocation.file import (
    lists_without_obligation,
    lists_without_successor,
    newest_list,
    write_revocation_file,
)
from smki.kinds.revocation.lodging import ListLodgement, all_lists, newest_lists
from smki.repository.database import reading
from smki.repository.project import open_project
from smki.store.local_files import checked_first

app = typer.Typer(
    no_args_is_help=True, help="The revocation lists: what is lodged, and the files of SEC 2.3.3 (c), (d)."
)


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Also those that newer ones have followed.")] = False,
    as_json: AsJson = False,
    wide: Wide = False,
) -> None:
    """List the newest revocation lists, with a warning for each that nears its nextUpdate while none follows it."""
    now = datetime.now(UTC)
    project = open_project()
    with reading(project.engine) as connection:
        lists = all_lists(connection) if everything else newest_lists(connection)
    ending = {lodged.id for lodged in lists_without_successor(project.engine, project.guide, now)}
    unpublished = {lodged.id for lodged in lists_without_obligation(project.engine, project.guide)}
    show(
        [
            {
                "kind": lodged.kind,
                "number": lodged.number,
                "issuer": lodged.issuer_display,
                "this_update": lodged.this_update,
                "next_update": lodged.next_update,
                "entries": lodged.entries,
                "lodged_at": lodged.lodged_at,
                "successor_missing": lodged.id in ending,
                "obligation_missing": lodged.id in unpublished,
            }
            for lodged in lists
        ],
        {
            "kind": "kind",
            "number": lambda lodged: str(lodged["number"]),
            "issuer": "issuer",
            "nextUpdate": "next_update",
            "entries": "entries",
            "thisUpdate": "this_update",
            "lodged": "lodged_at",
        },
        as_json=as_json,
        wide=wide,
    )
    for lodged in () if as_json else lists:
        if lodged.id in unpublished:
            print_lines(
                f"[bold yellow]warning[/] {escape(str(lodged))}: no obligation publishes its issuer's lists. "
                '[bold]Next:[/] give it a section in user_guide.toml, with issuer = "CN=…".',
                err,
            )
        if lodged.id in ending:
            says = "has passed" if lodged.next_update <= now else "comes near"
            print_lines(
                f"[bold yellow]warning[/] {escape(str(lodged))}: its nextUpdate "
                f"{lodged.next_update:%Y-%m-%d %H:%M} UTC {says} and no list follows it. "
                "[bold]Next:[/] have its issuer issue the next one and lodge it.",
                err,
            )


@app.command()
def produce(
    folder: OutFolder = Path(),
    as_json: AsJson = False,
) -> None:
    """Produce the files of the newest lists, and verify them, as the DAG does before it publishes."""
    project = open_project()
    produced = []
    with checked_first(folder) as unchecked:
        for obligation, kind in project.guide.lists():
            lodged = newest_list(project.engine, obligation)
            if lodged is None:
                raise PlanError(
                    obligation.file,
                    f"no {kind.list_kind} is lodged ({obligation.clause}).",
                    next_step="lodge the list of the CA: `smki lodge FILE`.",
                )
            now = datetime.now(UTC)
            artefact = write_revocation_file(obligation, lodged, unchecked, now, "command line")
            for fault in examine_list(project.engine, unchecked / artefact.name, lodged, now).faults:
                raise fault
            facts = {
                "file": artefact.name,
                "list": str(lodged),
                "nextUpdate": lodged.next_update,
                "entries": artefact.records,
                "bytes": artefact.bytes,
                "SHA-256": artefact.sha256,
                "content digest": artefact.content_digest,
            }
            produced.append(facts)
    show(produced, as_json=as_json)


def lodgement_facts(lodgement: ListLodgement) -> dict[str, Any]:
    """The same keys of every list; of one that was there already nothing was done."""
    serials = {
        "expired": lodgement.expired,
        "not_lodged": lodgement.unknown,
        "no_longer_listed": lodgement.dropped,
        "no_longer_listed_not_lodged": lodgement.dropped_unknown,
        "forgotten": lodgement.forgotten,
    }
    return {
        "list": str(lodgement.lodged),
        "origin": lodgement.origin,
        "already_there": lodgement.already_there,
        "entries": lodgement.lodged.entries,
        "revoked": lodgement.revoked,
        "revoked_before": lodgement.revoked_before,
        **{name: [serial.hex().upper() for serial in found] for name, found in serials.items()},
        "held_by_the_gate": list(lodgement.steps_back),
    }
