"""The bounds of the breakers: quality.toml, and what it makes of a history.

* A band is median ± the largest of spread × scale, floor; the scale is 1.4826 × the median absolute deviation, at
  least `least_percent` of the median. So one wild day in the history does not widen it.
* A young history (fewer than `mature_at` values) has no deviation to speak of: its band is ± young_percent of the
  median, and at least the floor. Without any history there are no bounds.
* A delta has a share of its mature history's median at least: the band alone reaches down to nothing.
* A change is bounded against the newest value alone, by per cent, and at least by its floor.
* What contradicts itself is refused on load, with the key.
"""

import math
import statistics
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from smki.errors import QualityError

_TO_STANDARD_DEVIATION = 1.4826  # × median absolute deviation, for a normal distribution


@dataclass(frozen=True, slots=True)
class BandRule:
    """How far a figure may be from the median of its history."""

    spread: float  # robust standard deviations
    least_percent: float  # of the median, that count as one standard deviation at least
    floor: float  # either way, that never trips
    young_percent: float  # of the median, while the history is young


@dataclass(frozen=True, slots=True)
class ChangeRule:
    """How far a figure may move from its newest value."""

    percent: float
    floor: float  # that never trips


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a figure may be."""

    low: float | None = None
    high: float | None = None
    basis: str = "no earlier publication to be held against"


@dataclass(frozen=True, slots=True)
class Quality:
    """quality.toml."""

    publications: int  # newest ones that make a history
    mature_at: int  # values
    full_shrink: ChangeRule
    full_growth: ChangeRule
    full_silent: timedelta
    delta_volume: BandRule
    delta_few_percent: float  # of the median, that a delta has at least
    delta_few_floor: int  # certificates; of a smaller median none is too few
    delta_status_points: float  # percentage points
    delta_status_floor: int  # records
    delta_silent: timedelta
    bytes_a_certificate: BandRule
    least_records: int
    entries_lost: ChangeRule
    revocation_silent: timedelta
    quarantine: timedelta

    def band(self, rule: BandRule, history: Sequence[float]) -> Bounds:
        """The bounds that a rule makes of a history."""
        if not history:
            return Bounds()
        median = statistics.median(history)
        if len(history) < self.mature_at:
            reach = max(rule.floor, median * rule.young_percent / 100)
            basis = f"median of {len(history)} files, ± {rule.young_percent:g} % (a young history)"
        else:
            deviation = statistics.median(abs(value - median) for value in history)
            scale = max(_TO_STANDARD_DEVIATION * deviation, median * rule.least_percent / 100)
            reach = max(rule.floor, rule.spread * scale)
            basis = f"median of {len(history)} files, ± {rule.spread:g} robust standard deviations"
        if reach == rule.floor:
            basis = f"median of {len(history)} files, ± {rule.floor:,.0f}, which never trips"
        return Bounds(max(0.0, median - reach), median + reach, basis)

    def delta_bounds(self, history: Sequence[float]) -> Bounds:
        """The bounds of a delta's certificates."""
        bounds = self.band(self.delta_volume, history)
        median = statistics.median(history) if len(history) >= self.mature_at else 0
        few = median * self.delta_few_percent / 100
        if bounds.low is None or median < self.delta_few_floor or few <= bounds.low:
            return bounds
        return replace(bounds, low=few, basis=f"{bounds.basis}, at least {self.delta_few_percent:g} % of it")


def change_bounds(shrink: ChangeRule, growth: ChangeRule | None, newest: float | None, times: float = 1.0) -> Bounds:
    """Bounds around the newest value; `times` is how many intervals of growth lie between the two."""
    if newest is None:
        return Bounds()
    low = max(0.0, newest - max(shrink.floor, newest * shrink.percent / 100))
    basis = f"the one before − {shrink.percent:g} % (at least {shrink.floor:,.0f})"
    if growth is None:
        return Bounds(low, None, basis)
    high = newest + max(growth.floor, newest * growth.percent / 100) * max(times, 1.0)
    return Bounds(low, high, f"{basis}, + {growth.percent:g} % (at least {growth.floor:,.0f})")


