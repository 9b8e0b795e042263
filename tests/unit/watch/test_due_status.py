"""The state of a due file follows from ledger and time alone."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smki.gate.model import Verdict
from smki.obligations.catalogue import UserGuide
from smki.watch.due_status import State, due_status, list_due_statuses, list_stands
from smki.watch.findings import Kind
from smki.watch.repository_findings import find_late_or_at_risk
from smki.words import span

from .conftest import DAY, HOUR, MONDAY, SUNDAY, Ledger

SECOND = timedelta(seconds=1)


def state(ledger: Ledger, now, obligation="delta", **options):
    return due_status(ledger.due(obligation), ledger.facts(), now, **options).state


def test_file_that_is_not_there_goes_from_due_over_risk_and_late_to_missed(ledger: Ledger):
    due = ledger.due("delta")
    for at, expected in (
        (due.cut_off, State.DUE),
        (due.warn_at - SECOND, State.DUE),
        (due.warn_at, State.AT_RISK),
        (due.publish_by - SECOND, State.AT_RISK),
        (due.publish_by, State.LATE),
        (due.missed_at - SECOND, State.LATE),
        (due.missed_at, State.MISSED),
    ):
        assert state(ledger, at) is expected


@given(published=st.integers(-3, 100), later=st.integers(0, 1000))
def test_published_file_is_met_or_met_late_for_ever(user_guide: UserGuide, published: int, later: int):
    ledger = Ledger(user_guide)
    due = ledger.due("delta")
    at = due.publish_by + published * HOUR
    ledger.publish(due, at, ended_at=at + 7 * DAY)
    found = due_status(due, ledger.facts(), at + later * HOUR)
    assert found.state is (State.MET if published <= 0 else State.MET_LATE)
    assert found.margin == -published * HOUR


def test_file_of_a_day_on_which_none_is_due_is_never_late(ledger: Ledger):
    due = ledger.due("full", MONDAY)
    assert due_status(due, ledger.facts(), due.missed_at + DAY).state is State.NOTHING
    ledger.publish(due, due.missed_at)
    assert due_status(due, ledger.facts(), due.missed_at + DAY).state is State.MET


def test_file_counts_when_the_last_site_has_it(ledger: Ledger):
    ledger.sites = ("primary", "dr")
    due = ledger.due("delta")
    ledger.publish(due, due.cut_off + HOUR)
    found = due_status(due, ledger.facts(), due.publish_by + HOUR)
    assert (found.state, found.missing_sites, found.published_at) == (State.LATE, ("dr",), None)
    ledger.publish(due, due.publish_by + HOUR, "dr")
    found = due_status(due, ledger.facts(), due.publish_by + HOUR)
    assert (found.state, found.missing_sites) == (State.MET_LATE, ())
    assert found.words == "met, late by 1 h"


def test_file_that_was_lost_and_put_there_again_keeps_its_time(ledger: Ledger):
    due = ledger.due("delta")
    ledger.publish(due, due.cut_off + HOUR, ended_at=due.publish_by + HOUR)
    ledger.publish(due, due.publish_by + 2 * HOUR)
    assert state(ledger, due.publish_by + 3 * HOUR) is State.MET


def test_forecast_beyond_publish_by_is_a_risk_before_the_warning(ledger: Ledger):
    due = ledger.due("delta")
    late, early = due.publish_by + HOUR, due.publish_by - HOUR
    assert state(ledger, due.cut_off, expected_at=early) is State.DUE
    found = due_status(due, ledger.facts(), due.cut_off, late)
    assert found.state is State.AT_RISK
    assert found.words == "at risk: due in 4 h, expected 05:00 UTC"


@pytest.mark.parametrize(("released", "expected"), [(None, State.HELD), (True, State.LATE), (False, State.LATE)])
def test_hold_is_held_until_a_person_decides_whatever_the_time_is(ledger: Ledger, released, expected):
    due = ledger.due("delta")
    ledger.judge(due, due.cut_off + HOUR, Verdict.HOLD, released=released)
    assert state(ledger, due.publish_by + HOUR) is expected


@pytest.mark.parametrize(("verdict", "released"), [(Verdict.FAIL, None), (Verdict.HOLD, False)])
def test_delta_that_was_refused_is_corrected_by_a_full_extract_of_a_later_day_on_every_site(
    ledger: Ledger, verdict, released
):
    ledger.sites = ("primary", "dr")
    due, of_its_day, full = (
        ledger.due("delta", SUNDAY),
        ledger.due("full", SUNDAY),
        ledger.due("full", SUNDAY + 7 * DAY),
    )
    now = full.publish_by + 7 * DAY
    ledger.judge(due, due.cut_off + HOUR, verdict, released=released)
    for site in ledger.sites:
        ledger.publish(of_its_day, of_its_day.cut_off + HOUR, site)
    assert due.name in missing(ledger, "delta", due.publish_by), "the regular one of its day says the same as it"
    ledger.publish(full, full.cut_off + HOUR, "primary")
    assert due_status(due, ledger.facts(), now).state is State.MISSED, "one site lacks it"
    ledger.publish(full, full.cut_off + HOUR, "dr")
    found = due_status(due, ledger.facts(), now)
    assert (found.state, found.corrected_by) == (State.CORRECTED, full.business_date)
    assert list(find_late_or_at_risk("primary", [found])) == []
    assert state(ledger, now) is State.MISSED, "of Monday's nobody refused anything"
    ledger.judge(due, now)
    assert due_status(due, ledger.facts(), now).state is State.MISSED, "it may be published now"
    for site in ledger.sites:
        ledger.publish(due, now, site)
    assert due_status(due, ledger.facts(), now).state is State.MET_LATE


def test_file_that_is_replaced_in_place_is_met_by_the_days_look_at_what_every_site_offers(ledger: Ledger):
    due = ledger.due("crl")
    ledger.publish(due, due.cut_off - 40 * DAY)
    assert state(ledger, due.publish_by, "crl") is State.NOTHING, "nothing was ever judged"
    ledger.judge(due, due.cut_off - HOUR)
    assert state(ledger, due.publish_by, "crl") is State.LATE, "that look was yesterday's"
    ledger.judge(due, due.cut_off + HOUR / 4)
    found = due_status(due, ledger.facts(), due.publish_by)
    assert (found.state, found.published_at) == (State.MET, due.cut_off + HOUR / 4)


def test_new_content_that_some_site_does_not_offer_yet_is_not_met(ledger: Ledger):
    due = ledger.due("crl")
    ledger.publish(due, due.cut_off - DAY, sha256="old")
    ledger.judge(due, due.cut_off + HOUR / 4, sha256="new")
    assert state(ledger, due.publish_by, "crl") is State.LATE
    ledger.publish(due, due.publish_by + HOUR, sha256="new")
    assert state(ledger, due.publish_by + HOUR, "crl") is State.MET_LATE


def test_the_same_content_that_another_machine_compressed_to_other_bytes_is_met(ledger: Ledger):
    due = ledger.due("crl")
    ledger.publish(due, due.cut_off - DAY, sha256="isal 2.30", content="list 7")
    ledger.judge(due, due.cut_off + HOUR / 4, sha256="isal 2.31", content="list 7")
    found = due_status(due, ledger.facts(), due.publish_by)
    assert (found.state, found.published_at) == (State.MET, due.cut_off + HOUR / 4)


@pytest.mark.parametrize("late", [False, True])
def test_what_is_held_over_the_cut_off_is_held_until_its_decision_and_met_by_it(ledger: Ledger, late: bool):
    due, before = ledger.due("crl"), ledger.due("crl", SUNDAY)
    judged, decided = due.cut_off - HOUR, due.publish_by + (HOUR if late else -HOUR / 4)
    ledger.publish(due, due.cut_off - 2 * DAY, sha256="old")
    ledger.judge(due, before.cut_off + HOUR / 4, sha256="old")
    ledger.judge(due, judged, Verdict.HOLD, sha256="new")
    for at in (due.cut_off, due.publish_by + 2 * HOUR):
        assert state(ledger, at, "crl") is State.HELD
    ledger.judged["", due.name].pop()
    ledger.judge(due, judged, Verdict.HOLD, sha256="new", released=True, decided_at=decided)
    ledger.publish(due, decided + SECOND, sha256="new")
    found = due_status(due, ledger.facts(), due.missed_at)
    assert found.published_at == decided + SECOND
    assert found.state is (State.MET_LATE if late else State.MET)
    tomorrow = ledger.due("crl", MONDAY + DAY)
    assert due_status(tomorrow, ledger.facts(), tomorrow.publish_by).state is State.LATE, "it was decided by then"


def test_what_is_judged_with_a_held_file_of_its_set_waits_with_it(ledger: Ledger):
    due, table = ledger.due("anchor_document"), ledger.due("anchor_table")
    judged, decided = due.cut_off - HOUR, due.publish_by + HOUR
    ledger.judge(table, judged, Verdict.HOLD)
    ledger.judge(due, judged, held_with=ledger.judged["", table.name][-1])
    found = due_status(due, ledger.facts(), due.publish_by)
    assert found.state is State.HELD
    assert found.words == f"held by the gate with {table.name}: due {due.publish_by:%Y-%m-%d %H:%M} UTC"

    ledger.judged.clear()
    ledger.judge(table, judged, Verdict.HOLD, released=True, decided_at=decided)
    ledger.judge(due, judged, held_with=ledger.judged["", table.name][-1])
    assert state(ledger, decided, due.obligation.name) is State.LATE
    ledger.publish(due, decided + SECOND)
    assert due_status(due, ledger.facts(), decided + HOUR).words == "met, late by 1 h"


def test_what_was_held_and_replaced_before_the_cut_off_says_nothing_of_the_day(ledger: Ledger):
    due = ledger.due("crl")
    ledger.judge(due, due.cut_off - 2 * HOUR, Verdict.HOLD)
    ledger.judge(due, due.cut_off - HOUR, sha256="newer")
    assert state(ledger, due.publish_by, "crl") is State.LATE


def missing(ledger: Ledger, obligation: str, now) -> list[str]:
    """What the auditor says is missing at an instant."""
    stands = list_stands(ledger.guide.obligation(obligation), ledger.facts(), now, {})
    return [one.item for one in find_late_or_at_risk("primary", stands) if one.kind is Kind.MISSING]


@pytest.mark.parametrize(("obligation", "day"), [("full", SUNDAY), ("crl", MONDAY)])
def test_a_miss_stands_past_the_next_cut_off_until_the_next_file_is_there_or_missing_itself(
    ledger: Ledger, obligation: str, day
):
    ledger.begins["crl", ""] = ledger.due("crl").cut_off - 30 * DAY
    due = ledger.due(obligation, day)
    following = ledger.due(obligation, due.obligation.cut_off.next_day(day))
    for at in (due.publish_by, following.cut_off - SECOND, following.cut_off, following.publish_by - SECOND):
        assert due.label in missing(ledger, obligation, at)
    assert missing(ledger, obligation, following.publish_by) == [following.label]
    ledger.judge(following, following.cut_off + HOUR / 4)
    ledger.publish(following, following.cut_off + HOUR / 4)
    assert missing(ledger, obligation, following.cut_off + HOUR / 2) == []


def test_a_delta_that_never_came_is_missing_past_its_days_until_a_later_full_extract_is_on_every_site(ledger: Ledger):
    ledger.first_day, ledger.sites = SUNDAY, ("primary", "dr")
    due, full = ledger.due("delta"), ledger.due("full", SUNDAY + 7 * DAY)
    for at in (due.publish_by, due.cut_off + 7 * DAY, due.cut_off + 40 * DAY):
        assert due.name in missing(ledger, "delta", at)
    ledger.publish(full, full.cut_off + HOUR)
    assert due.name in missing(ledger, "delta", due.cut_off + 7 * DAY)
    ledger.publish(full, full.cut_off + HOUR, "dr")
    assert due.name in missing(ledger, "delta", due.cut_off + 7 * DAY - SECOND), "it has days on the server left"
    assert due.name not in missing(ledger, "delta", due.cut_off + 7 * DAY)


def test_a_delta_that_retention_has_removed_is_not_missing_on_a_site_that_came_later(ledger: Ledger):
    ledger.first_day = SUNDAY
    due, now = ledger.due("delta"), ledger.due("delta").cut_off + 9 * DAY
    ledger.publish(due, due.cut_off + HOUR, "dr", ended_at=due.cut_off + 8 * DAY)
    assert due.name not in missing(ledger, "delta", now)
    ledger.offered.clear()
    ledger.publish(due, due.cut_off + HOUR, "dr")
    assert due.name in missing(ledger, "delta", now)


def test_nothing_is_due_before_the_repository_holds_anything(ledger: Ledger):
    ledger.first_day = None
    assert state(ledger, ledger.due("delta").missed_at) is State.NOTHING


def test_statuses_begin_with_the_first_day(ledger: Ledger):
    ledger.first_day = SUNDAY
    found = list_due_statuses(ledger.guide, ledger.facts(), SUNDAY - 20 * DAY, MONDAY, ledger.due("delta").cut_off)
    days = {one.due.business_date for one in found if one.due.obligation.name == "delta"}
    assert days == {SUNDAY, MONDAY}


@pytest.mark.parametrize(
    ("length", "words"),
    [(0, "0 min"), (59, "59 min"), (60, "1 h"), (72, "1 h 12 min"), (1440, "1 d"), (1500, "1 d 1 h"), (-5, "0 min")],
)
def test_a_length_of_time_in_words(length: int, words: str):
    assert span(timedelta(minutes=length)) == words
