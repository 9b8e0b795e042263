"""What Airflow's own database says of the runs behind the files: their stages, and how long those took."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from smki.watch.due import Due
from smki_airflow.names import JUDGE, PUBLISH, RELEASE

_WORST_FIRST = ("failed", "upstream_failed", "up_for_retry", "running", "awaiting_input", "deferred", "queued")
_FAILED = frozenset({"failed", "upstream_failed"})
ENDED = frozenset({"success", "failed"})
_AFTER_PRODUCTION = (JUDGE, RELEASE, PUBLISH, "record", "report")  # in their order
_BEGUN = frozenset({"success", "failed", "up_for_retry", "running", "awaiting_input", "deferred", "skipped"})
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
        return f"{self.dag_id}/{self.run_id}"

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it is at work."""
        return self.state in ENDED

    @property
    def failed(self) -> tuple[Stage, ...]:
        """Stages that clearing begins again."""
        return tuple(stage for stage in self.stages if stage.state in _FAILED)


@dataclass(frozen=True, slots=True)
class Durations:
    """How long a run took for its file, without what waited for a person."""

    production_s: float | None  # from the first task to the last one before the gate
    upload_s: float | None  # to all sites


def runs_of(session: Session, due: Due, others: Iterable[str]) -> list[DayRun]:
    """The runs for a due file, newest first; of a file that is replaced in place those of its day.

    `others` are the names of the obligations that share its DAG: their groups of tasks are left out.
    """
    dag_id = due.obligation.dag
    belongs = DagRun.data_interval_end == due.cut_off
    if due.obligation.replaced_in_place:
        end = due.next_cut_off
        belongs = or_(belongs, (DagRun.run_after >= due.cut_off) & (DagRun.run_after < end))
    runs = session.execute(
        select(DagRun.run_id, DagRun.state)
        .where(DagRun.dag_id == dag_id, belongs)
        .order_by(DagRun.run_after.desc(), DagRun.id.desc())
        .limit(_RUNS_SHOWN)
    ).all()
    stages = _stages(session, dag_id, [run.run_id for run in runs], others)
    return [DayRun(dag_id, run.run_id, str(run.state), tuple(stages.get(run.run_id, ()))) for run in runs]


def cut_off_of(session: Session, dag_id: str, run_id: str) -> datetime | None:
    """The cut-off that ends a run's data interval (UTC); none for a run that began at no set time, or is not known."""
    return session.scalar(select(DagRun.data_interval_end).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))


def durations(session: Session, labels: Iterable[str]) -> dict[str, Durations]:
    """How long the runs with these labels took, as far as Airflow still knows them."""
    wanted: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        dag_id, _, run_id = label.partition("/")
        wanted[dag_id].append(run_id)
    found = {}
    for dag_id, run_ids in wanted.items():
        for run_id, stages in _stages(session, dag_id, run_ids).items():
            production = [stage for stage in stages if _name(stage) not in _AFTER_PRODUCTION]
            uploads = [stage for stage in stages if _name(stage) == PUBLISH]
            found[f"{dag_id}/{run_id}"] = Durations(_span(production), _span(uploads))
    return found


def place(task_id: str) -> int:
    """Where a task comes among those after production; before them, if it is not of them."""
    name = task_id.rpartition(".")[2]
    return _AFTER_PRODUCTION.index(name) if name in _AFTER_PRODUCTION else -1


def _stages(
    session: Session, dag_id: str, run_ids: Sequence[str], others: Iterable[str] = ()
) -> dict[str, list[Stage]]:
    """Stages by run, without the groups of tasks that are named like other obligations."""
    groups = tuple(f"{other}." for other in others)
    grouped: dict[tuple[str, str], list[tuple[str, int, datetime | None, datetime | None]]] = defaultdict(list)
    for row in session.execute(_by_task(dag_id, run_ids)):
        if not row.task_id.startswith(groups):
            grouped[row.run_id, row.task_id].append((str(row.state or ""), row.instances, row.begun_at, row.ended_at))
    stages: dict[str, list[Stage]] = defaultdict(list)
    for (run_id, task_id), parts in grouped.items():
        stages[run_id].append(_stage(task_id, parts))
    for of_run in stages.values():
        of_run.sort(key=lambda stage: (stage.begun_at is None, stage.begun_at, place(stage.task_id), stage.task_id))
    return stages


def _by_task(
    dag_id: str, run_ids: Sequence[str]
) -> Select[str, str, str | None, int, datetime | None, datetime | None]:
    columns = TaskInstance
    return (
        select(
            columns.run_id,
            columns.task_id,
            columns.state,
            func.count().label("instances"),
            func.min(columns.start_date).label("begun_at"),
            func.max(columns.end_date).label("ended_at"),
        )
        .where(columns.dag_id == dag_id, columns.run_id.in_(run_ids))
        .group_by(columns.run_id, columns.task_id, columns.state)
    )


def _stage(task_id: str, parts: Sequence[tuple[str, int, datetime | None, datetime | None]]) -> Stage:
    states = {state for state, *_ in parts}
    worst = next((state for state in _WORST_FIRST if state in states), None)
    state = worst or ("success" if "success" in states else next(iter(sorted(states)), "")) or "waiting"
    # A task that was cleared and has not begun again keeps the times of its try before.
    begun = [begun_at for state, _, begun_at, _ in parts if state in _BEGUN and begun_at is not None]
    at_work = states & {"running", "awaiting_input", "deferred", "up_for_retry"}
    ended = [ended_at for state, _, _, ended_at in parts if state in _BEGUN and ended_at is not None]
    return Stage(
        task_id,
        sum(instances for _, instances, _, _ in parts),
        state,
        min(begun, default=None),
        None if at_work else max(ended, default=None),
    )


def _name(stage: Stage) -> str:
    """The task's name, without that of its group."""
    return stage.task_id.rpartition(".")[2]


def _span(stages: Sequence[Stage]) -> float | None:
    begun = [stage.begun_at for stage in stages if stage.begun_at is not None]
    ended = [stage.ended_at for stage in stages if stage.ended_at is not None]
    if not begun or not ended:
        return None
    return max((max(ended) - min(begun)) / timedelta(seconds=1), 0.0)
