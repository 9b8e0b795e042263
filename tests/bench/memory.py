"""Resident memory of producing and verifying: at N certificates and at another number, to see that it stays."""

from pathlib import Path

from answering import script
from checks import is_the_set
from figures import Figure, Wanted, figure, megabytes
from full import produce_command
from measuring import Measurements, Thing
from repositories import Repository, close, fill, fresh_repository

_MOST = 400_000_000  # octets of one process
_SAME = 1.1  # larger is growth
_FOUR_TIMES_UP_TO = 250_000  # certificates; a larger repository is compared with a quarter of it


def figures(repository: Repository, data: Path, folder: Path, measurements: Measurements) -> list[Figure]:
    """Measures, once each with two workers, and gives the rows.

    Peak resident octets of the largest process of each tree, as the kernel keeps them; a process's part of shared
    libraries is counted. Below 131,072 certificates the smaller one has not a whole segment for each worker.
    """
    certificates = repository.in_use.count
    other_certificates = certificates * 4 if certificates <= _FOUR_TIMES_UP_TO else certificates // 4
    measurements.say(f"memory: lodging {other_certificates:,} certificates")
    other = fresh_repository(data, "bench_memory")
    day = repository.window.business_date
    fill(other, other_certificates, day)
    close(other, day)
    sizes = {certificates: repository, other_certificates: other}
    for count, measured in sizes.items():
        made = folder / f"{count}"
        name = measured.obligation().file_name(day)
        measurements.take(Thing(_name("produce", count), produce_command(measured, made, 2)))
        verify = script("run_verify", "verify", file=made / name, workers=2)
        measurements.take(Thing(_name("verify", count), verify, is_the_set(measured.in_use)))
    other.engine.dispose()
    smaller, larger = sorted(sizes)
    return [
        figure(f"memory of {work}", lambda work=work: _growth(measurements, work, smaller, larger))
        for work in ("produce", "verify")
    ]


def _name(work: str, certificates: int) -> str:
    return f"memory of {work}, {certificates:,} certificates"


def _growth(measurements: Measurements, work: str, smaller: int, larger: int) -> Figure:
    less, more = (measurements[_name(work, count)].peak_rss_bytes for count in (smaller, larger))
    ratio = more / less
    return Figure(
        f"memory of {work}, 2 workers, the largest process",
        f"{megabytes(more)} at {larger:,} certificates",
        f"{megabytes(less)} at {smaller:,}",
        ratio,
        Wanted(f"≤ {megabytes(_MOST)}, ≤ {_SAME:g}", more <= _MOST and ratio <= _SAME),
    )
