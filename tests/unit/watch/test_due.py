"""What is due when, for any day and any time."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

from hypothesis import given
from hypothesis import strategies as st

from conftest import CONFIG
from smki.obligations.catalogue import Obligation, PublishTime, UserGuide
from smki.obligations.user_guide import load_user_guide
from smki.watch.due import Due, current_due, due_on_server, list_due, next_due
from smki.watch.due_status import State, list_stands

from .conftest import DAY, MONDAY, SUNDAY, Ledger

INSTANTS = st.datetimes(datetime(2025, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # st wants naive bounds
OBLIGATIONS = st.sampled_from(load_user_guide(CONFIG).all)
LONG_AGO = date(2024, 1, 1)


@given(OBLIGATIONS, INSTANTS)
def test_current_and_next_due_are_one_interval_apart_with_now_between_their_cut_offs(
    obligation: Obligation, now: datetime
):
    current, following = current_due(obligation, LONG_AGO, now), next_due(obligation, now)
    assert current is not None
    assert current.cut_off <= now < following.cut_off
    assert current.next_cut_off == following.cut_off
    assert obligation.cut_off.previous_day(following.business_date) == current.business_date
    assert obligation.cut_off.falls_on(current.business_date)
    assert obligation.cut_off.falls_on(following.business_date)


@given(OBLIGATIONS, INSTANTS)
def test_times_of_a_due_file_come_in_order(obligation: Obligation, now: datetime):
    due = next_due(obligation, now)
    assert due.cut_off < due.warn_at < due.publish_by < due.missed_at


@given(INSTANTS)
def test_seven_deltas_are_due_and_of_all_else_the_newest_and_until_its_publish_by_the_one_before(
    user_guide: UserGuide, now: datetime
):
    deltas = due_on_server(user_guide.delta, LONG_AGO, now)
    newest = current_due(user_guide.delta, LONG_AGO, now)
    assert deltas[-1] == newest
    assert [one.business_date for one in deltas] == [deltas[-1].business_date - n * DAY for n in range(6, -1, -1)]
    for one in (user_guide.full, user_guide.obligation("crl")):
        *before, last = due_on_server(one, LONG_AGO, now)
        assert last == current_due(one, LONG_AGO, now)
        assert [due.missed_at for due in before] == ([last.publish_by] if now < last.publish_by else [])


def test_a_file_whose_publish_by_is_after_the_next_cut_off_is_late_from_then_on(ledger: Ledger):
    crl = replace(ledger.guide.obligation("crl"), publish_time=PublishTime(time(2), days_after=1))
    ledger.begins[crl.key] = crl.cut_off.at(MONDAY - 30 * DAY)
    publish_by = crl.publish_by(MONDAY)
    assert Due(crl, MONDAY).next_cut_off < publish_by
    for at, expected in (
        (publish_by - timedelta(seconds=1), State.AT_RISK),
        (publish_by, State.LATE),
        (publish_by + DAY - timedelta(seconds=1), State.LATE),
    ):
        stands = {one.due.business_date: one.state for one in list_stands(crl, ledger.facts(), at, {})}
        assert stands[MONDAY] is expected
    assert MONDAY not in {one.due.business_date for one in list_stands(crl, ledger.facts(), publish_by + DAY, {})}


def test_nothing_is_due_before_the_first_day(user_guide: UserGuide):
    cut_off = user_guide.delta.cut_off.at(MONDAY)
    assert current_due(user_guide.delta, MONDAY, cut_off - timedelta(seconds=1)) is None
    assert due_on_server(user_guide.delta, MONDAY, cut_off - timedelta(seconds=1)) == []
    assert due_on_server(user_guide.delta, MONDAY, cut_off) == [Due(user_guide.delta, MONDAY)]
    assert len(due_on_server(user_guide.delta, MONDAY, cut_off + 3 * DAY)) == 4


def test_a_full_extract_is_due_on_its_weekday_only(user_guide: UserGuide):
    found = list(list_due(user_guide.full, SUNDAY - 10 * DAY, SUNDAY + 10 * DAY))
    assert [one.business_date for one in found] == [SUNDAY - 7 * DAY, SUNDAY, SUNDAY + 7 * DAY]


def test_a_file_without_a_date_is_named_with_its_day(user_guide: UserGuide):
    assert Due(user_guide.delta, MONDAY).label == f"SMKIKR_DELT_{MONDAY}.xml.gz"
    crl = Due(user_guide.obligation("crl"), MONDAY)
    assert crl.label == f"{crl.name} of {MONDAY}"
