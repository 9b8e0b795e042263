"""Memory of every step, N certificates against four times as many: peak resident bytes of each tree's largest process.

* As the kernel keeps them; a process's part of shared libraries is counted. Each step is measured once, those that
  share their work with two workers.
* A delta has a sixth of the certificates: three million of seventeen. Below 131,072 certificates the smaller repository
  has not a whole segment for each worker.
* What a site is needed for (publish, audit, a Party's copy) is done on a real sshd on loopback, and left out without.
"""

import json
from contextlib import ExitStack
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from bench.extracts import MOST_BYTES, gate_command, has_passed, is_the_set, produce_command, verify_command
from bench.measuring import BrokenError, Figure, Measurements, Thing, Wanted, action, figure, megabytes
from bench.repositories import (
    SEED,
    Repository,
    change_statuses,
    close,
    drop_repository,
    fresh_repository,
    lodged_at,
    settle,
)
from bench.upload import find_sshd, running_sshd

_FOUR_TIMES_UP_TO = 250_000  # certificates; a larger repository is compared with a quarter of it
_OF_A_DAY = ("close", "produce full", "verify full", "gate full", "produce delta", "gate delta", "take over")
_ON_A_SITE = ("publish full", "publish delta", "audit", "a Party's copy", "a Party's next day")
_MOST_MS = 10  # that a question may last
_DAYS_SHARE = 47  # of the certificates one changes in a day: 375,000 of 17.6 million


def measure(repository: Repository, data: Path, folder: Path, measurements: Measurements) -> list[Figure]:
    """Measures, and gives the rows."""
    certificates = repository.lodged
    other_certificates = certificates * 4 if certificates <= _FOUR_TIMES_UP_TO else certificates // 4
    other = fresh_repository(data, "bench_memory")
    first_day = repository.window.business_date
    at = lodged_at(first_day)
    filling = action("measured", "fill", url=other.url, count=other_certificates, seed=SEED, recorded_at=at)
    measurements.take(Thing(_name("lodge", other_certificates), filling))
    settle(other.engine)
    first = action("measured", "close", url=other.url, day=first_day)
    measurements.take(Thing(_name("close the first window", other_certificates), first))
    sizes = {certificates: repository, other_certificates: other}
    program = find_sshd()
    for count, measured in sizes.items():
        with ExitStack() as opened:
            out = folder / f"{count}"
            out.mkdir()
            server = opened.enter_context(running_sshd(out / "sshd", program)) if program else None
            _take_steps(measured, count, data, out, server, measurements)
    other.engine.dispose()
    smaller, larger = sorted(sizes)
    alone = [_name(work, other_certificates) for work in ("lodge", "close the first window")]
    works = _OF_A_DAY + (_ON_A_SITE if program else ())
    return [
        *(figure(name, lambda name=name: _alone(measurements, name)) for name in alone),
        *(
            figure(f"memory of {work}", lambda work=work: _growth(measurements, work, smaller, larger))
            for work in works
        ),
        *(figure(_finding(count), partial(_found, measurements, count)) for count in sizes),
    ]


