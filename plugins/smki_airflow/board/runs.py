"""The runs behind the files, as Airflow's database has them: their stages, and how long those took."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from smki.watch.due import Due
from smki.watch.links import RunLabel
from smki_airflow.board.airflow import Session, TaskFacts, newest_runs, tasks_of
from smki_airflow.names import JUDGE, PUBLISH, RELEASE, publish_task

_WORST_FIRST = ("failed", "upstream_failed", "up_for_retry", "running", "awaiting_input", "deferred", "queued")
FAILED = frozenset({"failed", "upstream_failed"})
ENDED = frozenset({"success", "failed"})
_AT_WORK = frozenset({"running", "awaiting_input", "deferred", "up_for_retry"})
_BEGUN = frozenset({"success", "failed", "skipped"}) | _AT_WORK
_AFTER_PRODUCTION = (JUDGE, RELEASE, PUBLISH, "record", "report")  # in their order
_RUNS_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Stage:
    """All task instances of one task in a run."""

    task_id: str
    instances: int  # more than one where the task is mapped
    state: str  # the worst of them; "waiting" before any has begun
    begun_at: datetime | None  # UTC
    ended_at: datetime | None  # UTC; none while one is at work

    @property
    def name(self) -> str:
        """The task's, without that of its group, and of a task that publishes without the site."""
        name = self.task_id.rpartition(".")[2]
        return PUBLISH if name.startswith(publish_task("")) else name

    @property
    def place(self) -> int:
        """Where it comes among the stages after production; -1 before them."""
        return _AFTER_PRODUCTION.index(self.name) if self.name in _AFTER_PRODUCTION else -1

    @property
    def seconds(self) -> float | None:
        """From the first one's beginning to the last one's end."""
        if self.begun_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.begun_at).total_seconds()


@dataclass(frozen=True, slots=True)
class DayRun:
    """A run of the DAG that publishes a due file."""

    dag_id: str
    run_id: str
    state: str
    stages: tuple[Stage, ...]  # in the order in which they began

    @property
    def label(self) -> str:
        """As the ledger names it."""
        return str(RunLabel(self.dag_id, self.run_id))

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it is at work."""
        return self.state in ENDED

    @property
    def failed(self) -> tuple[Stage, ...]:
        """Stages that clearing begins again."""
        return tuple(stage for stage in self.stages if stage.state in FAILED)


@dataclass(frozen=True, slots=True)
class Durations:
    """How long a run took for its file, without what waited for a person."""

    production_s: float | None  # from the first task to the last one before the gate
    upload_s: float | None  # to all sites


def runs_of(session: Session, due: Due, others: Iterable[str]) -> list[DayRun]:
    """The runs for a due file, newest first; of a file that is replaced in place those of its day.

    `others` are the names of the obligations that share its DAG: their groups of tasks are left out.
    """
    dag_id, groups = due.obligation.dag, tuple(f"{other}." for other in others)
    until = due.next_cut_off if due.obligation.replaced_in_place else None
    runs = newest_runs(session, dag_id, due.cut_off, _RUNS_SHOWN, also_until=until)
    stages = stages_of(session, dag_id, [run.run_id for run in runs])
    return [
        DayRun(
            dag_id,
            run.run_id,
            run.state,
            tuple(stage for stage in stages.get(run.run_id, ()) if not stage.task_id.startswith(groups)),
        )
        for run in runs
    ]


def durations(session: Session, labels: Iterable[str]) -> dict[str, Durations]:
    """How long the runs with these labels took, as far as Airflow still knows them."""
    wanted: dict[str, list[str]] = defaultdict(list)
    for run in map(RunLabel.parse, labels):
        if run is not None:
            wanted[run.dag_id].append(run.run_id)
    return {
        str(RunLabel(dag_id, run_id)): Durations(
            _span([stage for stage in stages if stage.place < 0]),
            _span([stage for stage in stages if stage.name == PUBLISH]),
        )
        for dag_id, run_ids in wanted.items()
        for run_id, stages in stages_of(session, dag_id, run_ids).items()
    }


def stages_of(session: Session, dag_id: str, run_ids: Sequence[str]) -> dict[str, list[Stage]]:
    """Stages by run, in the order in which they began; last those that have not, in the order of the work."""
    found: dict[str, dict[str, list[TaskFacts]]] = defaultdict(lambda: defaultdict(list))
    for facts in tasks_of(session, dag_id, run_ids):
        found[facts.run_id][facts.task_id].append(facts)
    return {
        run_id: sorted(
            (_stage(task_id, parts) for task_id, parts in tasks.items()),
            key=lambda stage: (stage.begun_at is None, stage.begun_at, stage.place, stage.task_id),
        )
        for run_id, tasks in found.items()
    }


def _stage(task_id: str, parts: Sequence[TaskFacts]) -> Stage:
    states = {part.state for part in parts}
    worst = next((state for state in _WORST_FIRST if state in states), None)
    state = worst or ("success" if "success" in states else min(states)) or "waiting"
    # A task that was cleared and has not begun again keeps the times of its try before.
    begun = [part for part in parts if part.state in _BEGUN]
    ended = () if states & _AT_WORK else begun
    return Stage(
        task_id,
        sum(part.instances for part in parts),
        state,
        min((part.begun_at for part in begun if part.begun_at), default=None),
        max((part.ended_at for part in ended if part.ended_at), default=None),
    )


def _span(stages: Sequence[Stage]) -> float | None:
    begun = [stage.begun_at for stage in stages if stage.begun_at is not None]
    ended = [stage.ended_at for stage in stages if stage.ended_at is not None]
    if not begun or not ended:
        return None
    return max((max(ended) - min(begun)) / timedelta(seconds=1), 0.0)
