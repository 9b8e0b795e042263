"""Measured processes: generating look-alikes, and lodging them."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from answering import answer
from bodies import read_bodies

from smki.repository import lodging
from smki.repository.database import open_engine
from smki_demo.generator.volume import volume_bodies


def generate(count: int, seed: int) -> int:
    """`volume_bodies` alone, into Arrow arrays that nobody keeps; how many."""
    return sum(len(bodies) for bodies in volume_bodies(count, seed=seed))


def lodge(url: str, bodies: str, recorded_at: str) -> int:
    """`lodge` of prepared DER bodies, read from a file, into an empty repository; how many were lodged."""
    at = datetime.fromisoformat(recorded_at)

    def offers() -> Iterator[lodging.Lodgement]:
        for body in read_bodies(Path(bodies)):
            yield lodging.Lodgement(body, "measured", recorded_at=at)

    return lodging.lodge(open_engine(url), offers()).lodged


if __name__ == "__main__":
    answer(generate, lodge)
