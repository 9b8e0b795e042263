"""What the board says and draws, from values that are made up."""

from datetime import UTC, date, datetime, timedelta

import pytest

from smki.obligations.catalogue import UserGuide
from smki.watch.due_status import State
from smki.watch.facts import Facts, PastFile
from smki.watch.status_report import report_of
from smki_airflow.board.runs import DayRun, Durations, Stage
from smki_airflow.board.trends import trends
from smki_airflow.board.view import LOOK, bars, calendar, duration, first_day, headline, mood, size

NOW = datetime(2025, 6, 11, 12, tzinfo=UTC)  # a Wednesday


def stage(task_id: str, begin_s: float | None, end_s: float | None, state: str = "success") -> Stage:
    begun, ended = (None if at is None else NOW + timedelta(seconds=at) for at in (begin_s, end_s))
    return Stage(task_id, 1, state, begun, ended)


def test_every_state_has_a_look_of_its_own() -> None:
    assert set(LOOK) == set(State)
    assert len(set(LOOK.values())) == len(State), "none is told from another by colour alone"


def test_the_calendar_has_eight_whole_weeks_and_the_current_one_last(user_guide: UserGuide) -> None:
    shown = calendar(user_guide, Facts(("primary",), date(2025, 6, 1), {}), (), NOW, {})
    assert (len(shown.days), shown.days[0].weekday(), len(shown.weeks)) == (56, 0, 8)
    assert shown.days[0] == first_day(NOW)
    assert NOW.date() in shown.days[-7:]
    full, delta, *in_place = shown.rows
    assert [cell.status.due.business_date.weekday() for cell in full.cells if cell] == [6, 6]
    days = [cell.status.due.business_date for cell in delta.cells if cell]
    assert days == [date(2025, 6, day) for day in range(1, 12)]
    assert {cell.status.state for row in in_place for cell in row.cells if cell} == {State.NOTHING}


def test_the_headline_names_what_needs_attention(user_guide: UserGuide) -> None:
    calm = report_of(user_guide, Facts(("primary",), None, {}), (), NOW, {}, {})
    assert (headline(calm), mood(calm)) == ("Every obligation is met.", State.MET)
    missed = report_of(user_guide, Facts(("primary",), date(2025, 6, 1), {}), (), NOW, {}, {})
    assert headline(missed) == "2 obligations need attention: Full extract and Daily delta."
    assert mood(missed) is State.MISSED


def test_a_run_is_drawn_from_its_first_beginning_to_its_last_end() -> None:
    run = DayRun(
        "dag", "run", "failed", (stage("plan", 0, 10), stage("publish", 50, 100, "failed"), stage("record", None, None))
    )
    assert [(bar.left, bar.width) for bar in bars(run)] == [(0, 10), (50, 50), (0, 0)]
    assert [one.task_id for one in run.failed] == ["publish"]
    assert bars(DayRun("dag", "run", "queued", (stage("plan", None, None, "waiting"),)))[0].width == 0


def test_a_trend_needs_two_files_and_takes_a_unit_that_fits() -> None:
    day = date(2025, 6, 1)
    files = [
        PastFile(day + timedelta(days=n), 4_000_000_000 + n, 17_000_000, f"dag/{n}", timedelta(hours=3 - n))
        for n in range(4)
    ]
    took = {f"dag/{n}": Durations(90.0, None) for n in range(4)}
    drawn = {trend.title: trend for trend in trends(files, took, "full")}
    assert list(drawn) == ["Size", "Records", "Production", "Margin"], "nobody knows how long uploads took"
    assert (drawn["Size"].newest, drawn["Production"].newest, drawn["Margin"].newest) == ("4 GB", "90 s", "0 h")
    assert 'class="limit"' in drawn["Margin"].chart, "publish-by is a line"
    assert trends(files[:1], took, "full") == []


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 bytes"), (999, "999 bytes"), (1_000, "1 kB"), (40_700, "40.7 kB"), (4_451_000_000, "4.45 GB")],
)
def test_sizes_are_said_with_three_figures(count: int, said: str) -> None:
    assert size(count) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(None, ""), (0.42, "0.4 s"), (15, "15 s"), (119, "119 s"), (4320, "1 h 12 min")]
)
def test_durations_are_as_fine_as_they_are_short(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said
