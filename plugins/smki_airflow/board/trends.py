"""The figures of the last full extracts and deltas, as charts: size, records, production, upload, margin.

A chart is the gate's: the newest file against those before it. What Airflow no longer knows has no duration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from smki.gate.model import Figure, Past
from smki.gate.report.chart import figure_chart
from smki.gate.report.wording import quantity
from smki.watch.facts import PastFile
from smki_airflow.board.runs import Durations


@dataclass(frozen=True, slots=True)
class Trend:
    """One chart."""

    title: str
    newest: str  # in words
    chart: Markup


def trends(files: Sequence[PastFile], took: Mapping[str, Durations], key: str) -> list[Trend]:
    """Charts of an obligation's published files, oldest first; `key` is unique on the page.

    A figure that fewer than two files have is left out.
    """
    times = [(file, took[file.run]) for file in files if file.run in took]
    drawn = [
        _trend("Size", [(file, float(file.bytes)) for file in files], _SIZES, f"{key}-size"),
        _trend("Records", [(file, float(file.records)) for file in files], (("", 1),), f"{key}-records"),
        _trend("Production", [(file, one.production_s) for file, one in times], _TIMES, f"{key}-production"),
        _trend("Upload", [(file, one.upload_s) for file, one in times], _TIMES, f"{key}-upload"),
        _trend(
            "Margin",
            [(file, file.margin.total_seconds()) for file in files],
            _TIMES,
            f"{key}-margin",
            low=0,
        ),
    ]
    return [trend for trend in drawn if trend is not None]


_SIZES = (("bytes", 1), ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000))
_TIMES = (("s", 1), ("min", 60), ("h", 3600))
_AT_LEAST = 2  # a unit is taken where the largest value is so many of it
_FEWEST = 2  # files that make a trend


def _trend(
    title: str,
    points: Sequence[tuple[PastFile, float | None]],
    units: Sequence[tuple[str, int]],
    key: str,
    low: float | None = None,
) -> Trend | None:
    values = [(file.business_date, value) for file, value in points if value is not None]
    if len(values) < _FEWEST:
        return None
    largest = max(abs(value) for _, value in values)
    unit, size = next((unit for unit in reversed(units) if largest >= unit[1] * _AT_LEAST), units[0])
    *before, (_, newest) = [(day, round(value / size, 3)) for day, value in values]
    figure = Figure(key, title, unit, newest, tuple(Past(day, value) for day, value in before), low=low)
    return Trend(title, quantity(newest, unit), figure_chart(figure, key))
