"""A Party's copy: it loads a full extract, then every delta after it, and has what the repository has."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import SMALL_PAGES, contents_of, day, in_use, produced, state_as_of
from conftest import NewRepository
from integration.kinds.extracts.histories import STEPS, WINDOWS, Step, live_through
from smki.certificates.set_digest import SetDigest
from smki.obligations.catalogue import UserGuide
from smki.repository.windows import in_use_digest


@settings(max_examples=10)
@given(steps=STEPS, loaded=st.integers(1, WINDOWS))
def test_full_and_the_deltas_after_it_are_the_repositorys_state(
    repository_again: NewRepository, user_guide: UserGuide, steps: list[Step], loaded: int
) -> None:
    engine = repository_again()
    live_through(engine, steps)
    with TemporaryDirectory() as name:
        full, _ = produced(engine, user_guide.full, day(loaded), Path(name), page_format=SMALL_PAGES)
        copy = contents_of(full)
        assert list(copy) == in_use(state_as_of(engine, loaded))
        for window in range(loaded + 1, WINDOWS + 1):
            delta, _ = produced(engine, user_guide.delta, day(window), Path(name), page_format=SMALL_PAGES)
            copy |= contents_of(delta)
            state = state_as_of(engine, window)
            assert copy.items() <= state.items()
            assert set(in_use(copy)) == set(in_use(state))
            assert SetDigest.of(in_use(copy)) == in_use_digest(engine, window)
