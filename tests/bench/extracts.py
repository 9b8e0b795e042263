"""Extracts: the full extract with its peers, its memory, and a large delta."""

import gzip
import shutil
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from bench.measuring import (
    BrokenError,
    Figure,
    Measurements,
    Thing,
    Wanted,
    action,
    at_least,
    at_most,
    figure,
    megabytes,
    rate,
    run_once,
    seconds,
)
from bench.repositories import Repository, change_statuses, close, fill, fresh_repository
from smki.certificates.set_digest import SetDigest
from smki.repository.windows import find_window

Check = Callable[[Any], None]

TWO, ONE = "produce, 2 workers", "produce, 1 worker"
VERIFY, STREAM = "verify, 2 workers, by the manifest", "verify, 1 pass, without manifest"
CURSOR = "psycopg cursor + lxml xmlfile + gzip -6"
SQL = "SQL + COPY TO STDOUT + pigz -6"
BOUND = "the bound: ADBC read, then igzip, in 1 process"
_MOST = 400_000_000  # bytes of one process
_SAME = 1.1  # larger is growth
_FOUR_TIMES_UP_TO = 250_000  # certificates; a larger repository is compared with a quarter of it
_CHANGED = 375_000  # certificates at the most: a large day


def is_the_set(expected: SetDigest) -> Check:
    """That a verified file holds exactly these certificates (of `verify`)."""

    def check(verified: dict[str, Any]) -> None:
        if (verified["records"], verified["set_digest"]) != (expected.count, str(expected)):
            raise BrokenError(
                f"it holds {verified['records']:,} records that are not the {expected.count:,} certificates"
            )

    return check


def is_the_extract(first: dict[str, Any]) -> Check:
    """That a produced file has the content of the first one, which was verified (of `produce`)."""

    def check(made: dict[str, Any]) -> None:
        if made["content_digest"] != first["content_digest"]:
            raise BrokenError("its content is not that of the first one, which was verified")

    return check


def produce_command(repository: Repository, folder: Path, workers: int) -> list[str]:
    """The command that produces the full extract of the newest window into a folder."""
    day = repository.window.business_date
    return action("measured", "produce", url=repository.url, day=day, folder=folder, workers=workers)


def measure_full(repository: Repository, folder: Path, measurements: Measurements) -> list[Figure]:
    """Measures, and gives the rows. A first production warms the database and is the file that is verified."""
    measurements.say("full extract: warming the database")
    in_use, day = repository.in_use, repository.window.business_date
    made = run_once(Thing("first", produce_command(repository, folder / "first", 2))).result
    file = folder / "first" / made["name"]
    measurements.say("full extract: verifying and inflating it")
    run_once(Thing("check", action("measured", "verify", file=file), is_the_set(in_use)))
    inflated = folder / "xml"
    with gzip.open(file) as packed, inflated.open("wb") as xml:
        shutil.copyfileobj(packed, xml, 1 << 20)
    written = {CURSOR: folder / "cursor_FULL_", SQL: folder / "sql_FULL_"}
    things = [
        Thing(TWO, produce_command(repository, folder / "two", 2), is_the_extract(made)),
        *_peers(repository.url, day, written, file, inflated, made),
        Thing(ONE, produce_command(repository, folder / "one", 1), is_the_extract(made)),
        Thing(VERIFY, action("measured", "verify", file=file, workers=2), is_the_set(in_use)),
        Thing(STREAM, action("measured", "verify", file=file), is_the_set(in_use)),
    ]
    measurements.take_in_turn(things)
    for name, path in written.items():
        measurements.say(f"full extract: verifying what was written by {name}")
        try:
            run_once(Thing("check", action("measured", "verify", file=path), is_the_set(in_use)))
        except BrokenError as error:
            measurements.condemn(name, str(error))
    sizes = f"XML {made['xml_bytes'] / made['records']:.1f} bytes · gzip {made['bytes'] / made['records']:.1f} bytes"
    return [
        figure(TWO, lambda: _production(measurements, in_use.count)),
        figure(CURSOR, lambda: _against(measurements, CURSOR, 7)),
        figure(SQL, lambda: _against(measurements, SQL, 5)),
        figure(BOUND, lambda: _against(measurements, BOUND, 1)),
        figure(VERIFY, lambda: _verification(measurements, VERIFY, in_use.count, wanted=2)),
        figure(STREAM, lambda: _verification(measurements, STREAM, in_use.count)),
        Figure("full extract: size of a certificate", sizes),
    ]


