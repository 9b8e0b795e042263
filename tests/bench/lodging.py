"""Lodging look-alikes into fresh repositories of one server."""

from collections.abc import Callable
from pathlib import Path

from answering import script
from bodies import write_bodies
from figures import Figure, figure, rate
from measuring import BrokenError, Measurements, Thing
from repositories import SEED, Repository, close, first_day, lodged_at

from smki_demo.generator.volume import volume_bodies

_LODGE, _GENERATE = "lodge", "volume_bodies"


def figures(
    new_repository: Callable[[], Repository], folder: Path, certificates: int, measurements: Measurements
) -> list[Figure]:
    """Measures, and gives the rows; what the last run lodged stays, and its window is closed.

    The bodies are made beforehand and lie in a file as DER, so that nothing but lodging is measured: reading them and
    their fields, COPY, the rows and their indexes, and the statistics at the end.
    """
    measurements.say(f"preparing {certificates:,} bodies")
    bodies = folder / "bodies"
    write_bodies(bodies, (body for batch in volume_bodies(certificates, seed=SEED) for body in batch.to_pylist()))

    def all_of_them(count: int) -> None:
        if count != certificates:
            raise BrokenError(f"{count:,} certificates came of {certificates:,}")

    for _ in range(measurements.runs):
        repository = new_repository()
        generate = script("run_lodging", "generate", count=certificates, seed=SEED)
        lodge = script("run_lodging", "lodge", url=repository.url, bodies=bodies, recorded_at=lodged_at(first_day()))
        measurements.take(Thing(_GENERATE, generate, all_of_them))
        measurements.take(Thing(_LODGE, lodge, all_of_them))
    close(repository, first_day())
    return [
        figure(_LODGE, lambda: Figure("lodge, 1 process, DER from a file", rate(certificates, measurements[_LODGE]))),
        figure(_GENERATE, lambda: Figure("volume_bodies alone", rate(certificates, measurements[_GENERATE]))),
    ]
