import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select, text

from builders import change, cut_off, day, during, in_use, lodge_bodies, look_alikes, state_as_of
from conftest import NewRepository
from made_certificates import name, self_made
from smki.certificates.model import Status
from smki.certificates.set_digest import SetDigest
from smki.errors import EarlyWindowError, NotOwedError, WindowError
from smki.gate.checks import OneOf
from smki.kinds.extracts.checks import DELTA, RecordRow
from smki.repository.holdings import changed_after_final, changed_by
from smki.repository.tables import certificate, status_event
from smki.repository.windows import Window, close_windows, find_window, in_use_digest, list_windows
from smki_demo.generator.pki import Pki


def claims(engine: Engine) -> list[tuple[int, int | None]]:
    """(event, window) in order of events."""
    with engine.connect() as connection:
        query = select(status_event.c.id, status_event.c.window_seq).order_by(status_event.c.id)
        return [(row[0], row[1]) for row in connection.execute(query)]


def close(engine: Engine, window: int) -> list[Window]:
    return close_windows(engine, day(window), cut_off)


def check_digests(engine: Engine) -> None:
    """Every window's figures equal what the events themselves say."""
    before: set[bytes] = set()
    for window in list_windows(engine):
        after = set(in_use(state_as_of(engine, window.seq)))
        assert window.entered == SetDigest.of(after - before)
        assert window.departed == SetDigest.of(before - after)
        assert in_use_digest(engine, window.seq) == SetDigest.of(after)
        query = text(
            "SELECT DISTINCT c.id, c.body FROM status_event e JOIN certificate c ON c.id = e.certificate_id "
            "WHERE e.window_seq = :seq"
        )
        with engine.connect() as connection:
            assert window.changed == SetDigest.of(body for _, body in connection.execute(query, {"seq": window.seq}))
        assert window.events == sum(claimed == window.seq for _, claimed in claims(engine))
        before = after


def test_window_of_a_repository_in_which_nothing_was_ever_lodged_is_refused(repository: Engine) -> None:
    with pytest.raises(WindowError, match="repository"):
        close(repository, 1)
    assert list_windows(repository) == []
    assert in_use_digest(repository, 1) == SetDigest()


def test_day_before_anything_was_lodged_has_no_window(repository: Engine) -> None:
    lodge_bodies(repository, look_alikes(1), during(2))
    with pytest.raises(NotOwedError, match=f"window of {day(1)}"):
        close(repository, 1)
    assert list_windows(repository) == []
    assert [(window.seq, window.business_date, window.events) for window in close(repository, 2)] == [(1, day(2), 1)]


def test_file_of_a_day_before_anything_was_lodged_is_not_to_be_had_by_closing_its_window(repository: Engine) -> None:
    lodge_bodies(repository, look_alikes(1), during(3))
    with pytest.raises(NotOwedError, match=f"window of {day(1)}"):
        find_window(repository, day(1))
    with pytest.raises(WindowError) as refused:
        find_window(repository, day(3))
    assert not isinstance(refused.value, NotOwedError)
    assert f"--to {day(3)}" in refused.value.next_step


def test_event_on_the_cut_off_is_in_and_one_a_microsecond_later_is_in_the_next(repository: Engine) -> None:
    first, second = look_alikes(2)
    lodge_bodies(repository, [first], cut_off(day(1)))
    lodge_bodies(repository, [second], cut_off(day(1)) + timedelta(microseconds=1))
    close(repository, 2)
    assert claims(repository) == [(1, 1), (2, 2)]


def test_first_window_is_that_of_the_oldest_event(repository: Engine) -> None:
    lodge_bodies(repository, look_alikes(1), during(3))
    assert [window.business_date for window in close(repository, 5)] == [day(3), day(4), day(5)]


def test_run_that_is_days_late_closes_the_missed_windows_one_by_one(repository: Engine) -> None:
    bodies = look_alikes(4)
    for window, body in enumerate(bodies, 1):
        lodge_bodies(repository, [body], during(window))
    close(repository, 1)
    assert [(window.seq, window.events) for window in close(repository, 4)] == [(2, 1), (3, 1), (4, 1)]
    assert [window.cutoff for window in list_windows(repository)] == [cut_off(day(n)) for n in range(1, 5)]
    check_digests(repository)


def test_closing_a_closed_window_again_changes_nothing(repository: Engine) -> None:
    lodge_bodies(repository, look_alikes(2), during(1))
    closed = close(repository, 2)
    assert close(repository, 2) == []
    assert close(repository, 1) == []
    assert list_windows(repository) == closed