def _peers(
    url: str, day: date, written: dict[str, Path], file: Path, xml: Path, made: dict[str, int | str]
) -> list[Thing]:
    whole = {"records": made["records"], "xml_bytes": made["xml_bytes"]}

    def is_whole(result: dict[str, int]) -> None:
        if result | whole != result:
            raise BrokenError(f"it read {result}, and our full extract has {whole}")

    return [
        Thing(CURSOR, action("peers", "cursor", url=url, day=day, file=written[CURSOR])),
        Thing(SQL, action("peers", "sql", url=url, day=day, file=written[SQL])),
        Thing(BOUND, action("peers", "bound", url=url, day=day, file=file, xml=xml), is_whole),
    ]


def _production(measurements: Measurements, certificates: int) -> Figure:
    two, one = measurements[TWO], measurements[ONE]
    return Figure(
        f"{TWO}: the full extract", rate(certificates, two), f"{ONE}: {seconds(one)}", one.wall_s / two.wall_s
    )


def _against(measurements: Measurements, peer: str, wanted: float) -> Figure:
    ours, theirs = measurements[TWO], measurements[peer]
    ratio = theirs.wall_s / ours.wall_s
    return Figure(f"{TWO}: speed, × peer", seconds(ours), f"{peer}: {seconds(theirs)}", ratio, at_least(ratio, wanted))


def _verification(measurements: Measurements, name: str, certificates: int, wanted: float | None = None) -> Figure:
    ours, production = measurements[name], measurements[TWO]
    ratio = ours.wall_s / production.wall_s
    bound: Wanted | None = None if wanted is None else at_most(ratio, wanted)
    return Figure(f"{name}: time, × {TWO}", rate(certificates, ours), seconds(production), ratio, bound)


def measure_memory(repository: Repository, data: Path, folder: Path, measurements: Measurements) -> list[Figure]:
    """Measures, once each with two workers, and gives the rows.

    Peak resident bytes of the largest process of each tree, as the kernel keeps them; a process's part of shared
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
        verify = action("measured", "verify", file=made / name, workers=2)
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


def measure_delta(repository: Repository, folder: Path, measurements: Measurements) -> list[Figure]:
    """Measures, and gives the row: `smki produce delta` with two workers, as an operator types it.

    It closes the window of a day, produces the delta and verifies it. Each run has a day of its own, on which as many
    certificates, spread over the repository, change between I and N; the changing is not measured.
    """
    certificates = repository.lodged
    changed = min(_CHANGED, certificates)
    name = f"delta of {changed:,} changed certificates"
    for _ in range(measurements.runs):
        day = repository.window.business_date + timedelta(days=1)
        measurements.say(f"changing {changed:,} certificates")
        change_statuses(repository, changed, day)
        out = folder / f"{day}"
        out.mkdir(parents=True)
        arguments = ("produce", "delta", "--date", str(day), "--out", str(out), "--workers", "2", "--json")
        command = [sys.executable, "-m", "smki", *arguments]
        environment = {"SMKI_DATABASE_URL": repository.url}
        measurements.take(Thing(name, command, _holds_the_changed(repository, day, changed), environment))
    return [
        figure(name, lambda: Figure(f"{name}: close the window, produce, verify", rate(changed, measurements[name])))
    ]


def _holds_the_changed(repository: Repository, day: date, changed: int) -> Callable[[dict[str, Any]], None]:
    def check(made: dict[str, Any]) -> None:
        window = find_window(repository.engine, day)
        if made["records"] != changed or made["set digest"] != str(window.changed):
            raise BrokenError(f"the delta of {day} does not hold the {changed:,} certificates that changed")

    return check
