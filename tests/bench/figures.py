"""The figures as they are printed and kept: one row each, with what it is compared to and what was wanted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from measuring import BrokenError, Measured
from rich.console import Console
from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Wanted:
    """A bound that a figure was promised to keep."""

    text: str
    is_met: bool

    @property
    def verdict(self) -> str:
        """As the table has it."""
        return "yes" if self.is_met else "no"


def at_least(ratio: float, bound: float) -> Wanted:
    """ratio ≥ bound."""
    return Wanted(f"≥ {bound:g}", ratio >= bound)


def at_most(ratio: float, bound: float) -> Wanted:
    """ratio ≤ bound."""
    return Wanted(f"≤ {bound:g}", ratio <= bound)


@dataclass(frozen=True, slots=True)
class Figure:
    """One row."""

    figure: str
    value: str = ""
    peer: str = ""
    ratio: float | None = None
    wanted: Wanted | None = None
    error: str = ""  # why there is no value

    def as_json(self) -> dict[str, object]:
        """For var/bench.json."""
        stated = {"figure": self.figure, "value": self.value, "peer": self.peer, "ratio": self.ratio}
        met = {"wanted": self.wanted.text, "met": self.wanted.is_met} if self.wanted else {}
        return stated | met | ({"error": self.error} if self.error else {})


def figure(name: str, made: Callable[[], Figure]) -> Figure:
    """The figure, or a row that says why there is none."""
    try:
        return made()
    except BrokenError as error:
        return Figure(name, error=str(error))


def seconds(measured: Measured) -> str:
    """Wall and CPU time as text."""
    return f"{measured.wall_s:.2f} s (CPU {measured.cpu_s:.2f} s)"


def rate(certificates: int, measured: Measured) -> str:
    """Certificates a second of wall time, with both, as text."""
    return f"{certificates / measured.wall_s:,.0f}/s · {seconds(measured)}"


def megabytes(octets: float) -> str:
    """10^6 octets as text."""
    return f"{octets / 1e6:,.0f} MB"


def print_figures(title: str, figures: Sequence[Figure], console: Console) -> None:
    """The table."""
    table = Table(title=title, title_justify="left")
    for column in ("figure", "value", "peer", "ratio", "wanted", "met"):
        table.add_column(column, justify="right" if column == "ratio" else "left", overflow="fold")
    for row in figures:
        if row.error:
            table.add_row(row.figure, f"[bold red]{escape(row.error)}[/]")
            continue
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        wanted, met = (row.wanted.text, row.wanted.verdict) if row.wanted else ("", "")
        table.add_row(row.figure, row.value, row.peer, ratio, wanted, met)
    console.print(table)
