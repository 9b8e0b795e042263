"""The bounds of the breakers: quality.toml, and what it makes of a history.

* A band is median ± the largest of spread × scale, floor; the scale is 1.4826 × the median absolute deviation, at
  least `least_percent` of the median. So one wild day in the history does not widen it.
* A young history (fewer than `mature_at` values) has no deviation to speak of: its band is ± young_percent of the
  median, and at least the floor. Without any history there are no bounds.
* A change is bounded against the newest value alone, by per cent, and at least by its floor.
* What contradicts itself is refused on load, with the key.
"""

import statistics
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from smki.errors import QualityError
from smki.toml_files import Section, rule_of, wrong

_FILE_NAME = "quality.toml"
_TO_STANDARD_DEVIATION = 1.4826  # × median absolute deviation, for a normal distribution

Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100)]  # of something that has no more than all
Count = Annotated[int, Field(ge=0)]
Days = Annotated[float, Field(ge=1, le=3660)]


class BandRule(Section):
    """How far a figure may be from the median of its history."""

    spread: Number  # robust standard deviations
    least_percent: Number  # of the median, that count as one standard deviation at least
    floor: Number  # either way, that never trips
    young_percent: Number  # of the median, while the history is young


@dataclass(frozen=True, slots=True)
class ChangeRule:
    """How far a figure may move from its newest value."""

    percent: float
    floor: float  # that never trips


class History(Section):
    """[history]: what a file is held against."""

    publications: Annotated[int, Field(ge=1)]  # newest ones that make a history
    mature_at: Annotated[int, Field(ge=2)]  # values

    @field_validator("mature_at")
    @classmethod
    def _check_reached(cls, mature_at: int, info: ValidationInfo) -> int:
        publications = info.data.get("publications", mature_at)
        if mature_at > publications:
            raise wrong(f"no history ever has so many: {publications} publications count.")
        return mature_at


class Full(Section):
    """[full]: full extracts."""

    shrink_percent: Number
    shrink_floor: Number  # certificates
    growth_percent: Number  # in a week
    growth_floor: Number  # certificates
    silent_days: Days  # or two intervals and a day, where that is more

    @property
    def shrink(self) -> ChangeRule:
        return ChangeRule(self.shrink_percent, self.shrink_floor)

    @property
    def growth(self) -> ChangeRule:
        return ChangeRule(self.growth_percent, self.growth_floor)


class Delta(Section):
    """[delta]."""

    volume: BandRule  # certificates
    few_percent: Percent  # of the median, that a delta has at least
    few_floor: Annotated[int, Field(ge=1)]  # certificates; of a smaller median none is too few
    status_points: Percent
    status_floor: Count  # records
    silent_days: Days


class Extract(Section):
    """[extract]: full extracts and deltas."""

    bytes_a_certificate: BandRule
    least_records: Count


class Revocation(Section):
    """[revocation]: ARL and CRL."""

    entries_lost_percent: Number
    entries_lost_floor: Number
    silent_days: Days

    @property
    def entries_lost(self) -> ChangeRule:
        return ChangeRule(self.entries_lost_percent, self.entries_lost_floor)


class Quarantine(Section):
    """[quarantine]: files that failed."""

    keep_days: Days

    @property
    def kept_for(self) -> timedelta:
        return timedelta(days=self.keep_days)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a figure may be."""

    low: float | None = None
    high: float | None = None
    basis: str = "no earlier publication to be held against"


class Quality(Section):
    """quality.toml, section by section."""

    history: History
    full: Full
    delta: Delta
    extract: Extract
    revocation: Revocation
    quarantine: Quarantine

    def band(self, rule: BandRule, history: Sequence[float]) -> Bounds:
        """The bounds that a rule makes of a history."""
        if not history:
            return Bounds()
        median = statistics.median(history)
        if len(history) < self.history.mature_at:
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
    path = folder / _FILE_NAME
    next_step = f"correct {path}."
    try:
        stated = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise QualityError(_FILE_NAME, f"it cannot be read ({error}).", next_step=next_step) from error
    try:
        return Quality.model_validate(stated)
    except ValidationError as error:
        # A key that means nothing is most likely the misspelt one that is missing.
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        section, *key = map(str, first["loc"])
        item = " ".join([_FILE_NAME, f"[{section}]", *key])
        raise QualityError(item, rule_of(first), next_step=next_step) from None
