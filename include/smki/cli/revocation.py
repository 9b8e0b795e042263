"""`smki revocation`: the Organisation ARL and CRL. `smki lodge` takes the lists in."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from smki.certificates.model import ListKind
from smki.cli.terminal import AsJson, err, open_repository, print_facts, print_json, print_rows, reported_errors
from smki.errors import PlanError
from smki.kinds.revocation.file import lists_without_successor, newest_list, produce_revocation_file
from smki.kinds.revocation.lodging import ListLodgement, all_lists, newest_lists
from smki.obligations.user_guide import load_user_guide
from smki.repository.database import lost_connections

app = typer.Typer(
    no_args_is_help=True, help="The revocation lists: what is lodged, and the files of SEC 2.3.3 (c), (d)."
)


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Also those that newer ones have followed.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the newest revocation lists, with a warning for each that nears its nextUpdate while none follows it."""
    now = datetime.now(UTC)
    with reported_errors(as_json=as_json):
        engine, settings = open_repository()
        guide = load_user_guide(settings.config)
        with lost_connections(), engine.connect() as connection:
            lists = all_lists(connection) if everything else newest_lists(connection)
        ending = {lodged.id for lodged in lists_without_successor(engine, guide, now)}
    if as_json:
        print_json(
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
                }
                for lodged in lists
            ]
        )
        return
    print_rows(
        ["kind", "number", "issuer", "thisUpdate (UTC)", "nextUpdate (UTC)", "entries", "lodged (UTC)"],
        [
            [
                str(lodged.kind),
                str(lodged.number),
                lodged.issuer_display,
                f"{lodged.this_update:%Y-%m-%d %H:%M}",
                f"{lodged.next_update:%Y-%m-%d %H:%M}",
                lodged.entries,
                f"{lodged.lodged_at:%Y-%m-%d %H:%M}",
            ]
            for lodged in lists
        ],
    )
    for lodged in lists:
        if lodged.id in ending:
            says = "has passed" if lodged.next_update <= now else "comes near"
            err.print(
                f"[bold yellow]warning[/] {lodged}: its nextUpdate {lodged.next_update:%Y-%m-%d %H:%M} UTC {says} and "
                "no list follows it. [bold]Next:[/] have its issuer issue the next one and lodge it.",
                highlight=False,
            )


@app.command()
def produce(
    folder: Annotated[Path, typer.Option("--out", help="Folder for the files.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Produce the files of the newest ARL and CRL, and verify them, as the DAG does before it publishes."""
    results = []
    with reported_errors(as_json=as_json):
        engine, settings = open_repository()
        guide = load_user_guide(settings.config)
        for kind in ListKind:
            obligation = guide.revocation_list(kind)
            lodged = newest_list(engine, obligation)
            if lodged is None:
                raise PlanError(
                    obligation.file,
                    f"no {kind} is lodged ({obligation.clause}).",
                    "It was not produced.",
                    "lodge the list of the CA: `smki lodge FILE`.",
                )
            artefact = produce_revocation_file(engine, obligation, lodged, folder, datetime.now(UTC), "command line")
            results.append(
                {
                    "file": artefact.name,
                    "list": str(lodged),
                    "nextUpdate": lodged.next_update,
                    "entries": artefact.records,
                    "bytes": artefact.bytes,
                    "SHA-256": artefact.sha256,
                    "content digest": artefact.content_digest,
                }
            )
            if not as_json:
                print_facts(results[-1])
    if as_json:
        print_json(results)


def lodgement_facts(lodgement: ListLodgement) -> dict[str, object]:
    """What lodging one list did, as JSON types."""
    facts: dict[str, object] = {"list": str(lodgement.lodged), "origin": lodgement.origin}
    if lodgement.already_there:
        return facts | {"already there": True}
    serials = {"expired": lodgement.expired, "not lodged": lodgement.unknown, "no longer listed": lodgement.dropped}
    return facts | {
        "entries": lodgement.lodged.entries,
        "revoked": lodgement.revoked,
        "revoked before": lodgement.revoked_before,
        **{name: [serial.hex().upper() for serial in found] for name, found in serials.items()},
    }


def print_lodgement(lodgement: ListLodgement) -> None:
    """What lodging one list did, for people; serial numbers only where there are any."""
    facts = lodgement_facts(lodgement)
    print_facts({n: ", ".join(v) if isinstance(v, list) else v for n, v in facts.items() if v != []})
