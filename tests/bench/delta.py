"""A large delta, from the open window to the verified file."""

import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from figures import Figure, figure, rate
from measuring import BrokenError, Measurements, Thing
from repositories import Repository, change_statuses

from smki.repository.windows import find_window

_CHANGED = 375_000  # certificates at the most: a large day


def figures(repository: Repository, folder: Path, measurements: Measurements) -> list[Figure]:
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
            raise BrokenError(f"the {'delta'} of {day} does not hold the {changed:,} certificates that changed")

    return check
