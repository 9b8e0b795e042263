"""Histories of a small repository: certificates that come, change and go, windows that close, clocks in disorder."""

from typing import NamedTuple

from hypothesis import strategies as st
from sqlalchemy import Engine

from builders import change, cut_off, day, during, lodge_bodies, look_alikes
from smki.certificates.model import Status
from smki.repository.status import LEGAL
from smki.repository.windows import close_windows

CERTIFICATES = 9
WINDOWS = 5


class Step(NamedTuple):
    """Something that happens to one certificate: it is lodged with a status, or gets it."""

    certificate: int
    status: Status
    window: int  # of its time
    closes: bool  # whether a window is closed before it


STEPS = st.lists(
    st.builds(
        Step,
        st.integers(0, CERTIFICATES - 1),
        st.sampled_from([Status.PENDING, Status.IN_USE, Status.IN_USE, Status.NOT_IN_USE, Status.EXPIRED]),
        st.integers(1, WINDOWS),
        st.booleans(),
    ),
    min_size=4,
    max_size=25,
)


def live_through(engine: Engine, steps: list[Step]) -> None:
    """Has all of it happen, closes the windows that are left, and goes on a little."""
    bodies = look_alikes(CERTIFICATES)
    latest: dict[int, Status] = {}
    closed = 0
    lodge_bodies(engine, look_alikes(1, seed=2), during(1))  # so that window 1 is that of day 1
    for number, status, window, closes in steps:
        if closes and closed < WINDOWS:
            closed += 1
            close_windows(engine, day(closed), cut_off)
        if number not in latest:
            lodge_bodies(engine, [bodies[number]], during(window), status)
        elif status in LEGAL[latest[number]]:
            change(engine, [bodies[number]], status, during(window))
        else:
            continue
        latest[number] = status
    close_windows(engine, day(WINDOWS), cut_off)
    change(engine, look_alikes(1, seed=2), Status.NOT_IN_USE, during(WINDOWS + 1))
