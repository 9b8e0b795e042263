"""Renewal: a full extract whose predecessor is there, from the plan to the judged file, in one process of two workers.

* Each run has a day of its own, on which one certificate in each of the touched pages changes; the changing and the
  closing of the window are not measured. What comes out is held against the windows' own sums.
* Where there is an sshd, each is published on it over loopback, the first one before all others; the server copies what
  it has of the one before.
"""

import json
from contextlib import ExitStack
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

from bench.extracts import gate_command, has_passed, produce_command
from bench.measuring import Figure, Measured, Measurements, Thing, Wanted, action, figure, megabytes, run_once
from bench.repositories import Repository, touch_pages
from bench.upload import find_sshd, running_sshd

_WANTED_S = {15: (25, 40), 2: (10, 20)}  # per cent of pages → seconds at 17.6 million certificates: judged, published
_MOST_SENT = {15: 0.20}  # of a file's bytes
_MISSION = 17_600_000


def measure(repository: Repository, folder: Path, measurements: Measurements) -> list[Figure]:
    """Measures, and gives the rows: 15 % of the pages touched, as in a week, and 2 %, as in a day."""
    measurements.say("renewal: the first full extract, from scratch")
    manifest = run_once(Thing("first", produce_command(repository, folder, 2))).result["manifest"]
    run_once(Thing("check", gate_command(repository, folder, manifest), has_passed(repository.in_use)))
    with ExitStack() as opened:
        site: dict[str, Any] | None = None
        if program := find_sshd():
            server = opened.enter_context(running_sshd(folder / "sshd", program))
            site = json.loads(json.dumps(asdict(server.site), default=str))
            common = {"url": repository.url, "site": site, "folder": folder}
            publishing = action("measured", "publish_stored", **common, manifest=manifest, obligation="full")
            run_once(Thing("publish", publishing))
        for percent in _WANTED_S:
            for _ in range(measurements.runs):
                day = repository.window.business_date + timedelta(days=1)
                measurements.say(f"renewal: touching {percent} % of the pages")
                touch_pages(repository, percent, day)
                common = {"url": repository.url, "day": day, "folder": folder, "site": site}
                renewing = action("measured", "renew", **common, predecessor=manifest, workers=2)
                measurements.take(Thing(_name(percent), renewing, has_passed(repository.in_use)))
                manifest = measurements[_name(percent)].result["manifest"]
    at_full_size = repository.lodged >= _MISSION
    works = (_judged, _published) if site else (_judged,)
    return [
        figure(
            _name(percent), lambda percent=percent, row=row: row(measurements[_name(percent)], percent, at_full_size)
        )
        for percent in _WANTED_S
        for row in works
    ]


def _judged(taken: Measured, percent: int, at_full_size: bool) -> Figure:
    result, most = taken.result, _WANTED_S[percent][0]
    wall_s = median(sample.wall_s - sample.result["publish_s"] for sample in taken.samples)
    parts = " · ".join(f"{part} {result[f'{part}_s']:.1f} s" for part in ("produce", "verify", "gate"))
    return Figure(
        f"{_name(percent)}: plan to judged",
        f"{wall_s:.2f} s · {parts} · {megabytes(taken.peak_rss_bytes)}",
        f"{result['taken_over']:,} of {result['pages']:,} pages taken over",
        wanted=Wanted(f"≤ {most} s at 17.6 M", wall_s <= most) if at_full_size else None,
    )


def _published(taken: Measured, percent: int, at_full_size: bool) -> Figure:
    result, most, most_sent = taken.result, _WANTED_S[percent][1], _MOST_SENT.get(percent, 1.0)
    share = result["sent_bytes"] / result["bytes"]
    return Figure(
        f"{_name(percent)}: plan to published on sshd over loopback",
        f"{taken.wall_s:.2f} s · publish {result['publish_s']:.1f} s",
        f"{100 * share:.1f} % of {megabytes(result['bytes'])} sent",
        wanted=Wanted(f"≤ {most} s, ≤ {100 * most_sent:g} % sent", taken.wall_s <= most and share <= most_sent)
        if at_full_size
        else None,
    )


def _name(percent: int) -> str:
    return f"renewal with {percent} % of the pages touched"
