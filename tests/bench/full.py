"""The full extract: production, its peers on the same database, and verification, all in the same rounds."""

import gzip
import shutil
from datetime import date
from pathlib import Path

from answering import script
from checks import is_the_extract, is_the_set
from figures import Figure, Wanted, at_least, at_most, figure, rate, seconds
from measuring import BrokenError, Measurements, Thing, run_once
from repositories import Repository

TWO, ONE = "produce, 2 workers", "produce, 1 worker"
VERIFY, STREAM = "verify, 2 workers, by the manifest", "verify, 1 pass, without manifest"
CURSOR = "psycopg cursor + lxml xmlfile + gzip -6"
SQL = "SQL + COPY TO STDOUT + pigz -6"
BOUND = "the bound: ADBC read, then igzip, in 1 process"


def produce_command(repository: Repository, folder: Path, workers: int) -> list[str]:
    """The command that produces the full extract of the newest window into a folder."""
    day = repository.window.business_date
    return script("run_produce", "produce", url=repository.url, day=day, folder=folder, workers=workers)


def figures(repository: Repository, folder: Path, measurements: Measurements) -> list[Figure]:
    """Measures, and gives the rows. A first production warms the database and is the file that is verified."""
    measurements.say("full extract: warming the database")
    in_use, day = repository.in_use, repository.window.business_date
    made = run_once(Thing("first", produce_command(repository, folder / "first", 2))).result
    file = folder / "first" / made["name"]
    measurements.say("full extract: verifying and inflating it")
    run_once(Thing("check", script("run_verify", "verify", file=file), is_the_set(in_use)))
    inflated = folder / "xml"
    with gzip.open(file) as packed, inflated.open("wb") as xml:
        shutil.copyfileobj(packed, xml, 1 << 20)
    written = {CURSOR: folder / "cursor_FULL_", SQL: folder / "sql_FULL_"}
    things = [
        Thing(TWO, produce_command(repository, folder / "two", 2), is_the_extract(made)),
        *_peers(repository.url, day, written, file, inflated, made),
        Thing(ONE, produce_command(repository, folder / "one", 1), is_the_extract(made)),
        Thing(VERIFY, script("run_verify", "verify", file=file, workers=2), is_the_set(in_use)),
        Thing(STREAM, script("run_verify", "verify", file=file), is_the_set(in_use)),
    ]
    measurements.take_in_turn(things)
    for name, path in written.items():
        measurements.say(f"full extract: verifying what was written by {name}")
        try:
            run_once(Thing("check", script("run_verify", "verify", file=path), is_the_set(in_use)))
        except BrokenError as error:
            measurements.condemn(name, str(error))
    sizes = f"XML {made['xml_bytes'] / made['records']:.1f} octets · gzip {made['bytes'] / made['records']:.1f} octets"
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
        Thing(CURSOR, script("run_peer", "cursor", url=url, day=day, file=written[CURSOR])),
        Thing(SQL, script("run_peer", "sql", url=url, day=day, file=written[SQL])),
        Thing(BOUND, script("run_peer", "bound", url=url, day=day, file=file, xml=xml), is_whole),
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
