"""`smki-demo generate`: made-up repositories for demo, tests and measurements."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from smki.cli.exit_codes import Commands
from smki.cli.terminal import AsJson, parse_date, print_facts, print_json, progress_bar, show
from smki.repository.lodging import LodgingReport
from smki.repository.project import open_project
from smki_demo.generator import filling
from smki_demo.generator.anchor_slots import write_anchor_slots

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Fill a repository with made-up certificates.")


@app.command()
def pki(
    certificates: Annotated[int, typer.Option(min=1, help="How many to lodge.")] = 20_000,
    days: Annotated[int, typer.Option(min=1, help="Over how many days.")] = 15,
    until: Annotated[
        date | None,
        typer.Option(metavar="YYYY-MM-DD", parser=parse_date, help="The history ends at 00:00 UTC of this day."),
    ] = None,
    keys: Annotated[Path | None, typer.Option(help="Folder of the PKI's keys; made if missing.")] = None,
    as_json: AsJson = False,
) -> None:
    """A PKI that really signs: CAs, Organisations of every role, Devices, and a history of lodging and changes."""
    project = open_project()
    with progress_bar("generating", certificates) as progress:
        try:
            report = filling.fill_with_history(
                project.engine,
                filling.open_pki(keys or project.settings.var / "pki"),
                until or datetime.now(UTC).date(),
                days=days,
                certificates=certificates,
                progress=lambda done: progress(done, None),
            )
        except ValueError as error:  # a history too small, or too early for its PKI
            raise typer.BadParameter(str(error)) from None
    _print_report(report, as_json=as_json)


@app.command()
def volume(
    certificates: Annotated[int, typer.Option(min=1, help="How many to lodge.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same certificates.")] = 1,
    at: Annotated[datetime | None, typer.Option(help="When they were lodged (UTC); now if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Look-alikes by the million: well-formed, signed by nobody, and marked so (issuer OU=TEST VOLUME)."""
    with progress_bar("generating", certificates) as progress:
        report = filling.fill_with_volume(
            open_project().engine,
            certificates,
            seed=seed,
            recorded_at=at.replace(tzinfo=UTC) if at else None,
            progress=lambda done: progress(done, None),
        )
    _print_report(report, as_json=as_json)


@app.command()
def anchor_slots(
    file: Annotated[Path | None, typer.Option("--out", help="Default: anchor_slots.toml in SMKI_VAR.")] = None,
    as_json: AsJson = False,
) -> None:
    """An anchor_slots.toml for a repository that `generate pki` has filled; name it in SMKI_ANCHOR_SLOTS to use it."""
    project = open_project()
    path = file or project.settings.var / "anchor_slots.toml"
    show({"file": str(path), "certificates": write_anchor_slots(project.engine, path)}, as_json=as_json)


def _print_report(report: LodgingReport, *, as_json: bool) -> None:
    if as_json:
        print_json({"lodged": report.lodged, "already_there": report.already_there, "classes": dict(report.classes)})
    else:
        print_facts({"lodged": report.lodged, **{f"  {name}": n for name, n in sorted(report.classes.items())}})