def test_day_before_the_first_window_is_refused_by_name(repository: Engine) -> None:
    lodge_bodies(repository, look_alikes(1), during(3))
    close(repository, 3)
    with pytest.raises(NotOwedError, match=f"window of {day(2)}"):
        close(repository, 2)


def test_cut_off_that_has_not_come_is_refused_and_nothing_is_closed(repository: Engine) -> None:
    lodge_bodies(repository, look_alikes(1))
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    with pytest.raises(WindowError, match=f"window of {tomorrow}"):
        close_windows(repository, tomorrow, cut_off)
    assert list_windows(repository) == []


def test_clock_is_the_databases(repository: Engine) -> None:
    lodge_bodies(repository, look_alikes(1), during(1))
    with pytest.raises(WindowError, match=f"window of {day(1)}"):
        close_windows(repository, day(1), lambda _day: datetime.now(UTC) + timedelta(minutes=1))


def test_window_that_is_not_closed_is_refused_with_the_command_that_closes_it(repository: Engine) -> None:
    with pytest.raises(WindowError, match=f"smki windows close --to {day(1)}"):
        find_window(repository, day(1))


def test_change_that_is_committed_after_the_window_was_closed_is_in_the_next(repository: Engine) -> None:
    bodies = look_alikes(2)
    lodge_bodies(repository, bodies, during(1))
    with repository.begin() as slow:
        insert = "INSERT INTO status_event (certificate_id, status, reason, recorded_at) VALUES (1, 'N', 'slow', :at)"
        slow.execute(text("SELECT 1 FROM certificate WHERE id = 1 FOR UPDATE"))
        slow.execute(text(insert), {"at": during(1, 13)})
        slow.execute(text("UPDATE certificate SET status = 'N' WHERE id = 1"))
        (first,) = close(repository, 1)  # does not wait for the open transaction either
    (second,) = close(repository, 2)
    assert (first.events, second.events) == (2, 1)
    assert second.departed == SetDigest.of(bodies[:1])
    check_digests(repository)


def test_clock_that_steps_back_neither_loses_nor_doubles_an_event(repository: Engine) -> None:
    bodies = look_alikes(1)
    lodge_bodies(repository, bodies, during(1))
    change(repository, bodies, Status.NOT_IN_USE, during(3))  # this clock was ahead
    change(repository, bodies, Status.IN_USE, during(2))
    close(repository, 3)
    assert claims(repository) == [(1, 1), (2, 3), (3, 2)]
    assert state_as_of(repository, 3) == {bodies[0]: "I"}  # what took effect last, whatever clock wrote it
    check_digests(repository)


def test_event_of_a_clock_that_stepped_back_is_no_change_of_a_final_status(
    repository: Engine, signed: list[bytes]
) -> None:
    body = signed[10]
    lodge_bodies(repository, signed, during(1))
    change(repository, [body], Status.NOT_IN_USE, during(3))  # this clock was ahead
    change(repository, [body], Status.REVOKED, during(2))
    close(repository, 3)
    assert [state_as_of(repository, seq)[body] for seq in (1, 2, 3)] == ["I", "R", "R"]
    (moved,) = (row for batch in changed_by(repository, 3) for row in batch.to_pylist())
    assert (moved["before"], moved["after"]) == ("R", "R")
    (moves,) = [check.rule for check in DELTA if check.field is RecordRow.move]
    assert isinstance(moves, OneOf)
    assert "ORGANISATION R→R" in moves.values
    assert changed_after_final(repository, 1, 3, most=10).count == 0
    check_digests(repository)


def test_what_came_back_from_revoked_is_right_again_once_it_is_put_right(
    repository: Engine, signed: list[bytes]
) -> None:
    """The delta of its day has no way out; the full extract of the day on which it was put right is one."""
    lodge_bodies(repository, signed, during(1))
    change(repository, [signed[10]], Status.REVOKED, during(2))
    by_hand = """
        WITH back AS (UPDATE certificate SET status = 'I' WHERE body = :body RETURNING id)
        INSERT INTO status_event (certificate_id, status, reason, recorded_at) SELECT id, 'I', 'by hand', :at FROM back
    """
    with repository.begin() as connection:
        connection.execute(text(by_hand), {"body": signed[10], "at": during(3)})
    change(repository, [signed[10]], Status.REVOKED, during(4))
    close(repository, 4)
    of_deltas = [changed_after_final(repository, seq, seq, most=10).count for seq in (2, 3, 4)]
    of_fulls = [changed_after_final(repository, 1, seq, most=10).count for seq in (2, 3, 4)]
    assert of_deltas == of_fulls == [0, 1, 0]


