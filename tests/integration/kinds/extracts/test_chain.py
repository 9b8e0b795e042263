"""A Party's copy: it loads a full extract, then every delta after it, and has what the repository has."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import change, contents_of, cut_off, day, during, in_use, lodge_bodies, look_alikes, produced, state_as_of
from conftest import NewRepository
from smki.certificates.model import Status
from smki.certificates.set_digest import SetDigest
from smki.obligations.catalogue import UserGuide
from smki.repository.status import LEGAL
from smki.repository.windows import close_windows, in_use_digest

CERTIFICATES = 9
WINDOWS = 5
STEPS = st.lists(
    st.tuples(
        st.integers(0, CERTIFICATES - 1),
        st.sampled_from([Status.PENDING, Status.IN_USE, Status.IN_USE, Status.NOT_IN_USE, Status.EXPIRED]),
        st.integers(1, WINDOWS),  # window of its time: clocks are in disorder
        st.integers(0, 1),  # whether a window is closed before it
    ),
    min_size=4,
    max_size=25,
)


@settings(max_examples=10)
@given(steps=STEPS, loaded=st.integers(1, WINDOWS))
def test_full_and_the_deltas_after_it_are_the_repositorys_state(
    new_repository: NewRepository, user_guide: UserGuide, steps: list[tuple[int, Status, int, int]], loaded: int
) -> None:
    engine = new_repository()
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

    with TemporaryDirectory() as name:
        full, _ = produced(engine, user_guide.full, day(loaded), Path(name), segment_certificates=5)
        copy = contents_of(full)
        assert list(copy) == in_use(state_as_of(engine, loaded))
        for window in range(loaded + 1, WINDOWS + 1):
            delta, _ = produced(engine, user_guide.delta, day(window), Path(name), segment_certificates=5)
            copy |= contents_of(delta)
            state = state_as_of(engine, window)
            assert copy.items() <= state.items()
            assert set(in_use(copy)) == set(in_use(state))
            assert SetDigest.of(in_use(copy)) == in_use_digest(engine, window)
