"""`make chaos`: every step of each publishing run under Airflow's real scheduler, with each fault that can meet it.

    cd tests && python -m chaos [--only PATTERN] [--part K/N]

A cell is a run, a step of it, a partner that it needs and what that does: see `runs`; and `proxy` for database, store
and sites; a worker's task is killed, frozen for a while, or lost with the process that supervises it. In each cell:

1. There is something new to publish, or to remove, and a run is started.
2. Once the step runs, the fault is armed. It strikes in the middle of what the step sends, or right before its end.
3. What failed is cleared at once, as a person would do it, until the run has ended well.
4. All the time a reader looks at both sites. Afterwards the sites, the ledger and a Party have what `runs` says.

After the cells come disasters (`disasters`): a site that is down for days or lost whole, a lost store, lost metadata.

A cell whose fault found nothing to strike is shown as `–`; it is none that held. Exit status 1 when one did not hold.
"""

import argparse
import fnmatch
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.table import Table

from chaos.disasters import DISASTERS
from chaos.proxy import Fault
from chaos.rehearsal import SITES, Reader, Rehearsal, processes_of, rehearsing, stop_for
from chaos.runs import KINDS, RunKind, all_days

Sent = dict[tuple[str, str], int]  # (step, partner) → bytes that its longest connection sends
WORKER = "worker"
_KILLED, _FROZEN, _LOST = "killed", "frozen", "lost"
_OF_PARTNER = (Fault.REFUSE, Fault.CUT, Fault.DEAF, Fault.FREEZE)
_OF_WORKER = (_KILLED, _FROZEN, _LOST)
_SHARE = {Fault.REFUSE: 0.0, Fault.CUT: 0.5, Fault.DEAF: 0.9, Fault.FREEZE: 0.5}  # of what the step's connection sends
_FREEZES_S = 15
_ENDS_WITHIN_S = 300


@dataclass(frozen=True, slots=True)
class Cell:
    """A step of a run, and what happens to it."""

    run: str
    step: str
    partner: str
    fault: str

    def __str__(self) -> str:
        return f"{self.run}:{self.step}:{self.partner}:{self.fault}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a cell."""

    cell: Cell
    struck: bool
    seconds: float
    wrong: tuple[str, ...] = ()

    @property
    def mark(self) -> str:
        if self.wrong:
            return "[bold red]broken[/]"
        return f"{self.seconds:.0f} s" if self.struck else "–"


def all_cells() -> Iterator[Cell]:
    """Every cell, run by run and step by step."""
    for run, kind in KINDS.items():
        for step, partners in kind.steps.items():
            for partner in partners:
                yield from (Cell(run, step, partner, fault) for fault in _OF_PARTNER)
            yield from (Cell(run, step, WORKER, fault) for fault in _OF_WORKER)


