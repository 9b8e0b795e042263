"""What is due when, for any day and any time."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from conftest import CONFIG
from smki.obligations.catalogue import Obligation, UserGuide
from smki.obligations.user_guide import load_user_guide
from smki.watch.due import Due, current_due, due_on_server, list_due, next_due

from .conftest import DAY, MONDAY, SUNDAY

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
def test_seven_deltas_are_offered_and_of_all_else_the_newest(user_guide: UserGuide, now: datetime):
    deltas = due_on_server(user_guide.delta, LONG_AGO, now)
    newest = current_due(user_guide.delta, LONG_AGO, now)
    assert deltas[-1] == newest
    assert [one.business_date for one in deltas] == [deltas[-1].business_date - n * DAY for n in range(6, -1, -1)]
    assert len(due_on_server(user_guide.full, LONG_AGO, now)) == 1


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
