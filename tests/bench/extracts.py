"""Extracts: the full extract with its peers, and a large delta."""

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
from bench.repositories import Repository, change_statuses
from smki.certificates.set_digest import SetDigest
from smki.repository.windows import find_window

Check = Callable[[Any], None]

TWO, ONE = "produce, 2 workers", "produce, 1 worker"
VERIFY, STREAM = "verify, 2 workers, page by page", "verify, 1 pass, without manifest"
CURSOR = "psycopg cursor + lxml xmlfile + gzip -6"
SQL = "SQL + COPY TO STDOUT + pigz -6"
BOUND = "the bound: ADBC read, then igzip, in 1 process"
MOST_BYTES = 400_000_000  # of one process
_MOST_S = 10.0  # of closing a large day's window, and of its delta's gate
CHANGED = 375_000  # certificates at the most: a large day


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


def produce_command(repository: Repository, folder: Path, workers: int, obligation: str = "full") -> list[str]:
    """The command that produces an extract of the newest window into a folder."""
    day = repository.window.business_date
    return action(
        "measured", "produce", url=repository.url, day=day, folder=folder, workers=workers, obligation=obligation
    )


def verify_command(folder: Path, manifest: str) -> list[str]:
    """The command that verifies an extract in the store of a folder."""
    return action("measured", "verify_stored", folder=folder, manifest=manifest, workers=2)


def gate_command(repository: Repository, folder: Path, manifest: str, obligation: str = "full") -> list[str]:
    """The command that verifies and judges the extract of the newest window, which lies in the store of a folder."""
    day = repository.window.business_date
    return action(
        "measured",
        "gate",
        url=repository.url,
        day=day,
        folder=folder,
        manifest=manifest,
        workers=2,
        obligation=obligation,
    )


def has_passed(expected: SetDigest) -> Check:
    """That a judged file holds exactly these certificates, and passes (of `gate`)."""

    def check(judged: dict[str, Any]) -> None:
        is_the_set(expected)(judged)
        if judged["verdict"] != "PASS":
            raise BrokenError(f"its verdict is {judged['verdict']}: {'; '.join(judged['failed'])}")

    return check


def measure_full(repository: Repository, folder: Path, measurements: Measurements) -> list[Figure]:
    """Measures, and gives the rows. A first production warms the database and is the file that is verified."""
    measurements.say("full extract: warming the database")
    in_use, day = repository.in_use, repository.window.business_date
    first = folder / "first"
    made = run_once(Thing("first", produce_command(repository, first, 2))).result
    file = Path(run_once(Thing("write", action("measured", "write", folder=first, manifest=made["manifest"]))).result)
    measurements.say("full extract: verifying and inflating it")
    run_once(Thing("check", action("measured", "verify", file=file), is_the_set(in_use)))
    inflated = folder / "xml"
    with gzip.open(file) as packed, inflated.open("wb") as xml:
        shutil.copyfileobj(packed, xml, 1 << 20)
    written = {CURSOR: folder / "cursor_FULL_", SQL: folder / "sql_FULL_"}
    things = [
        Thing(TWO, produce_command(repository, folder / "two", 2), is_the_extract(made)),
        *_peers(repository.url, day, written, inflated, made),
        Thing(ONE, produce_command(repository, folder / "one", 1), is_the_extract(made)),
        Thing(VERIFY, verify_command(first, made["manifest"]), is_the_set(in_use)),
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


def _peers(url: str, day: date, written: dict[str, Path], xml: Path, made: dict[str, int | str]) -> list[Thing]:
    whole = {"records": made["records"], "xml_bytes": made["xml_bytes"]}

    def is_whole(result: dict[str, int]) -> None:
        if result | whole != result:
            raise BrokenError(f"it read {result}, and our full extract has {whole}")

    return [
        Thing(CURSOR, action("peers", "cursor", url=url, day=day, file=written[CURSOR])),
        Thing(SQL, action("peers", "sql", url=url, day=day, file=written[SQL])),
        Thing(BOUND, action("peers", "bound", url=url, day=day, xml=xml), is_whole),
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


def measure_delta(repository: Repository, folder: Path, measurements: Measurements) -> list[Figure]:
    """Measures, and gives the rows: the window of a day is closed, its delta produced, verified and judged.

    Each run has a day of its own, on which as many certificates, spread over the repository, change between I and N;
    the changing is not measured.
    """
    changed = min(CHANGED, repository.lodged)
    name = f"delta of {changed:,} changed certificates"
    closed, produced, judged = f"{name}: close the window", f"{name}: produce, verify", f"{name}: gate"
    for _ in range(measurements.runs):
        day = repository.window.business_date + timedelta(days=1)
        measurements.say(f"changing {changed:,} certificates")
        change_statuses(repository, changed, day)
        measurements.take(Thing(closed, action("measured", "close", url=repository.url, day=day)))
        out = folder / f"{day}"
        out.mkdir(parents=True)
        arguments = ("produce", "delta", "--date", str(day), "--out", str(out), "--workers", "2", "--json")
        command = [sys.executable, "-m", "smki", *arguments]
        environment = {"SMKI_DATABASE_URL": repository.url, "SMKI_STORE": str(out / "store")}
        measurements.take(Thing(produced, command, _holds_the_changed(repository, day, changed), environment))
        gate = gate_command(repository, out, measurements[produced].result["manifest"], "delta")
        measurements.take(Thing(judged, gate, has_passed(repository.window.changed)))

    def closing() -> Figure:
        taken = measurements[closed]
        return Figure(closed, rate(changed, taken), wanted=Wanted("≤ 10 s", taken.wall_s <= _MOST_S))

    def gate_alone() -> Figure:
        taken = measurements[judged]
        gate_s = taken.result["gate_s"]
        return Figure(
            f"{judged}, the verification apart",
            f"{gate_s:.2f} s · {megabytes(taken.peak_rss_bytes)}",
            f"with it {seconds(taken)}",
            wanted=Wanted(
                f"≤ 10 s, ≤ {megabytes(MOST_BYTES)}", gate_s <= _MOST_S and taken.peak_rss_bytes <= MOST_BYTES
            ),
        )

    return [
        figure(closed, closing),
        figure(produced, lambda: Figure(produced, rate(changed, measurements[produced]))),
        figure(judged, gate_alone),
    ]


def _holds_the_changed(repository: Repository, day: date, changed: int) -> Callable[[dict[str, Any]], None]:
    def check(made: dict[str, Any]) -> None:
        window = find_window(repository.engine, day)
        if made["records"] != changed or made["set digest"] != str(window.changed):
            raise BrokenError(f"the delta of {day} does not hold the {changed:,} certificates that changed")

    return check