def test_certificate_that_goes_and_comes_back_within_a_window_neither_enters_nor_leaves(repository: Engine) -> None:
    bodies = look_alikes(3)
    lodge_bodies(repository, bodies, during(1))
    change(repository, bodies[:2], Status.NOT_IN_USE, during(2, 1))
    change(repository, bodies[:1], Status.IN_USE, during(2, 2))
    close(repository, 2)
    second = find_window(repository, day(2))
    assert (second.changed.count, second.entered.count, second.departed.count) == (2, 0, 1)
    check_digests(repository)


def ending(hours: float, number: int = 1) -> bytes:
    """An Organisation Certificate that ends so many hours after window 2 opens."""
    return self_made(
        name("02", None, b"\x02SMKI\x02\x00" + number.to_bytes()),
        name("07", "OCA1"),
        usages=("digital_signature",),
        ca=False,
        serial=0x5E1F_0000 + number,
        not_after=during(2, hours),
    )


def test_what_expires_by_the_cut_off_becomes_expired_in_that_window(repository: Engine) -> None:
    on_the_cut_off, later, removed, pending = (ending(hours, number) for number, hours in enumerate((24, 25, 1, 1), 1))
    lodge_bodies(repository, [on_the_cut_off, later, removed], during(1))
    lodge_bodies(repository, [pending], during(1), Status.PENDING)
    change(repository, [removed], Status.NOT_IN_USE, during(1, 13))
    close(repository, 3)
    first, second, third = (state_as_of(repository, seq) for seq in (1, 2, 3))
    assert first == {on_the_cut_off: "I", later: "I", removed: "N", pending: "P"}
    assert second == {on_the_cut_off: "E", later: "I", removed: "E", pending: "E"}
    assert third == dict.fromkeys(first, "E")
    figures = [(one.events, one.changed.count, one.departed.count) for one in list_windows(repository)]
    assert figures == [(5, 4, 0), (3, 3, 1), (1, 1, 1)]
    check_digests(repository)


def test_certificate_that_has_expired_when_it_is_lodged_is_never_in_use(repository: Engine) -> None:
    lodge_bodies(repository, look_alikes(1), during(1))
    close(repository, 2)
    lodge_bodies(repository, [ending(1)], during(3))  # ended in a window that is closed
    lodge_bodies(repository, [ending(1, 2)], during(2))  # its lodging was committed late
    close(repository, 3)
    third = find_window(repository, day(3))
    assert (third.events, third.changed.count, third.entered.count, third.departed.count) == (4, 2, 0, 0)
    assert sorted(state_as_of(repository, 3).values()) == ["E", "E", "I"]
    check_digests(repository)


@pytest.mark.parametrize(("later", "final"), [(Status.NOT_IN_USE, "E"), (Status.REVOKED, "R"), (Status.EXPIRED, "E")])
def test_window_that_is_closed_late_expires_what_changed_since(repository: Engine, later: Status, final: str) -> None:
    body = ending(1)
    lodge_bodies(repository, [body], during(1))
    change(repository, [body], later, during(4))
    close(repository, 5)
    assert [state_as_of(repository, seq)[body] for seq in (1, 2, 3, 4, 5)] == ["I", *[final] * 4]
    with repository.connect() as connection:
        assert connection.execute(select(certificate.c.status)).scalars().all() == [final]
    assert changed_after_final(repository, 1, 5, most=10).count == 0
    check_digests(repository)


def test_what_never_expires_does_not(repository: Engine, pki: Pki) -> None:
    devices = pki.device_certificates(b"\x02DEVICE\x01", during(1))
    lodge_bodies(repository, [*devices, *look_alikes(1)], during(1))
    close(repository, 2)
    assert set(state_as_of(repository, 2).values()) == {"I"}


def test_cut_off_that_comes_within_seconds_is_waited_for(repository: Engine) -> None:
    today, soon = datetime.now(UTC).date(), datetime.now(UTC) + timedelta(seconds=2)
    lodge_bodies(repository, look_alikes(1), soon - timedelta(hours=1))
    (window,) = close_windows(repository, today, lambda business_date: soon + (business_date - today))
    assert window.closed_at >= window.cutoff == soon


def test_cut_off_that_comes_within_minutes_is_refused_so_that_it_is_tried_again(repository: Engine) -> None:
    lodge_bodies(repository, look_alikes(1), during(1))
    with pytest.raises(EarlyWindowError, match=f"window of {day(1)}"):
        close_windows(repository, day(1), lambda _day: datetime.now(UTC) + timedelta(minutes=2))
    assert list_windows(repository) == []


