"""Finds certificates that a file holds twice, with flat memory however large the file is.

Each checked piece leaves one 64-bit key a record, sorted. Pieces are compared one range of keys at a time, so that only
a few million keys are in memory at once.
"""

from collections.abc import Sequence

import numpy as np

from smki.verify.record_check import Keys

_KEYS_AT_ONCE = 4_000_000


def repeated_keys(pieces: Sequence[Keys], keys_at_once: int = _KEYS_AT_ONCE) -> Keys:
    """Keys that occur more than once in all pieces together; each piece is sorted (and may be a memory map)."""
    total = sum(len(piece) for piece in pieces)
    ranges = max(1, -(-total // keys_at_once))
    bounds = [(number << 64) // ranges for number in range(ranges)]
    repeated = []
    for low, high in zip(bounds, [*bounds[1:], None], strict=True):
        parts = []
        for piece in pieces:
            start = np.searchsorted(piece, np.uint64(low))
            end = len(piece) if high is None else np.searchsorted(piece, np.uint64(high))
            parts.append(np.asarray(piece[start:end]))
        keys = np.sort(np.concatenate(parts)) if parts else np.empty(0, np.uint64)
        repeated.append(np.unique(keys[1:][keys[1:] == keys[:-1]]))
    return np.concatenate(repeated)