def main() -> int:
    """Tries the cells, prints the matrix; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="*", metavar="PATTERN", help="cells such as 'delta:publish_*:database:*'")
    parser.add_argument("--part", default="1/1", metavar="K/N", help="every N-th cell, from the K-th on")
    arguments = parser.parse_args()
    part, of = map(int, arguments.part.split("/"))
    cells = [cell for cell in all_cells() if fnmatch.fnmatch(str(cell), arguments.only)][part - 1 :: of]
    disasters = [name for name in DISASTERS if fnmatch.fnmatch(name, arguments.only)][part - 1 :: of]
    console = Console(width=None if sys.stdout.isatty() else 140)
    outcomes: list[Outcome] = []
    lost: dict[str, list[str]] = {}
    runs = [cell.run for cell in cells]
    days = all_days([*runs, *dict.fromkeys(runs)]) + 6 * len(disasters)
    with rehearsing(days) as rehearsal:
        usual: dict[str, Sent] = {}
        for number, cell in enumerate(cells, 1):
            if cell.run not in usual:
                usual[cell.run] = _measure(rehearsal, KINDS[cell.run])
            outcomes.append(_try(rehearsal, cell, usual[cell.run]))
            found = "; ".join(outcomes[-1].wrong)
            console.print(f"{number:>3} of {len(cells)}  {cell}  {outcomes[-1].mark}  {found}", highlight=False)
        for name in disasters:
            lost[name] = DISASTERS[name](rehearsal)
            console.print(f"{name}: {'; '.join(lost[name]) or 'held'}", highlight=False)
    console.print(_matrix(outcomes))
    struck = [outcome for outcome in outcomes if outcome.struck]
    broken = [outcome for outcome in outcomes if outcome.wrong]
    console.print(f"{len(struck)} faults struck, {len(struck) - len(broken)} of these cells held.", highlight=False)
    return 1 if broken or any(lost.values()) else 0


def _measure(rehearsal: Rehearsal, kind: RunKind) -> Sent:
    """A run without faults."""
    sent: Sent = {}
    run = kind.begin(rehearsal)
    ended = False
    while not ended:
        ended = run.has_ended
        running = [task["task_id"] for task in run.tasks() if task["state"] == "running"]
        for partner, door in rehearsal.doors.items():
            longest = door.take_longest()
            for step in running:
                sent[step, partner] = max(longest, sent.get((step, partner), 0))
        time.sleep(0.1)
    if run.state != "success" or (wrong := list(kind.wrong(rehearsal))):
        raise RuntimeError(f"a run of {run.dag_id} without faults went wrong: {run.state}; {'; '.join(wrong)}")
    return sent


def _try(rehearsal: Rehearsal, cell: Cell, usual: Sent) -> Outcome:
    kind = KINDS[cell.run]
    run = kind.begin(rehearsal)
    begun = time.monotonic()
    reader = Reader([rehearsal.folder(site) for site in SITES], rehearsal.guide)
    fault = _Strike(rehearsal, cell, usual.get((cell.step, cell.partner), 0))
    wrong: list[str] = []
    while not run.has_ended or fault.is_open:
        if time.monotonic() - begun > _ENDS_WITHIN_S:
            wrong.append(f"the run is {run.state} after {_ENDS_WITHIN_S} s")
            break
        fault.look(run.tasks())
        if run.retry_as_a_person():
            fault.heal()
        time.sleep(0.1)
    fault.heal()
    wrong += [f"{name} was seen with a content too many" for name in reader.end()]
    if not wrong:
        wrong += kind.wrong(rehearsal)
    return Outcome(cell, fault.struck, time.monotonic() - begun, tuple(wrong))


class _Strike:
    """A cell's fault: armed when its step begins, and over when somebody has mended it."""

    def __init__(self, rehearsal: Rehearsal, cell: Cell, usual: int) -> None:
        self._rehearsal, self._cell, self._usual = rehearsal, cell, usual
        self._armed_at: float | None = None
        self.struck = False
        self.is_open = False

    def look(self, tasks: list[dict[str, object]]) -> None:
        """Arms the fault, and mends one that lasts too long."""
        if self._armed_at is None:
            for task in tasks:
                if task["task_id"] == self._cell.step and task["state"] == "running" and task["pid"]:
                    self._arm(int(str(task["pid"])))
                    break
        elif self.is_open and time.monotonic() - self._armed_at > _FREEZES_S:
            self.heal()

    def heal(self) -> None:
        if self._cell.partner != WORKER:
            door = self._rehearsal.doors[self._cell.partner]
            self.struck |= self._armed_at is not None and door.struck.is_set()
            door.heal()
        self.is_open = False

    def _arm(self, pid: int) -> None:
        self._armed_at = time.monotonic()
        if self._cell.partner == WORKER:
            self.struck = True
            task, supervisor = processes_of(pid)
            act: dict[str, Callable[[], object]] = {
                _KILLED: task.kill,
                _FROZEN: partial(stop_for, task, _FREEZES_S),
                _LOST: lambda: [one.kill() for one in (supervisor, task)],
            }
            threading.Thread(target=act[self._cell.fault], daemon=True).start()
            return
        self.is_open = True
        fault = Fault(self._cell.fault)
        self._rehearsal.doors[self._cell.partner].arm(fault, int(self._usual * _SHARE[fault]))


def _matrix(outcomes: list[Outcome]) -> Table:
    faults = [*map(str, _OF_PARTNER), *_OF_WORKER]
    table = Table("run", "step", "partner", *faults, title="What each fault took until all was published and right")
    marks = {one.cell: one.mark for one in outcomes}
    for run, step, partner in dict.fromkeys((cell.run, cell.step, cell.partner) for cell in marks):
        table.add_row(run, step, partner, *(marks.get(Cell(run, step, partner, fault), "") for fault in faults))
    return table


if __name__ == "__main__":
    sys.exit(main())
