"""`smki store`: what lies in the store, a file out of it, and what no file needs any more."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Engine

from smki.cli.terminal import AsJson, Limit, OutFolder, Wide, progress_bar, show
from smki.errors import MissingObjectError
from smki.publish.artefact import Artefact
from smki.publish.garbage import collect_garbage, find_garbage
from smki.publish.ledger import list_artefacts
from smki.repository.project import open_project
from smki.store.content import stored_content
from smki.store.local_files import write_chunks

app = typer.Typer(no_args_is_help=True, help="The store (SMKI_STORE): what produced files are made of.")

_AT_ONCE = 8 << 20  # bytes


@app.command("list")
def list_files(
    limit: Limit = 20,
    as_json: AsJson = False,
    wide: Wide = False,
) -> None:
    """List the newest recorded files, and what each is made of."""
    artefacts = list_artefacts(open_project().engine, limit=limit)
    show(
        [_facts(one) for one in artefacts],
        {"file": "file", "date": "business_date", "records": "records", "bytes": "bytes", "made of": "made_of"},
        as_json=as_json,
        wide=wide,
    )


@app.command()
def write(
    name: Annotated[str, typer.Argument(help="A recorded file's name, such as SMKIKR_FULL_2026-11-22.xml.gz.")],
    folder: OutFolder = Path(),
    as_json: AsJson = False,
) -> None:
    """Write a recorded file out of the store; of the repository nothing but the ledger is read."""
    project = open_project()
    artefact = _find(project.engine, name)
    content = stored_content(project.store, artefact.name, artefact.sha256, artefact.manifest)
    with progress_bar(f"writing {name}") as progress:
        starts = range(0, content.size, _AT_ONCE)

        def chunk(start: int) -> bytes:
            progress(start, content.size)
            return content.read(start, _AT_ONCE)

        write_chunks(folder / name, map(chunk, starts))
    show(_facts(artefact), as_json=as_json)


@app.command()
def garbage(
    collect: Annotated[bool, typer.Option("--collect", help="Remove it; without this it is only counted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what no file needs any more, as the DAG smki_retention removes it every day."""
    project, now = open_project(), datetime.now(UTC)
    found = find_garbage(project.engine, project.store, now)
    if collect:
        found = collect_garbage(project.engine, project.store, found, now)
    facts: dict[str, Any] = {
        "objects": found.count,
        "bytes": found.bytes,
        "kept": found.kept,
        "removed": collect,
    }
    show(facts, as_json=as_json)


def _find(engine: Engine, name: str) -> Artefact:
    artefacts = list_artefacts(engine, name=name, limit=1)
    if not artefacts:
        raise MissingObjectError(
            name, "the ledger has no file of that name.", "Nothing was written.", "see `smki store list`."
        )
    return artefacts[0]


def _facts(artefact: Artefact) -> dict[str, Any]:
    return {
        "file": artefact.name,
        "business_date": artefact.business_date,
        "records": artefact.records,
        "bytes": artefact.bytes,
        "sha256": artefact.sha256,
        "made_of": f"manifest {artefact.manifest[:12]}…" if artefact.manifest else "one object",
        "manifest": artefact.manifest or None,
    }
