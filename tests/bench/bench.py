"""`make bench`: measures the publisher against peers in the same run, on this machine.

    python tests/bench/bench.py --certificates N [--runs 3] [--only PART…] [--keep]

* It works on an embedded PostgreSQL of its own below `var/bench`, filled with N look-alikes.
* A measured thing is a process of its own, seen from outside (see `observing`), its Python start included. Things that
  are compared run in turn (A B C A B C), and medians of `--runs` runs are compared. What a thing wrote is checked.
* The table is printed; the same figures, the machine and all single values go to `var/bench.json`.

Exit status 1 when a part broke or its content was wrong; never because of a time.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import delta
import full
import gating
import lodging
import machine
import memory
import scheduling
import uploading
from figures import Figure, print_figures
from measuring import Measurements
from repositories import (
    Repository,
    close,
    embedded_postgres,
    fill,
    find_repository,
    first_day,
    fresh_repository,
    postgresql_version,
    remove,
)
from rich.console import Console

from smki.settings import Settings

_DATABASE = "bench"
_PARTS = ("lodge", "full", "gate", "memory", "delta", "upload", "airflow")


class Bench:
    """What is measured in one call, and what has come out so far."""

    def __init__(self, folder: Path, certificates: int, runs: int) -> None:
        self.figures: list[Figure] = []
        self.measurements = Measurements(runs, self._say)
        self.airflow: dict[str, Any] = {}  # the run and its tasks
        self.postgresql = ""  # version
        self._folder, self._certificates = folder, certificates
        self._data = folder / "postgres"
        self._begun = time.monotonic()
        self._progress = Console(stderr=True, highlight=False)

    def measure(self, parts: Sequence[str]) -> None:
        """Measures the parts in order; one that breaks becomes a row with its error, and the others go on."""
        work: dict[str, Callable[[Path], list[Figure]]] = {
            "lodge": self._lodge,
            "full": lambda out: full.figures(self._repository, out, self.measurements),
            "gate": lambda out: gating.figures(self._repository, out, self.measurements),
            "memory": lambda out: memory.figures(self._repository, self._data, out, self.measurements),
            "delta": lambda out: delta.figures(self._repository, out, self.measurements),
            "upload": lambda out: uploading.figures(out, self.measurements),
            "airflow": self._schedule,
        }
        with embedded_postgres(self._data):
            self.postgresql = postgresql_version(self._data)
            for part, measured in work.items():
                if part in parts:
                    self._attempt(part, measured)

    @property
    def _repository(self) -> Repository:
        """The repository; filled here, its first window closed, where neither a part nor an earlier call did that."""
        repository = find_repository(self._data, _DATABASE, self._certificates)
        if repository is None:
            self._say(f"lodging {self._certificates:,} certificates")
            repository = fresh_repository(self._data, _DATABASE)
            fill(repository, self._certificates, first_day())
            close(repository, first_day())
        return repository

    def _lodge(self, out: Path) -> list[Figure]:
        """Fills the repository and closes its first window; one that an earlier call has kept stays."""
        if find_repository(self._data, _DATABASE, self._certificates):
            return [Figure("lodge", "not measured: the repository is that of an earlier call (--keep)")]
        fresh = partial(fresh_repository, self._data, _DATABASE)
        return lodging.figures(fresh, out, self._certificates, self.measurements)

    def _schedule(self, stack: Path) -> list[Figure]:
        figures, self.airflow = scheduling.figures(stack, self._certificates, self._say)
        return figures

    def _attempt(self, part: str, work: Callable[[Path], list[Figure]]) -> None:
        """Has a part measured, with a fresh folder for what it writes."""
        out = self._folder / part
        remove(out)
        out.mkdir(parents=True)
        try:
            self.figures += work(out)
            remove(out)
        except Exception as error:  # noqa: BLE001  # whatever it was, the other parts are still worth measuring
            self.figures.append(Figure(part, error=f"{type(error).__name__}: {error}"))

    def _say(self, what: str) -> None:
        self._progress.print(f"[dim]{time.monotonic() - self._begun:6.0f} s[/]  {what}", soft_wrap=True)


def main() -> int:
    """Measures, prints and writes the figures; the exit status."""
    arguments = _arguments()
    var = Settings.from_environment().var
    folder = var / "bench"
    if not arguments.keep:
        remove(folder)
    bench = Bench(folder, arguments.certificates, arguments.runs)
    date = datetime.now(UTC)
    bench.measure(arguments.only)
    broken = any(figure.error for figure in bench.figures)
    if not (arguments.keep or broken):  # what broke left logs and files that say why
        remove(folder)
    facts = machine.description(bench.postgresql)
    title = (
        f"{arguments.certificates:,} certificates · medians of {arguments.runs} runs · {date:%Y-%m-%d %H:%M} UTC · "
        f"{facts['cpu']}, {facts['cores']} cores"
    )
    print_figures(title, bench.figures, Console(width=None if sys.stdout.isatty() else 200))
    stated = {
        "date": date.isoformat(timespec="seconds"),
        "machine": facts,
        "certificates": arguments.certificates,
        "runs": arguments.runs,
        "figures": [figure.as_json() for figure in bench.figures],
        "measured": bench.measurements.as_json(),
        "airflow": bench.airflow,
    }
    (var / "bench.json").write_text(json.dumps(stated, indent=1, ensure_ascii=False) + "\n")
    return int(broken)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures the publisher against peers, on this machine.")
    parser.add_argument("--certificates", type=int, required=True, metavar="N", help="in the repository")
    parser.add_argument("--runs", type=int, default=3, help="of each measured thing (default: 3)")
    parser.add_argument("--only", nargs="+", choices=_PARTS, default=_PARTS, metavar="PART", help=", ".join(_PARTS))
    parser.add_argument("--keep", action="store_true", help="go on with, and leave, the repository in var/bench")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
