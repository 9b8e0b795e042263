"""Measures processes in turn (A B C A B C), takes medians, and puts them into rows that say what was wanted."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_OBSERVER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("observer.py")))


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
    """One run of a thing, as `observer` sees it."""

    wall_s: float
    cpu_s: float  # user + system, of the process tree
    peak_rss_bytes: int  # of the tree's largest process
    result: Any  # what it printed


@dataclass(frozen=True, slots=True)
class Measured:
    """All runs of a thing."""

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


class Measurements:
    """What has been measured, by name; and how often, and who is told meanwhile."""

    def __init__(self, runs: int, say: Callable[[str], None]) -> None:
        self.runs = runs  # of each thing
        self.say = say  # hears what is under way
        self._samples: dict[str, list[Sample]] = {}
        self._broken: dict[str, str] = {}

    def __getitem__(self, name: str) -> Measured:
        """All runs of a thing. Raises BrokenError with what broke it."""
        if name in self._broken or name not in self._samples:
            raise BrokenError(f"{name}: {self._broken.get(name, 'was not measured')}")
        return Measured(tuple(self._samples[name]))

    def take(self, thing: Thing) -> None:
        """Runs a thing once; one that has broken is not run again."""
        if thing.name in self._broken:
            return
        taken = self._samples.setdefault(thing.name, [])
        self.say(f"{thing.name}, run {len(taken) + 1}")
        try:
            taken.append(run_once(thing))
        except BrokenError as error:
            self._broken[thing.name] = str(error)

    def take_in_turn(self, things: Sequence[Thing]) -> None:
        """Runs all the things one after the other, `runs` times over."""
        for _ in range(self.runs):
            for thing in things:
                self.take(thing)

    def condemn(self, name: str, why: str) -> None:
        """Says that a thing has broken, as a look at what it left has shown."""
        self._broken[name] = why

    def as_json(self) -> dict[str, Any]:
        """Medians and all single values of what did not break."""
        return {name: self[name].as_json() for name in self._samples if name not in self._broken}


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


def action(module: str, name: str, **arguments: object) -> list[str]:
    """The command that calls a function of a module of this package in a process of its own (see `answer`)."""
    return [sys.executable, "-m", f"{__package__}.{module}", name, json.dumps(arguments, default=str)]


def answer(*actions: Callable[..., Any]) -> None:
    """The other side of `action`: calls the function that is asked for and prints what it returns as JSON."""
    _, name, arguments = sys.argv
    chosen = {function.__name__: function for function in actions}[name]
    json.dump(chosen(**json.loads(arguments)), sys.stdout)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A bound that a figure was promised to keep."""

    text: str
    is_met: bool


def at_least(ratio: float, bound: float) -> Wanted:
    return Wanted(f"≥ {bound:g}", ratio >= bound)


def at_most(ratio: float, bound: float) -> Wanted:
    return Wanted(f"≤ {bound:g}", ratio <= bound)


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    figure: str
    value: str = ""
    peer: str = ""
    ratio: float | None = None
    wanted: Wanted | None = None
    error: str = ""  # why there is no value

    def as_json(self) -> dict[str, object]:
        """For var/bench.json."""
        stated = {"figure": self.figure, "value": self.value, "peer": self.peer, "ratio": self.ratio}
        met = {"wanted": self.wanted.text, "met": self.wanted.is_met} if self.wanted else {}
        return stated | met | ({"error": self.error} if self.error else {})


def figure(name: str, made: Callable[[], Figure]) -> Figure:
    """The figure, or a row that says why there is none."""
    try:
        return made()
    except BrokenError as error:
        return Figure(name, error=str(error))


def seconds(measured: Measured) -> str:
    """Wall and CPU time as text."""
    return f"{measured.wall_s:.2f} s (CPU {measured.cpu_s:.2f} s)"


def rate(certificates: int, measured: Measured) -> str:
    """Certificates a second of wall time, with both, as text."""
    return f"{certificates / measured.wall_s:,.0f}/s · {seconds(measured)}"


def megabytes(size: float) -> str:
    """A number of bytes as text, in 10^6."""
    return f"{size / 1e6:,.0f} MB"
