"""The commands of the demo."""

import os

import typer

from smki.cli.exit_codes import Commands
from smki.settings import EMBEDDED
from smki_demo import generate, run

app = typer.Typer(
    name="smki-demo",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="The demo, and made-up repositories for tests and measurements.",
)


@app.callback()
def demo() -> None:
    """What is made up goes into a repository of its own, unless another one is named."""
    if not os.environ.get("SMKI_DATABASE_URL"):
        os.environ["SMKI_DATABASE_URL"] = EMBEDDED


app.command("run")(run.run_demo)
app.add_typer(generate.app, name="generate")
