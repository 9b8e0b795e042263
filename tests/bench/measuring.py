"""Measures things as processes of their own, in turn (A B C A B C), and takes medians."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_OBSERVER = (sys.executable, "-I", "-S", str(_HERE / "observing.py"))
Say = Callable[[str], None]


class BrokenError(Exception):
    """A measured thing did not do its work: it failed, or what it wrote is not what it should be."""


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that is measured."""

    name: str
    command: Sequence[str]  # its stdout is one JSON value
    check: Callable[[Any], None] = lambda _result: None  # of that value; raises BrokenError
    environment: Mapping[str, str] = field(default_factory=dict)  # beside ours


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of a thing, as `observing` sees it."""

    wall_s: float
    cpu_s: float  # user + system, of the process tree
    peak_rss_bytes: int  # of the tree's largest process
    result: Any  # what it printed


@dataclass(frozen=True, slots=True)
class Measured:
    """All runs of a thing."""

    name: str
    samples: tuple[Sample, ...]

    @property
    def wall_s(self) -> float:
        """Median."""
        return statistics.median(sample.wall_s for sample in self.samples)

    @property
    def cpu_s(self) -> float:
        """Median."""
        return statistics.median(sample.cpu_s for sample in self.samples)

    @property
    def peak_rss_bytes(self) -> int:
        """The highest of all runs."""
        return max(sample.peak_rss_bytes for sample in self.samples)

    @property
    def result(self) -> Any:
        """What the last run printed."""
        return self.samples[-1].result

    def as_json(self) -> dict[str, Any]:
        """Medians and all single values."""
        medians = {"wall_s": self.wall_s, "cpu_s": self.cpu_s, "peak_rss_bytes": self.peak_rss_bytes}
        return {"median": medians, "runs": [asdict(sample) for sample in self.samples]}


class Measurements(dict[str, Measured]):
    """What has been measured, by name; asking for what broke says why it did."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: dict[str, str] = {}

    def __missing__(self, name: str) -> Measured:
        raise BrokenError(f"{name}: {self.broken.get(name, 'was not measured')}")

    def measure(self, things: Sequence[Thing], runs: int, say: Say) -> None:
        """Runs all the things in turn, `runs` times; one that breaks is left out from there on."""
        samples: dict[str, list[Sample]] = {thing.name: [] for thing in things}
        for run in range(1, runs + 1):
            for thing in things:
                if thing.name in self.broken:
                    continue
                say(f"run {run} of {runs}: {thing.name}")
                try:
                    samples[thing.name].append(run_once(thing))
                except BrokenError as error:
                    self.broken[thing.name] = str(error)
        for name, taken in samples.items():
            if name not in self.broken:
                self[name] = Measured(name, tuple(taken))


def run_once(thing: Thing) -> Sample:
    """One run, after everything that earlier ones wrote has reached the disk. Raises BrokenError."""
    os.sync()
    environment = dict(os.environ) | dict(thing.environment)
    done = subprocess.run([*_OBSERVER, *thing.command], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BrokenError(f"it could not be run: {_last_line(done.stderr)}")
    seen = json.loads(done.stdout)
    if seen["status"]:
        raise BrokenError(f"exit status {seen['status']}: {_last_line(done.stderr)}")
    result = json.loads(seen["output"] or "null")
    thing.check(result)
    return Sample(seen["wall_s"], seen["cpu_s"], seen["peak_rss_bytes"], result)


def script(module: str, action: str, **arguments: object) -> list[str]:
    """The command that calls the function `action` of a module beside this one; see `answer`."""
    return [sys.executable, str(_HERE / f"{module}.py"), action, json.dumps(arguments, default=str)]


def answer(*actions: Callable[..., object]) -> None:
    """The other side of `script`: calls what is asked for and prints what it returns as JSON."""
    _, action, arguments = sys.argv
    chosen = {function.__name__: function for function in actions}[action]
    json.dump(chosen(**json.loads(arguments)), sys.stdout)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]
