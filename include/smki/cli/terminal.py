"""What all commands share: results as text or JSON, progress on stderr, what Ctrl-C leaves, common options.

* A command states its facts once and hands them to `show`, which prints JSON for programs and a text for people.
* A word, such as a file's name or a serial number, is never broken: people copy them. A table that is too wide leaves
  out its last columns and names them; `--wide` shows all.
* A reader of the output that goes away, as `head` does, ends no command: the exit code says what the command found.
"""

import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from smki.errors import OutputError
from smki.obligations.catalogue import Obligation, UserGuide
from smki.words import span

Facts = Mapping[str, Any]  # instants as datetime, lengths of time as timedelta
Columns = Mapping[str, str | Callable[[Any], object]]  # heading → the fact's name, or what makes the cell of a row

_WIDE = 240  # columns where nobody looks at a terminal, as in a pipe, a log, or a container's `exec`
_BESIDE = 3  # columns that a table's column takes beside its cells: two of space, one of line


def _width(stream: TextIO | None) -> int | None:
    """None: the terminal's."""
    return None if (stream is not None and stream.isatty()) or "COLUMNS" in os.environ else _WIDE


# No emoji: `:a:` is a part of a name or a number.
out = Console(width=_width(sys.stdout), emoji=False)
err = Console(width=_width(sys.stderr), stderr=True, emoji=False)


def parse_date(text: str) -> date:
    """A date, or a usage error."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no date of the form YYYY-MM-DD") from None


_HEX_SERIAL = re.compile(r"(?:serial\s*[=:])?\s*(?:0x)?([0-9a-f]+(?:[\s:-]?[0-9a-f]+)*)", re.IGNORECASE | re.ASCII)


_MOST_DIGITS = 1000  # more are no serial number, and Python reads no more than 4,300


def parse_serial_number(text: str, *, decimal: bool = False) -> bytes:
    """A serial number (big-endian magnitude) from any spelling that certificates are shown with, or a usage error.

    Hex unless it is said to be decimal: 054A, 54a, 05:4A, 05 4a, 0x54A, and with the marks that a window's text brings.
    """
    shown = "".join(letter for letter in text if letter.isprintable()).strip()
    if decimal:
        number = int(shown) if shown.isascii() and shown.isdigit() and len(shown) < _MOST_DIGITS else 0
    else:
        found = _HEX_SERIAL.fullmatch(shown)
        number = int(re.sub(r"[\s:-]", "", found[1]), 16) if found else 0
    if not number:
        kind = "decimal (hex without --decimal)" if decimal else "hex (--decimal says that it is decimal)"
        raise typer.BadParameter(f"{text!r} is no serial number in {kind}")
    return number.to_bytes((number.bit_length() + 7) // 8)


class _Outlet(io.FileIO):
    """A standard stream that takes no more once its reader is gone; what no disk takes is said once."""

    _ended = False

    def write(self, data: Any) -> int:
        if not self._ended:
            try:
                return super().write(data) or 0
            except BrokenPipeError:
                self._ended = True
            except OSError as error:
                self._ended = True
                if self.fileno() == 1:
                    raise OutputError("standard output", f"it cannot be written ({error.strerror}).") from error
        return len(data)


def open_standard_streams() -> None:
    """Makes stdout and stderr such outlets, also where they are closed."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # as long as the process
            continue
        outlet = io.BufferedWriter(_Outlet(number, "w", closefd=False))
        text = io.TextIOWrapper(
            outlet,
            stream.encoding,
            stream.errors,
            line_buffering=stream.isatty() or number == 2,
        )
        setattr(sys, name, text)


@contextmanager
def if_interrupted(left: str) -> Iterator[None]:
    """What Ctrl-C within leaves behind, in a line; the command ends by it."""
    try:
        yield
    except KeyboardInterrupt:
        err.print(f"Interrupted. {left}", highlight=False)
        raise typer.Exit(INTERRUPTED) from None


INTERRUPTED = 128 + 2  # as the shell says it of SIGINT
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Wide = Annotated[bool, typer.Option("--wide", help="Show all columns, however wide the terminal is.")]
SiteName = Annotated[str | None, typer.Option("--site", help="One site only; all of SMKI_SITES if not given.")]
MOST = 2**63 - 1  # a bigint of PostgreSQL's
Limit = Annotated[int, typer.Option("--limit", min=1, max=MOST, help="So many of the newest.")]
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


