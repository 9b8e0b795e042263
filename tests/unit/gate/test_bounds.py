"""The bounds of the breakers: what a history makes of quality.toml, and what quality.toml may say."""

import re
import statistics
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smki.errors import QualityError
from smki.gate.bounds import BandRule, Bounds, ChangeRule, Quality, change_bounds, load_quality
from smki.kinds.extracts.figures import volume_bounds
from smki.settings import INCLUDE

SHIPPED = INCLUDE / "config" / "quality.toml"
QUALITY = load_quality(SHIPPED.parent)
MATURE = QUALITY.history.mature_at
figures = st.floats(0, 1e9)
percent = st.floats(0, 500)
bands = st.builds(
    BandRule, spread=st.floats(0, 20), least_percent=percent, floor=st.floats(0, 1e6), young_percent=percent
)
changes = st.builds(ChangeRule, percent, st.floats(0, 1e6))


def within(bounds: Bounds, value: float) -> bool:
    return (bounds.low is None or bounds.low <= value) and (bounds.high is None or value <= bounds.high)


def reach(quality: Quality, rule: BandRule, history: list[float]) -> float:
    bounds = quality.band(rule, history)
    assert bounds.high is not None
    return bounds.high - statistics.median(history)


# -- bands --


@given(bands, st.lists(figures, min_size=1))
def test_band_holds_the_median_and_is_never_negative(rule: BandRule, history: list[float]) -> None:
    bounds = QUALITY.band(rule, history)
    assert within(bounds, statistics.median(history))
    assert bounds.low is not None
    assert bounds.low >= 0


@given(bands, st.lists(figures, min_size=1), st.floats(-1, 1))
def test_floor_never_trips(rule: BandRule, history: list[float], share: float) -> None:
    value = statistics.median(history) + share * rule.floor * 0.999_999
    assert within(QUALITY.band(rule, history), max(value, 0.0))


