"""The application: every command by its name."""

import os
from typing import Annotated

import typer

from smki.cli import (
    adopt,
    anchors,
    audit,
    authority,
    extract,
    gate,
    index,
    party,
    repository,
    retention,
    revocation,
    schema,
    status,
    store,
)
from smki.cli.exit_codes import Commands
from smki.cli.terminal import version_option
from smki.repository.schema import known_revisions
from smki.settings import EMBEDDED

app = typer.Typer(
    name="smki",
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    help="Publisher of SMKI Repository extracts.\n\n"
    "Exit codes: 0 done · 1 the data break a rule · 2 wrong usage · 3 a setting has to be changed · "
    "4 a disk, network or server failed, try again · 5 the gate holds the file · 70 a mistake in this program · "
    "130 interrupted.",
)


@app.callback()
def smki(
    _version: Annotated[bool, version_option(lambda: f"schema {known_revisions()[-1]}")] = False,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Work on a PostgreSQL of its own below SMKI_VAR, not SMKI_DATABASE_URL.")
    ] = False,
) -> None:
    """What all commands have in common."""
    if embedded:
        os.environ["SMKI_DATABASE_URL"] = EMBEDDED  # worker processes inherit it


app.command()(schema.init)
app.command()(repository.lodge)
app.command()(repository.takeover)
app.command()(adopt.adopt)
app.command()(repository.rejected)
app.add_typer(authority.app, name="authority")
app.add_typer(repository.certificate_app, name="certificate")
app.add_typer(repository.windows_app, name="windows")
app.command()(extract.produce)
app.command()(extract.verify)
app.add_typer(gate.app, name="gate")
app.add_typer(revocation.app, name="revocation")
app.add_typer(anchors.app, name="anchors")
app.add_typer(retention.app, name="retention")
app.add_typer(index.app, name="index")
app.add_typer(store.app, name="store")
app.command()(audit.audit)
app.command(context_settings=status.BEFORE_ARGUMENTS)(status.status)
app.command()(party.sync)
app.command()(party.find)
