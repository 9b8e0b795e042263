"""What all commands share: the project they work on, results as text or JSON, progress on stderr, common options.

A command states its facts once and hands them to `show`, which prints JSON for programs and a text for people.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from smki.obligations.catalogue import Obligation, UserGuide
from smki.words import span

Facts = Mapping[str, Any]  # instants as datetime, lengths of time as timedelta
Columns = Mapping[str, str | Callable[[Any], object]]  # heading → the fact's name, or what makes the cell of a row

_WIDE = 240  # columns where nobody looks at a terminal, as in a pipe, a log, or a container's `exec`


def _width(stream: TextIO) -> int | None:
    """None: the terminal's."""
    return None if stream.isatty() or "COLUMNS" in os.environ else _WIDE


out = Console(width=_width(sys.stdout))
err = Console(width=_width(sys.stderr), stderr=True)


def parse_date(text: str) -> date:
    """A date, or a usage error."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no date of the form YYYY-MM-DD") from None


_HEX_SERIAL = re.compile(r"(?:serial\s*[=:])?\s*(?:0x)?([0-9a-f]+(?:[\s:-]?[0-9a-f]+)*)", re.IGNORECASE | re.ASCII)


def parse_serial_number(text: str, *, decimal: bool = False) -> bytes:
    """A serial number (big-endian magnitude) from any spelling that certificates are shown with, or a usage error.

    Hex unless it is said to be decimal: 054A, 54a, 05:4A, 05 4a, 0x54A, and with the marks that a window's text brings.
    """
    shown = "".join(letter for letter in text if letter.isprintable()).strip()
    if decimal:
        number = int(shown) if shown.isascii() and shown.isdigit() else 0
    else:
        found = _HEX_SERIAL.fullmatch(shown)
        number = int(re.sub(r"[\s:-]", "", found[1]), 16) if found else 0
    if not number:
        kind = "decimal (hex without --decimal)" if decimal else "hex (--decimal says that it is decimal)"
        raise typer.BadParameter(f"{text!r} is no serial number in {kind}")
    return number.to_bytes((number.bit_length() + 7) // 8)


AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes.")]
BusinessDate = Annotated[
    date,
    typer.Option("--date", metavar="YYYY-MM-DD", parser=parse_date, help="Business date: the day of the cut-off."),
]


def find_obligation(guide: UserGuide, name: str) -> Obligation:
    """The obligation of that name, or a usage error."""
    if (found := guide.find(name)) is None:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(guide.names)}")
    return found


def show(facts: Facts | Iterable[Facts], columns: Columns | None = None, *, as_json: bool) -> None:
    """Prints one thing's facts, or those of several: as JSON, as a table with these columns, or one after the other."""
    if as_json:
        print_json(facts if isinstance(facts, Mapping) else list(facts))
    elif isinstance(facts, Mapping):
        print_facts(facts)
    elif columns is not None:
        print_table(facts, columns)
    else:
        for one in facts:
            print_facts(one)


def print_json(value: object) -> None:
    """One JSON document on stdout; instants are RFC 3339, lengths of time seconds."""
    whole = json.dumps(value, indent=2, default=_json, ensure_ascii=False)  # or nothing of it
    sys.stdout.write(f"{whole}\n")


def print_facts(facts: Facts) -> None:
    """Names and values, one a line; what is an empty list is left out."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value != []:
            table.add_row(name.replace("_", " "), escape(_text(value)))
    out.print(table)


def print_table(rows: Iterable[Any], columns: Columns) -> None:
    """A table; numbers to the right."""
    cells = [[row[of] if isinstance(of, str) else of(row) for of in columns.values()] for row in rows]
    table = Table()
    for number, heading in enumerate(columns):
        numeric = bool(cells) and all(isinstance(row[number], int) for row in cells)
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*(escape(_text(cell)) for cell in row))
    out.print(table)


@contextmanager
def progress_bar(what: str, total: int | None = None) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on stderr (silent when that is no terminal); the callable takes what is done, of how many."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(what, total=total)

        def show_progress(done: int, of: int | None = None) -> None:
            progress.update(task, completed=done, total=of or total)

        yield show_progress


def _json(value: object) -> object:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat()
        case timedelta():
            return int(value.total_seconds())
        case _:
            return str(value)


def _text(value: object) -> str:
    match value:
        case None:
            text = "–"
        case bool():
            text = "yes" if value else "no"
        case int():
            text = f"{value:,}"
        case datetime():
            text = f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        case timedelta():
            text = span(value)
        case Mapping():
            text = ", ".join(f"{name} {_text(one)}" for name, one in sorted(value.items())) or "none"
        case list() | tuple():
            text = ", ".join(map(_text, value))
        case _:
            text = str(value)
    return text
