from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import full_disk
from smki.errors import StoreError
from smki.verify.marks import repeated_keys

TOP = (1 << 64) - 1
KEYS = st.sampled_from([0, 1, 1 << 62, 1 << 63, (1 << 63) - 1, TOP - 1, TOP]) | st.integers(0, TOP)


@given(pieces=st.lists(st.lists(KEYS, max_size=20), max_size=6))
def test_repeated_keys_are_those_that_a_count_finds(pieces: list[list[int]]) -> None:
    counts = Counter(key for piece in pieces for key in piece)
    found = repeated_keys([np.sort(np.array(piece, np.uint64)) for piece in pieces])
    assert found.tolist() == sorted(key for key, count in counts.items() if count > 1)


def test_full_disk_is_an_error_of_the_disk() -> None:
    with full_disk(), pytest.raises(StoreError):
        repeated_keys([np.arange(100, dtype=np.uint64)])


def test_one_repeated_key_among_millions_in_many_pieces_is_found() -> None:
    keys = np.random.default_rng(1).integers(1 << 64, size=5_000_000, dtype=np.uint64)
    keys[4_999_999] = keys[0]
    assert repeated_keys([np.sort(piece) for piece in np.split(keys, 10)]).tolist() == [keys[0]]