def load_quality(folder: Path) -> Quality:
    """The quality.toml of a configuration folder. Raises QualityError."""
    path = folder / "quality.toml"
    try:
        stated = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _refused("", f"it cannot be read ({error}).") from error
    known = {"history", "full", "delta", "extract", "revocation", "quarantine"}
    if unknown := sorted(set(stated) - known):
        raise _refused(f"[{unknown[0]}]", f"it is none of {', '.join(sorted(known))}.")
    history, full, delta, extract, revocation, quarantine = (
        _Section(name, stated.get(name)) for name in ("history", "full", "delta", "extract", "revocation", "quarantine")
    )
    quality = Quality(
        publications=history.count("publications", least=1),
        mature_at=history.count("mature_at", least=2),
        full_shrink=full.change("shrink"),
        full_growth=full.change("growth"),
        full_silent=full.days("silent_days"),
        delta_volume=delta.band("volume"),
        delta_few_percent=delta.number("few_percent", most=100),
        delta_few_floor=delta.count("few_floor", least=1),
        delta_status_points=delta.number("status_points", most=100),
        delta_status_floor=delta.count("status_floor"),
        delta_silent=delta.days("silent_days"),
        bytes_a_certificate=extract.band("bytes_a_certificate"),
        least_records=extract.count("least_records"),
        entries_lost=revocation.change("entries_lost"),
        revocation_silent=revocation.days("silent_days"),
        quarantine=quarantine.days("keep_days"),
    )
    for section in (history, full, delta, extract, revocation, quarantine):
        section.refuse_unknown()
    if quality.mature_at > quality.publications:
        raise _refused(
            "[history] mature_at", f"no history ever has so many: {quality.publications} publications count."
        )
    return quality


class _Section:
    """One table of the file; remembers what was asked for, so that a misspelt key is refused."""

    def __init__(self, name: str, stated: object) -> None:
        if not isinstance(stated, Mapping):
            raise _refused(f"[{name}]", "it is missing.")
        self._name = name
        self._stated = stated
        self._asked: set[str] = set()

    def number(self, key: str, *, least: float = 0, most: float | None = None) -> float:
        self._asked.add(key)
        return _number(f"[{self._name}] {key}", self._stated.get(key), least, most)

    def count(self, key: str, *, least: int = 0) -> int:
        value = self.number(key, least=least)
        if not value.is_integer():
            raise _refused(f"[{self._name}] {key}", f"{value:g} is no whole number.")
        return int(value)

    def days(self, key: str) -> timedelta:
        return timedelta(days=self.number(key, least=1, most=3660))

    def change(self, key: str) -> ChangeRule:
        return ChangeRule(self.number(f"{key}_percent"), self.number(f"{key}_floor"))

    def band(self, key: str) -> BandRule:
        self._asked.add(key)
        stated = self._stated.get(key)
        names = ("spread", "least_percent", "floor", "young_percent")
        if not isinstance(stated, Mapping) or set(stated) != set(names):
            raise _refused(f"[{self._name}] {key}", f"it is no table of {', '.join(names)}.")
        return BandRule(*(_number(f"[{self._name}] {key} {name}", stated[name], 0, None) for name in names))

    def refuse_unknown(self) -> None:
        if unknown := sorted(set(self._stated) - self._asked):
            raise _refused(f"[{self._name}] {unknown[0]}", f"it is none of {', '.join(sorted(self._asked))}.")


def _number(item: str, value: object, least: float, most: float | None) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value < math.inf or (most is not None and value > most):  # type: ignore[operator]
        reach = f"from {least:g}" + (f" to {most:g}" if most is not None else "")
        raise _refused(item, f"{value!r} is no number {reach}.")
    return float(value)  # type: ignore[arg-type]


def _refused(item: str, rule: str) -> QualityError:
    return QualityError(
        f"quality.toml {item}".rstrip(),
        rule,
        "Nothing can be judged, so nothing is published.",
        "correct quality.toml.",
    )
