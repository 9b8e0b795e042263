"""The command line of the demo: `smki-demo`, and `python -m smki_demo`."""

import typer

from smki.cli.exit_codes import Commands
from smki.processes import end_in_order
from smki_demo import generate, run

app = typer.Typer(
    name="smki-demo",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="The demo, and made-up repositories for tests and measurements.",
)
app.command("run")(run.run_demo)
app.add_typer(generate.app, name="generate")


def main() -> None:
    end_in_order()
    app()


if __name__ == "__main__":
    main()
