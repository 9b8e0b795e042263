"""Set digest: a fingerprint of a set of certificates that does not depend on order and can be added and subtracted.

The four little-endian 64-bit lanes of SHA-256(DER) of each certificate, each lane summed modulo 2^64, with the count.
So digest(A ∪ B) = digest(A) + digest(B) for disjoint sets, and what entered and left a set moves its digest exactly.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

_MASK = (1 << 64) - 1
_TEXT = re.compile("(0|-?[1-9][0-9]*):[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class SetDigest:
    """Count and lane sums of a set of certificates."""

    count: int = 0
    lanes: tuple[int, int, int, int] = (0, 0, 0, 0)  # each 0 … 2^64−1

    @classmethod
    def of(cls, bodies: Iterable[bytes | memoryview]) -> "SetDigest":
        """Digest of the certificates whose DER bytes are given."""
        sha256 = hashlib.sha256
        return cls.of_hashes([sha256(body).digest() for body in bodies])

    @classmethod
    def of_hashes(cls, hashes: Iterable[bytes]) -> "SetDigest":
        """Digest of the certificates whose SHA-256 values are given, 32 bytes each, one or more in an item."""
        lanes = np.frombuffer(b"".join(hashes), dtype="<u8").reshape(-1, 4)
        first, second, third, fourth = (int(lane) for lane in lanes.sum(axis=0, dtype=np.uint64))
        return cls(len(lanes), (first, second, third, fourth))

    def __add__(self, other: "SetDigest") -> "SetDigest":
        a, b, c, d = ((x + y) & _MASK for x, y in zip(self.lanes, other.lanes, strict=True))
        return SetDigest(self.count + other.count, (a, b, c, d))

    def __sub__(self, other: "SetDigest") -> "SetDigest":
        a, b, c, d = ((x - y) & _MASK for x, y in zip(self.lanes, other.lanes, strict=True))
        return SetDigest(self.count - other.count, (a, b, c, d))

    def __str__(self) -> str:
        return f"{self.count}:" + "".join(f"{lane:016x}" for lane in self.lanes)

    @classmethod
    def parse(cls, text: str) -> "SetDigest":
        """The digest that `str` wrote. Raises ValueError for anything else."""
        if not _TEXT.fullmatch(text):
            raise ValueError(f"not a set digest: {text!r}")
        count, _, lanes = text.partition(":")
        a, b, c, d = (int(lanes[i : i + 16], 16) for i in range(0, 64, 16))
        return cls(int(count), (a, b, c, d))