def _writable_folder(folder: Path) -> Path:
    """A folder that can be made and written to, or a usage error: producing takes minutes."""
    try:
        there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    except OSError as error:
        raise typer.BadParameter(f"{folder} can be no folder ({error.strerror})") from None
    if not there.is_dir():
        raise typer.BadParameter(f"{there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise typer.BadParameter(f"nothing can be written in {there}")
    return folder


OutFolder = Annotated[Path, typer.Option("--out", callback=_writable_folder, help="Folder for what is produced.")]


def show(facts: Facts | Iterable[Facts], columns: Columns | None = None, *, as_json: bool, wide: bool = False) -> None:
    """Prints one thing's facts, or those of several: as JSON, as a table with these columns, or one after the other."""
    if as_json:
        print_json(facts if isinstance(facts, Mapping) else list(facts))
    elif isinstance(facts, Mapping):
        print_facts(facts)
    elif columns is not None:
        print_table(facts, columns, wide=wide)
    else:
        for one in facts:
            print_facts(one)


def version_option(also: Callable[[], str]) -> Any:
    """The option `--version`; `also` says what else has one."""

    def show(asked: bool) -> None:
        if asked:
            out.print(f"smki {version('smki-publisher')}, {also()}", highlight=False)
            raise typer.Exit

    return typer.Option("--version", callback=show, is_eager=True, help="Show the version and exit.")


def print_json(value: object) -> None:
    """One JSON document on stdout; instants are RFC 3339, lengths of time seconds."""
    whole = json.dumps(value, indent=2, default=_json, ensure_ascii=False)  # or nothing of it
    sys.stdout.write(f"{whole}\n")


def print_lines(text: str, to: Console = out) -> None:
    """Marked-up text whose lines are broken between words only."""
    to.print(text, highlight=False, overflow="ignore", crop=False)


def print_facts(facts: Facts) -> None:
    """Names and values, one a line; what is an empty list is left out."""
    shown = {name.replace("_", " "): value for name, value in facts.items() if value != []}
    for name, value in shown.items():
        padded = f"{name:<{max(map(len, shown))}}"
        out.print(f"[bold]{escape(padded)}[/]  {escape(_text(value))}", highlight=False, soft_wrap=True)


def print_table(rows: Iterable[Any], columns: Columns, *, wide: bool = False) -> None:
    """A table; numbers to the right. Its first columns are those that a narrow terminal still has."""
    cells = [[row[of] if isinstance(of, str) else of(row) for of in columns.values()] for row in rows]
    texts = [[_text(cell) for cell in row] for row in cells]
    headings = list(columns)
    widths = _column_widths([headings, *texts], None if wide else out.width)
    table = Table(width=sum(widths) + _BESIDE * len(widths) + 1)
    for number, width in enumerate(widths):
        numeric = bool(cells) and all(isinstance(row[number], int) for row in cells)
        table.add_column(headings[number], justify="right" if numeric else "left", width=width)
    for row in texts:
        table.add_row(*map(escape, row[: len(widths)]))
    out.print(table, crop=False)
    if left_out := headings[len(widths) :]:
        print_lines(f"not shown: {', '.join(left_out)}; --wide shows all columns")


def _column_widths(rows: Sequence[Sequence[str]], room: int | None) -> list[int]:
    """The widths of the first columns, as many as there is room for, and at least one: no word is broken."""
    cells_of = list(zip(*rows, strict=True))
    whole = [max(map(cell_len, cells)) for cells in cells_of]
    if room is None:
        return whole
    least = [max(cell_len(word) for cell in cells for word in cell.split() or [""]) for cells in cells_of]
    widths: list[int] = []
    spare = room - 1
    for width in least:
        spare -= width + _BESIDE
        if widths and spare < 0:
            spare += width + _BESIDE
            break
        widths.append(width)
    lacking = sorted(range(len(widths)), key=lambda column: whole[column] - widths[column])
    for place, column in enumerate(lacking):
        more = max(0, min(whole[column] - widths[column], spare // (len(lacking) - place)))
        widths[column] += more
        spare -= more
    return widths


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
