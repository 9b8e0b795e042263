"""`make bench`: measures the publisher against peers in the same run, on this machine.

    cd tests && python -m bench --certificates N [--runs 3] [--only PART…] [--keep]

* It works on an embedded PostgreSQL of its own below `var/bench`, filled with N look-alikes.
* A measured thing is a process of its own, seen from outside (see `observer`), its Python start included. Things that
  are compared run in turn (A B C A B C), and medians of `--runs` runs are compared. What a thing wrote is checked.
* The table is printed; the same figures, the machine and all single values go to `var/bench.json`.

Exit status 1 when a part broke or its content was wrong; never because of a time.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import airflow, catching_up, extracts, gate, memory, renewal, upload
from bench.measuring import Figure, Measurements
from bench.repositories import (
    Repository,
    close,
    embedded_postgres,
    fill,
    find_repository,
    first_day,
    fresh_repository,
    measure_lodging,
    postgresql_version,
    remove,
)
from smki.settings import PROJECT, Settings

_DATABASE = "bench"
_PARTS = ("lodge", "full", "gate", "renewal", "memory", "delta", "upload", "catching-up", "airflow")


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
            "full": lambda out: extracts.measure_full(self._repository, out, self.measurements),
            "gate": lambda out: gate.measure(self._repository, out, self.measurements),
            "renewal": lambda out: renewal.measure(self._repository, out, self.measurements),
            "memory": lambda out: memory.measure(self._repository, self._data, out, self.measurements),
            "delta": lambda out: extracts.measure_delta(self._repository, out, self.measurements),
            "upload": lambda out: upload.measure(out, self.measurements),
            "catching-up": lambda out: catching_up.measure(self._repository, out, self.measurements),
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
        return measure_lodging(fresh, out, self._certificates, self.measurements)

    def _schedule(self, stack: Path) -> list[Figure]:
        figures, self.airflow = airflow.measure(self._repository, stack, self._say)
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
    facts = _describe_machine(bench.postgresql)
    title = (
        f"{arguments.certificates:,} certificates · medians of {arguments.runs} runs · {date:%Y-%m-%d %H:%M} UTC · "
        f"{facts['cpu']}, {facts['cores']} cores"
    )
    _print_figures(title, bench.figures, Console(width=None if sys.stdout.isatty() else 200))
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


def _print_figures(title: str, figures: Sequence[Figure], console: Console) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("figure", "value", "peer", "ratio", "wanted", "met"):
        table.add_column(column, justify="right" if column == "ratio" else "left", overflow="fold")
    for row in figures:
        if row.error:
            table.add_row(row.figure, f"[bold red]{escape(row.error)}[/]")
            continue
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        wanted, met = (row.wanted.text, "yes" if row.wanted.is_met else "no") if row.wanted else ("", "")
        table.add_row(row.figure, row.value, row.peer, ratio, wanted, met)
    console.print(table)


def _describe_machine(postgresql: str) -> dict[str, object]:
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "postgresql": postgresql,
        "commit": _commit(),
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    """The commit that is checked out, hex; empty outside a clone."""
    git = PROJECT / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        return (git / head.removeprefix("ref: ")).read_text().strip() if head.startswith("ref: ") else head
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