def test_session_that_is_not_in_utc_closes_the_same_windows(repository: Engine, monkeypatch) -> None:
    lodge_bodies(repository, look_alikes(1), during(2, 0.5))
    monkeypatch.setenv("PGTZ", "America/New_York")  # there it is the day before
    repository.dispose()
    (window,) = close(repository, 2)
    assert (window.business_date, window.cutoff.isoformat()) == (day(2), cut_off(day(2)).isoformat())


def test_two_closers_at_once_close_each_window_once(repository: Engine) -> None:
    for window, body in enumerate(look_alikes(6), 1):
        lodge_bodies(repository, [body], during(window))
    with ThreadPoolExecutor(4) as pool:
        closed = [window for windows in pool.map(lambda _: close(repository, 6), range(4)) for window in windows]
    assert sorted(window.seq for window in closed) == [1, 2, 3, 4, 5, 6]
    assert [window.events for window in list_windows(repository)] == [1] * 6


def test_writers_at_work_while_windows_close_lose_no_event_and_change_no_closed_window(repository: Engine) -> None:
    """Windows of 80 ms by the real clock, closed while four writers lodge and change."""
    bodies = look_alikes(4_000)
    lodge_bodies(repository, look_alikes(1, seed=2))
    today = datetime.now(UTC).date()
    started = datetime.now(UTC) + timedelta(milliseconds=100)

    def soon(business_date: date) -> datetime:
        return started + (business_date - today) * 80 / timedelta(days=1) * timedelta(milliseconds=1)

    stop = threading.Event()

    def write(writer: int) -> int:
        written = 0
        mine = bodies[writer::4]
        while not stop.is_set() and mine:
            batch, mine = mine[:5], mine[5:]
            lodge_bodies(repository, batch, status=Status.PENDING)
            change(repository, batch[:3], Status.IN_USE)
            change(repository, batch[:1], Status.NOT_IN_USE)
            written += 9
        return written

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, number) for number in range(4)]
        seen: dict[int, int] = {}
        for number in range(20):
            business_date = today + timedelta(days=number)
            time.sleep(max(0.0, (soon(business_date) - datetime.now(UTC)).total_seconds() + 0.002))
            close_windows(repository, business_date, soon)
            claimed = {event: window for event, window in claims(repository) if window is not None}
            assert claimed.items() >= seen.items()
            seen = claimed
        stop.set()
        written = 1 + sum(writer.result() for writer in writers)
    while any(window is None for _, window in claims(repository)):
        business_date += timedelta(days=1)
        time.sleep(max(0.0, (soon(business_date) - datetime.now(UTC)).total_seconds() + 0.002))
        close_windows(repository, business_date, soon)

    windows = list_windows(repository)
    assert [window.seq for window in windows] == list(range(1, len(windows) + 1))
    assert sum(window.events for window in windows) == written == len(claims(repository))
    assert sum(window.events > 0 for window in windows) > 10  # the writers did work meanwhile
    check_digests(repository)


def test_closing_waits_for_no_writer(repository: Engine) -> None:
    lodge_bodies(repository, look_alikes(2), during(1))
    with repository.begin() as writer:
        writer.execute(text("SET statement_timeout = '5s'"))  # held for the test's own time only
        writer.execute(text("SELECT * FROM certificate FOR UPDATE"))
        assert [window.events for window in close(repository, 1)] == [2]


@settings(max_examples=12)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from("PIN"), st.integers(0, 7), st.integers(1, 4), st.booleans()), min_size=1, max_size=14
    )
)
def test_digests_of_any_history_are_those_of_its_events(
    repository_again: NewRepository, steps: list[tuple[str, int, int, bool]]
) -> None:
    """Steps: status, certificate, window of its time (clocks in disorder), whether a window is closed after it."""
    engine = repository_again()
    bodies = look_alikes(8)
    latest: dict[int, Status] = {}
    closed = 0
    for letter, number, window, close_now in steps:
        status = Status(letter)
        if number not in latest:
            lodge_bodies(engine, [bodies[number]], during(window), status)
        elif status is not latest[number] and status is not Status.PENDING:
            change(engine, [bodies[number]], status, during(window))
        else:
            continue
        latest[number] = status
        if close_now:
            closed = max(closed, window) + (1 if closed >= window else 0)
            close(engine, closed)
    close(engine, max(closed, 4) + 1)
    check_digests(engine)
    with engine.connect() as connection:
        unclaimed = select(func.count()).select_from(status_event).where(status_event.c.window_seq.is_(None))
        assert connection.execute(unclaimed).scalar_one() == 0
    assert state_as_of(engine, 99) == {bodies[n]: status for n, status in latest.items()}
