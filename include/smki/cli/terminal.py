"""What all commands share: results as text or JSON, progress on stderr, errors with an exit code.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | the data break a rule: the same command gives the same answer |
| 2 | wrong usage |
| 3 | a setting has to be changed first |
| 4 | a disk, a network or a server failed: the same command may succeed later |
| 5 | the gate holds the file: a person may release it |
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import Engine

from smki.errors import ConfigurationError, DataError, SmkiError
from smki.repository.database import database_url, open_engine
from smki.repository.migrate import migrate
from smki.settings import Settings

_WIDE = 240  # columns where nobody looks at a terminal, as in a pipe, a log, or a container's `exec`


def _width(stream: TextIO) -> int | None:
    """None: the terminal's."""
    return None if stream.isatty() or "COLUMNS" in os.environ else _WIDE


out = Console(width=_width(sys.stdout))
err = Console(width=_width(sys.stderr), stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
BusinessDate = Annotated[
    str, typer.Option("--date", metavar="YYYY-MM-DD", help="Business date: the day of the cut-off.")
]


def exit_code(error: SmkiError) -> int:
    """The exit code that an error ends a command with."""
    if isinstance(error, DataError):
        return 1
    return 3 if isinstance(error, ConfigurationError) else 4


@contextmanager
def reported_errors(*, as_json: bool = False) -> Iterator[None]:
    """Prints a SmkiError in its four parts and ends the command with its exit code."""
    try:
        yield
    except SmkiError as error:
        if as_json:
            print_json(
                {
                    "error": type(error).__name__,
                    "item": error.item,
                    "rule": error.rule,
                    "consequence": error.consequence,
                    "next_step": error.next_step,
                }
            )
        else:
            item, rule, consequence, next_step = (escape(part) for part in error.args)
            err.print(f"[bold red]{type(error).__name__}[/] {item}", highlight=False)
            err.print(f"  {rule}\n  {consequence}\n  [bold]Next:[/] {next_step}", highlight=False)
        raise typer.Exit(exit_code(error)) from None


def open_repository() -> tuple[Engine, Settings]:
    """The repository that the environment names, migrated."""
    settings = Settings.from_environment()
    engine = open_engine(database_url(settings))
    migrate(engine)
    return engine, settings


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    json.dump(value, sys.stdout, indent=2, default=str, ensure_ascii=False)
    sys.stdout.write("\n")


def print_facts(facts: Mapping[str, Any]) -> None:
    """Names and values, one a line."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, f"{value:,}" if isinstance(value, int) else escape(str(value)))
    out.print(table)


def print_rows(columns: list[str], rows: list[list[object]]) -> None:
    """A table; numbers to the right."""
    table = Table()
    for number, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[number], int) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else escape(str(cell)) for cell in row))
    out.print(table)


@contextmanager
def progress_bar(what: str, total: int | None = None) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on stderr (silent when that is no terminal); the callable takes what is done, of how many."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(what, total=total)

        def show(done: int, of: int | None = None) -> None:
            progress.update(task, completed=done, total=of or total)

        yield show


def existing(paths: list[Path]) -> list[Path]:
    """The paths, or a usage error that names the first one that is not there."""
    for path in paths:
        if not path.exists():
            raise typer.BadParameter(f"{path} does not exist")
    return paths