def _take_steps(
    repository: Repository, count: int, data: Path, folder: Path, server: Any | None, measurements: Measurements
) -> None:
    """One day of a repository, step by step."""
    day = repository.window.business_date + timedelta(days=1)
    measurements.say(f"memory: changing {count // 6:,} of {count:,} certificates")
    change_statuses(repository, count // 6, day)
    measurements.take(Thing(_name("close", count), action("measured", "close", url=repository.url, day=day)))
    manifests = {}
    for obligation, expected in (("full", repository.in_use), ("delta", repository.window.changed)):
        name = _name(f"produce {obligation}", count)
        measurements.take(Thing(name, produce_command(repository, folder, 2, obligation)))
        manifests[obligation] = manifest = measurements[name].result["manifest"]
        if obligation == "full":
            verified = Thing(_name("verify full", count), verify_command(folder, manifest), is_the_set(expected))
            measurements.take(verified)
        judged = gate_command(repository, folder, manifest, obligation)
        measurements.take(Thing(_name(f"gate {obligation}", count), judged, has_passed(expected)))
    taken = fresh_repository(data, "bench_taken")
    taking = action("measured", "take", url=taken.url, folder=folder, manifest=manifests["full"])
    measurements.take(Thing(_name("take over", count), taking, _is(repository.in_use.count)))
    taken.engine.dispose()
    drop_repository(data, "bench_taken")
    if server is not None:
        _take_steps_on_a_site(repository, count, folder, server, manifests, measurements)


def _take_steps_on_a_site(
    repository: Repository,
    count: int,
    folder: Path,
    server: Any,
    manifests: dict[str, str],
    measurements: Measurements,
) -> None:
    party = {"site": json.loads(json.dumps(asdict(server.site), default=str)), "folder": folder}
    common = party | {"url": repository.url}
    for obligation, manifest in manifests.items():
        publishing = action("measured", "publish_stored", **common, manifest=manifest, obligation=obligation)
        measurements.take(Thing(_name(f"publish {obligation}", count), publishing))
    auditing = action("measured", "audit", **common)
    measurements.take(Thing(_name("audit", count), auditing, _has_read_pages))
    copying = action("measured", "copy", **party)
    measurements.take(Thing(_name("a Party's copy", count), copying, _is(str(repository.in_use))))

    day = repository.window.business_date + timedelta(days=1)
    change_statuses(repository, count // _DAYS_SHARE, day)
    close(repository, day)
    made, judged, published = (_name(f"a day's delta {done}", count) for done in ("made", "judged", "published"))
    measurements.take(Thing(made, produce_command(repository, folder, 2, "delta")))
    manifest = measurements[made].result["manifest"]
    judging = gate_command(repository, folder, manifest, "delta")
    measurements.take(Thing(judged, judging, has_passed(repository.window.changed)))
    publishing = action("measured", "publish_stored", **common, manifest=manifest, obligation="delta")
    measurements.take(Thing(published, publishing))
    measurements.take(Thing(_name("a Party's next day", count), copying, _is(str(repository.in_use))))
    measurements.take(Thing(_finding(count), action("measured", "find", folder=folder)))


def _is(expected: object) -> Any:
    def check(result: object) -> None:
        if result != expected:
            raise BrokenError(f"it came to {result}, not {expected}")

    return check


def _has_read_pages(pages: int) -> None:
    if not pages:
        raise BrokenError("it has read no page back")


def _name(work: str, certificates: int) -> str:
    return f"memory of {work}, {certificates:,} certificates"


def _alone(measurements: Measurements, name: str) -> Figure:
    peak = measurements[name].peak_rss_bytes
    return Figure(name, megabytes(peak), wanted=Wanted(f"≤ {megabytes(MOST_BYTES)}", peak <= MOST_BYTES))


def _finding(certificates: int) -> str:
    return f"smki find, {certificates:,} certificates"


def _found(measurements: Measurements, certificates: int) -> Figure:
    found = measurements[_finding(certificates)].result
    shown = f"{found['median_ms']:.1f} ms, at the most {found['most_ms']:.1f} ms, of {found['questions']} questions"
    return Figure(_finding(certificates), shown, wanted=Wanted("≤ 10 ms", found["median_ms"] <= _MOST_MS))


def _growth(measurements: Measurements, work: str, smaller: int, larger: int) -> Figure:
    less, more = (measurements[_name(work, count)] for count in (smaller, larger))
    ratio = more.peak_rss_bytes / less.peak_rss_bytes
    return Figure(
        f"memory of {work}, the largest process",
        f"{megabytes(more.peak_rss_bytes)} at {larger:,} certificates · {more.wall_s:.1f} s",
        f"{megabytes(less.peak_rss_bytes)} at {smaller:,} · {less.wall_s:.1f} s",
        ratio,
        Wanted(f"≤ {megabytes(MOST_BYTES)}", more.peak_rss_bytes <= MOST_BYTES),
    )
