"""When a file is to be expected, from how long those before it took."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smki.gate.model import Verdict
from smki.watch.due_status import State, due_status, list_due_statuses
from smki.watch.forecast import forecast, forecasts, quantile

from .conftest import DAY, HOUR, MONDAY, SUNDAY, Ledger

DELTA = "delta"
MINUTE = timedelta(minutes=1)


def history(ledger: Ledger, *minutes: int, judged_after: int | None = None) -> None:
    """Publishes the days before Monday so many minutes after their cut-offs, the last one first."""
    for ago, taken in enumerate(minutes, start=1):
        due = ledger.due(DELTA, MONDAY - ago * DAY)
        ledger.publish(due, due.cut_off + taken * MINUTE)
        if judged_after is not None:
            ledger.judge(due, due.cut_off + judged_after * MINUTE)


def ahead(ledger: Ledger, now):
    return forecasts(ledger.guide, ledger.facts(), now).get((DELTA, "", MONDAY))


def test_it_is_when_four_of_five_publications_before_were_there(ledger: Ledger):
    history(ledger, 10, 20, 30, 40, 50, 60, 70, 80, 90, 200)
    due = ledger.due(DELTA)
    assert ahead(ledger, due.cut_off) == due.cut_off + 80 * MINUTE


def test_few_publications_say_nothing(ledger: Ledger):
    history(ledger, 10, 20, 30, 40)
    assert ahead(ledger, ledger.due(DELTA).cut_off) is None


@pytest.mark.parametrize("hold", [True, False])
@pytest.mark.parametrize("week", range(1, 9))
def test_one_full_extract_that_was_late_or_held_makes_no_later_one_a_risk(ledger: Ledger, week: int, hold: bool):
    for ago in range(1, 9):
        before = ledger.due("full", SUNDAY - 7 * ago * DAY)
        at = before.cut_off + (34 * HOUR if ago == week else HOUR)
        held = Verdict.HOLD if hold and ago == week else Verdict.PASS
        ledger.judge(before, before.cut_off + HOUR / 2, held, released=True if hold else None, decided_at=at)
        ledger.publish(before, at)
    due = ledger.due("full", SUNDAY)
    found = forecasts(ledger.guide, ledger.facts(), due.cut_off)[due.key]
    assert found == due.cut_off + HOUR
    assert due_status(due, ledger.facts(), due.cut_off, found).state is State.DUE


def test_what_a_person_had_to_release_says_nothing_of_how_long_a_day_takes(ledger: Ledger):
    history(ledger, 10, 20, 30, 40, *[12 * 60] * 3)
    for ago in (5, 6, 7):
        due = ledger.due(DELTA, MONDAY - ago * DAY)
        ledger.judge(due, due.cut_off, Verdict.HOLD, released=True, decided_at=due.cut_off + 12 * HOUR)
    assert ahead(ledger, ledger.due(DELTA).cut_off) is None, "the others are too few"


def test_six_late_deltas_in_eight_weeks_make_no_day_a_risk(ledger: Ledger):
    history(ledger, *[5 * 60] * 6, *[15] * 50)
    cut_off = ledger.due(DELTA).cut_off
    assert ahead(ledger, cut_off) == cut_off + 15 * MINUTE


def test_days_that_were_backfilled_later_do_not_count(ledger: Ledger):
    history(ledger, 10, 20, 30, 40, 50, 24 * 60, 9 * 24 * 60)
    cut_off = ledger.due(DELTA).cut_off
    assert ahead(ledger, cut_off) == cut_off + 40 * MINUTE


def test_what_is_slower_than_all_before_it_is_expected_now(ledger: Ledger):
    history(ledger, 10, 20, 30, 40, 50)
    now = ledger.due(DELTA).cut_off + 2 * HOUR
    assert ahead(ledger, now) == now


def test_from_the_gate_on_only_the_rest_is_foretold(ledger: Ledger):
    history(ledger, 40, 40, 40, 40, 40, judged_after=30)
    due = ledger.due(DELTA)
    ledger.judge(due, due.cut_off + 3 * HOUR)
    assert ahead(ledger, due.cut_off + 3 * HOUR) == due.cut_off + 3 * HOUR + 10 * MINUTE


def test_late_start_is_a_risk_before_its_warning_time(ledger: Ledger):
    history(ledger, 150, 150, 150, 150, 150, judged_after=10)
    due = ledger.due(DELTA)
    now = due.cut_off + 119 * MINUTE  # a minute before it would still be in time
    ledger.judge(due, now)
    found = forecasts(ledger.guide, ledger.facts(), now)
    assert now < due.warn_at
    assert due_status(due, ledger.facts(), now, found[due.key]).state is State.AT_RISK


def test_what_is_held_or_published_has_no_forecast(ledger: Ledger):
    history(ledger, 10, 20, 30, 40, 50)
    due = ledger.due(DELTA)
    ledger.judge(due, due.cut_off + MINUTE, Verdict.HOLD)
    assert ahead(ledger, due.cut_off + HOUR) is None
    ledger.publish(due, due.cut_off + HOUR)
    assert ahead(ledger, due.cut_off + HOUR) is None


def test_statuses_take_the_forecasts(ledger: Ledger):
    history(ledger, 10, 20, 30, 40, 50)
    now = ledger.due(DELTA).cut_off
    times = forecasts(ledger.guide, ledger.facts(), now)
    (found,) = [s for s in list_due_statuses(ledger.guide, ledger.facts(), MONDAY, MONDAY, now, times) if s.expected_at]
    assert found.expected_at == now + 40 * MINUTE


def test_before_its_cut_off_nothing_is_foretold(ledger: Ledger):
    history(ledger, 10, 20, 30, 40, 50)
    now = ledger.due(DELTA).cut_off - HOUR
    before = list_due_statuses(ledger.guide, ledger.facts(), MONDAY - 9 * DAY, MONDAY - DAY, now)
    deltas = [one for one in before if one.due.obligation.name is DELTA]
    assert forecast(due_status(ledger.due(DELTA), ledger.facts(), now), deltas, now) is None


@given(st.lists(st.timedeltas(timedelta(), timedelta(days=1)), min_size=1), st.floats(0.01, 1))
def test_quantile_is_the_shortest_that_the_share_keeps_within(durations: list[timedelta], share: float):
    found = quantile(durations, share)
    assert found in durations
    assert sum(one <= found for one in durations) >= share * len(durations) - 1e-9
    assert sum(one < found for one in durations) < share * len(durations)
