"""Renewal: a full extract whose predecessor is there, from the plan to the judged file, in one process of two workers.

Each run has a day of its own, on which one certificate in each of the touched pages changes; the changing and the
closing of the window are not measured. What comes out is held against the windows' own sums.
"""

from datetime import timedelta
from pathlib import Path

from bench.extracts import has_passed, produce_command, verify_command
from bench.measuring import Figure, Measurements, Thing, Wanted, action, figure, megabytes, run_once, seconds
from bench.repositories import Repository, touch_pages

_WANTED_S = {15: 25, 2: 10}  # per cent of pages → seconds at 17.6 million certificates
_MISSION = 17_600_000


def measure(repository: Repository, folder: Path, measurements: Measurements) -> list[Figure]:
    """Measures, and gives the rows: 15 % of the pages touched, as in a week, and 2 %, as in a day."""
    measurements.say("renewal: the first full extract, from scratch")
    made = run_once(Thing("first", produce_command(repository, folder, 2))).result
    run_once(Thing("check", verify_command(folder, made["manifest"])))
    manifest = made["manifest"]
    for percent in _WANTED_S:
        for _ in range(measurements.runs):
            day = repository.window.business_date + timedelta(days=1)
            measurements.say(f"renewal: touching {percent} % of {made['pages']:,} pages")
            touch_pages(repository, percent, day)
            renewed = action(
                "measured", "renew", url=repository.url, day=day, folder=folder, predecessor=manifest, workers=2
            )
            measurements.take(Thing(_name(percent), renewed, has_passed(repository.in_use)))
            manifest = measurements[_name(percent)].result["manifest"]
    certificates = repository.lodged

    def row(percent: int) -> Figure:
        taken = measurements[_name(percent)]
        result, most = taken.result, _WANTED_S[percent]
        parts = " · ".join(f"{part} {result[f'{part}_s']:.1f} s" for part in ("produce", "verify", "gate"))
        kept = f"{result['taken_over']:,} of {result['pages']:,} pages taken over"
        share = result["rendered_bytes"] / result["bytes"]
        return Figure(
            _name(percent),
            f"{seconds(taken)} · {parts} · {megabytes(taken.peak_rss_bytes)}",
            f"{kept}; new: {100 * share:.1f} % of the bytes",
            wanted=Wanted(f"≤ {most} s at 17.6 M", taken.wall_s <= most) if certificates >= _MISSION else None,
        )

    return [figure(_name(percent), lambda percent=percent: row(percent)) for percent in _WANTED_S]


def _name(percent: int) -> str:
    return f"renewal with {percent} % of the pages touched: plan to judged"