@given(bands, st.lists(st.floats(100, 110), min_size=MATURE), st.data())
def test_wild_days_do_not_widen_the_band(rule: BandRule, usual: list[float], data: st.DataObject) -> None:
    """Fewer than half of the history may be anything: the band is no wider than the usual days alone could make it."""
    wild = data.draw(st.lists(figures, max_size=(len(usual) - 1) // 2))
    widest = max(rule.floor, rule.spread * max(1.4826 * 10, 110 * rule.least_percent / 100))
    assert reach(QUALITY, rule, [*usual, *wild]) <= widest * 1.000_001 + 1e-9


def test_one_wild_day_moves_the_band_by_little() -> None:
    rule = BandRule(spread=8, least_percent=5, floor=0, young_percent=50)
    usual = [100.0, 101, 99, 100, 102, 98, 100, 101, 99]
    assert reach(QUALITY, rule, [*usual, 1e9]) == pytest.approx(reach(QUALITY, rule, usual), rel=0.5)
    assert within(QUALITY.band(rule, usual), 139)
    assert not within(QUALITY.band(rule, usual), 141)


@given(bands, figures, st.integers(MATURE, 40))
def test_history_in_which_nothing_changed_leaves_room(rule: BandRule, value: float, count: int) -> None:
    widest = max(rule.floor, rule.spread * value * rule.least_percent / 100)
    assert reach(QUALITY, rule, [value] * count) == pytest.approx(widest, rel=1e-6, abs=1e-3)


@given(bands, st.lists(figures, min_size=1, max_size=MATURE - 1))
def test_young_history_has_its_share_of_the_median(rule: BandRule, history: list[float]) -> None:
    median = statistics.median(history)
    expected = max(rule.floor, median * rule.young_percent / 100)
    assert reach(QUALITY, rule, history) == pytest.approx(expected, rel=1e-6, abs=1e-3)


def test_history_is_mature_with_its_eighth_value() -> None:
    rule = BandRule(spread=8, least_percent=5, floor=0, young_percent=50)
    assert "young" in QUALITY.band(rule, [100.0] * 7).basis
    assert QUALITY.band(rule, [100.0] * 8) == Bounds(60, 140, "median of 8 files, ± 8 robust standard deviations")


def test_floor_that_decides_is_said() -> None:
    rule = BandRule(spread=8, least_percent=5, floor=1_000, young_percent=50)
    assert QUALITY.band(rule, [100.0] * 8) == Bounds(0, 1_100, "median of 8 files, ± 1,000, which never trips")


@pytest.mark.parametrize(
    ("history", "low"),
    [([200_000.0] * 8, 2_000), ([9_999.0] * 8, 0), ([200_000.0] * 7, 0), ([], None)],
    ids=["lively", "small", "young", "none"],
)
def test_a_delta_of_next_to_nothing_trips_in_a_lively_repository(history: list[float], low: float | None) -> None:
    bounds = volume_bounds(QUALITY, history)
    assert bounds.low == low
    assert bounds == QUALITY.band(QUALITY.delta.volume, history) or bounds.basis.endswith(", at least 1 % of it")


def test_without_a_history_there_are_no_bounds() -> None:
    assert QUALITY.band(QUALITY.delta.volume, []) == Bounds(None, None, "no earlier publication to be held against")
    assert change_bounds(QUALITY.full.shrink, QUALITY.full.growth, None) == Bounds()


# -- changes --


@given(changes, changes, figures, st.floats(0, 60), st.floats(-1, 1))
def test_change_within_its_floors_never_trips(
    shrink: ChangeRule, growth: ChangeRule, newest: float, times: float, share: float
) -> None:
    value = newest + share * (growth.floor if share > 0 else shrink.floor) * 0.999_999
    assert within(change_bounds(shrink, growth, newest, times), max(value, 0.0))


@given(changes, changes, figures, st.floats(1, 60))
def test_growth_counts_once_an_interval_and_shrinking_once(
    shrink: ChangeRule, growth: ChangeRule, newest: float, times: float
) -> None:
    once, later = change_bounds(shrink, growth, newest), change_bounds(shrink, growth, newest, times)
    assert later.low == once.low
    assert once.high is not None
    assert later.high == pytest.approx(newest + (once.high - newest) * times, rel=1e-6, abs=1e-3)
    assert change_bounds(shrink, growth, newest, 0.1) == once, "less than an interval counts as one"


def test_shipped_bounds_of_a_full_extract() -> None:
    """A million certificates a week ago."""
    bounds = change_bounds(QUALITY.full.shrink, QUALITY.full.growth, 1_000_000)
    assert (bounds.low, bounds.high) == (990_000, 1_100_000)


def test_change_without_a_rule_for_growth_has_no_upper_bound() -> None:
    assert change_bounds(QUALITY.full.shrink, None, 1_000_000).high is None


# -- quality.toml --


def test_shipped_file_is_read() -> None:
    assert (QUALITY.history.publications, QUALITY.history.mature_at) == (28, 8)
    assert QUALITY.delta.volume == BandRule(spread=8.0, least_percent=20.0, floor=50_000, young_percent=400.0)
    assert QUALITY.full.shrink == ChangeRule(1.0, 1_000)
    assert (QUALITY.revocation.silent_days, QUALITY.quarantine.kept_for) == (400, timedelta(days=30))


BAD: dict[str, tuple[str, str, str]] = {  # what is replaced, by what, and what the message names
    "table missing": (r"(?s)\[quarantine\].*", "", "[quarantine]"),
    "table unknown": (r"\[quarantine\]", "[quarantaine]", "[quarantaine]"),
    "table that is none": (r"(?s)\[history\](.*?)\[full\]", "history = 3\n[full]", "[history]"),
    "key missing": (r"shrink_floor = .*", "", "[full] shrink_floor"),
    "key misspelt": (r"silent_days = 8 ", "silent_days = 8\nsilent_day = 8 ", "[delta] silent_day"),
    "negative": (r"growth_percent = 5.0", "growth_percent = -5.0", "[full] growth_percent"),
    "text": (r"growth_percent = 5.0", 'growth_percent = "5"', "[full] growth_percent"),
    "true": (r"growth_percent = 5.0", "growth_percent = true", "[full] growth_percent"),
    "not a number": (r"growth_percent = 5.0", "growth_percent = nan", "[full] growth_percent"),
    "infinite": (r"growth_floor = 100_000", "growth_floor = inf", "[full] growth_floor"),
    "infinite count": (r"publications = 28", "publications = inf", "[history] publications"),
    "half a publication": (r"publications = 28", "publications = 28.5", "[history] publications"),
    "more points than there are": (r"status_points = 40.0", "status_points = 101", "[delta] status_points"),
    "no day": (r"keep_days = 30", "keep_days = 0", "[quarantine] keep_days"),
    "eleven years": (r"silent_days = 400", "silent_days = 4000", "[revocation] silent_days"),
    "band that is none": (r"volume = \{.*\}", "volume = 8", "[delta] volume"),
    "band without a floor": (r"floor = 50_000, ", "", "[delta] volume"),
    "band with another key": (r"floor = 50_000", "floor = 50_000, ceiling = 9", "[delta] volume"),
    "band with a bad number": (r"spread = 8.0, least_percent = 5.0", "spread = -8.0, least_percent = 5.0", "spread"),
    "history that never matures": (r"mature_at = 8", "mature_at = 29", "[history] mature_at"),
    "one value that makes a history": (r"mature_at = 8", "mature_at = 1", "[history] mature_at"),
    "no TOML": (r"\[history\]", "[history", "quality.toml"),
}


@pytest.mark.parametrize("change", BAD)
def test_file_that_contradicts_itself_is_refused_by_name(tmp_path: Path, change: str) -> None:
    pattern, new, named = BAD[change]
    text, found = re.subn(pattern, new, SHIPPED.read_text(encoding="utf-8"), count=1)
    assert found
    (tmp_path / "quality.toml").write_text(text, encoding="utf-8")
    with pytest.raises(QualityError) as refused:
        load_quality(tmp_path)
    assert named in refused.value.item


def test_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QualityError, match=r"quality\.toml"):
        load_quality(tmp_path)
