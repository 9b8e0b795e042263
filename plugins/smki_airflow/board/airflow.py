"""The one module that imports Airflow's internals: all but `airflow.sdk`, its plugins and triggers, and its providers.

Airflow promises nothing of these, so each of its upgrades has to prove them again. Nothing else of ours breaks then.

* Who is asking, and what they may do (auth manager, `core_api.security`). Changed: nobody, or anybody, sees the board.
  tests/integration/board/test_page.py and test_actions.py notice.
* The functions behind Airflow's REST API (clear, backfill, trigger) and its audit log. Changed: buttons of the board
  fail. test_actions.py and test_browser.py notice.
* The tables `dag_run`, `task_instance`, `backfill` and `dag`. Changed: stages and durations of runs are missing or
  wrong. The same tests notice.
* The table `slot_pool`, and how a connection is found. Changed: the board says that something is missing which is not,
  or the other way round. tests/integration/board/test_setup.py notices.
* `dag_run` and its types once more, where a deadline is set. Changed: no deadline alert comes.
  tests/unit/dags/test_deadlines.py and tests/integration/airflow/watch notice.

A name that is gone fails the import of this module; mypy says so before any test does.

The API server uses all of it, the scheduler only what `signals.deadlines` asks for. So what drags in Airflow's REST API
(40 MB, seconds) is imported by the functions that need it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.api_fastapi.logging.decorators import action_logging
from airflow.models.backfill import Backfill, ReprocessBehavior
from airflow.models.connection import Connection
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.pool import Pool
from airflow.models.taskinstance import TaskInstance
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException
from airflow.utils.types import DagRunType
from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from smki.errors import DataError

__all__ = ["CurrentUser", "Session", "SessionOfRequest"]

User = BaseUser
CurrentUser = GetUserDep  # in the signature of a path: who asks; 401 for nobody
SessionOfRequest = SessionDep  # in the signature of a path: a session of Airflow's database
SCHEDULED, BACKFILL = str(DagRunType.SCHEDULED), str(DagRunType.BACKFILL_JOB)  # types of runs


class ActionRefusedError(DataError):
    """Airflow, or the board, does not do what was asked for."""

    NEXT_STEP = "see the DAG's runs in Airflow."


def may(user: User, method: Literal["GET", "POST", "PUT"], dag_id: str) -> bool:
    """Whether the user may do this to the runs of a DAG."""
    return get_auth_manager().is_authorized_dag(
        method=method,
        access_entity=DagAccessEntity.RUN,
        details=DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id)),
        user=user,
    )


def audit_logged(event: str) -> Any:
    """Dependency of a path: Airflow's audit log gets an entry of this name."""
    return action_logging(event)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What Airflow's database has of a DAG run. Its cut-off is the end of its data interval, which has no length: the
    logical date, but for runs of version 0.9 and older, whose logical date was the cut-off before.
    """

    run_id: str
    type: str
    state: str
    cut_off: datetime | None  # UTC; none for a run that began at no set time
    any_day: date | None  # that a person asked for in place of the cut-off's day

    @property
    def business_date(self) -> date | None:
        """The day whose file it is for; none where an event began it."""
        return self.any_day or (self.cut_off and self.cut_off.astimezone(UTC).date())


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What it has of the instances of a task that are in one state."""

    run_id: str
    task_id: str
    state: str  # empty before it is scheduled
    instances: int
    begun_at: datetime | None  # UTC; of the first
    ended_at: datetime | None  # UTC; of the last


def find_run(session: Session, dag_id: str, run_id: str) -> RunFacts | None:
    run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    return None if run is None else _facts(run)


def is_first_scheduled(session: Session, dag_id: str, run_id: str) -> bool:
    """Whether the scheduler has begun no other run of the DAG than this one."""
    others = select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_type == SCHEDULED, DagRun.run_id != run_id)
    return session.scalar(others.limit(1)) is None


def newest_runs(
    session: Session, dag_id: str, cut_off: datetime, limit: int, *, also_until: datetime | None = None
) -> list[RunFacts]:
    """Runs for the cut-off's day, and those begun from the cut-off until `also_until`; newest first.

    One that a person began at some other time of the day is for the day's file, too, and so is one that was asked for
    this day whenever it began.
    """
    day = datetime.combine(cut_off.date(), time(), cut_off.tzinfo)
    belongs: ColumnElement[bool] = (DagRun.data_interval_end >= day) & (
        DagRun.data_interval_end < day + timedelta(days=1)
    )
    asked = DagRun.conf["any_day"].as_string()
    belongs = or_(asked == day.date().isoformat(), belongs & asked.is_(None))
    if also_until is not None:
        belongs = or_(belongs, (DagRun.run_after >= cut_off) & (DagRun.run_after < also_until))
    runs = select(DagRun).where(DagRun.dag_id == dag_id, belongs)
    return [
        _facts(run) for run in session.scalars(runs.order_by(DagRun.run_after.desc(), DagRun.id.desc()).limit(limit))
    ]


def tasks_of(session: Session, dag_id: str, run_ids: Sequence[str]) -> list[TaskFacts]:
    """The tasks of these runs, mapped ones together."""
    rows = session.execute(
        select(
            TaskInstance.run_id,
            TaskInstance.task_id,
            func.coalesce(TaskInstance.state, ""),
            func.count(),
            func.min(TaskInstance.start_date),
            func.max(TaskInstance.end_date),
        )
        .where(TaskInstance.dag_id == dag_id, TaskInstance.run_id.in_(run_ids))
        .group_by(TaskInstance.run_id, TaskInstance.task_id, TaskInstance.state)
    )
    return [TaskFacts(*row) for row in rows]


def is_paused(session: Session, dag_id: str) -> bool | None:
    """None for a DAG that Airflow does not know."""
    return session.scalar(select(DagModel.is_paused).where(DagModel.dag_id == dag_id, ~DagModel.is_stale))


def usable_pools(session: Session) -> frozenset[str]:
    """Names of the pools that have a slot."""
    return frozenset(name for name in session.scalars(select(Pool.pool).where(Pool.slots != 0)) if name)


def has_connection(conn_id: str) -> bool:
    """Whether this process finds it, wherever Airflow looks: environment, secrets backend, its database."""
    try:
        Connection.get_connection_from_secrets(conn_id)
    except AirflowNotFoundException:
        return False
    return True


def find_active_backfill(session: Session, dag_id: str) -> int | None:
    """Number of the DAG's backfill that is under way."""
    active = select(Backfill.id).where(Backfill.dag_id == dag_id, Backfill.completed_at.is_(None))
    return session.scalar(active.limit(1))


@dataclass(frozen=True, slots=True)
class BackfillRange:
    """What Airflow is asked to run, oldest first, one by one."""

    dag_id: str
    first: datetime  # logical date
    last: datetime  # logical date
    again: bool  # also where a run ended well

    def as_body(self) -> Any:
        from airflow.api_fastapi.core_api.datamodels.backfills import BackfillPostBody

        return BackfillPostBody(
            dag_id=self.dag_id,
            from_date=self.first,
            to_date=self.last,
            reprocess_behavior=ReprocessBehavior.COMPLETED if self.again else ReprocessBehavior.FAILED,
            max_active_runs=1,
        )


def dry_run_backfill(session: Session, asked: BackfillRange) -> frozenset[datetime]:
    """Logical dates that a backfill would run. Raises ActionRefusedError.

    Not those that a run of another day has.
    """
    from airflow.api_fastapi.core_api.routes.public.backfills import create_backfill_dry_run

    with _refusals(asked.dag_id):
        planned = create_backfill_dry_run(asked.as_body(), session).backfills
    of_other_days = select(DagRun.logical_date).where(
        DagRun.dag_id == asked.dag_id, DagRun.logical_date != DagRun.data_interval_end
    )
    return frozenset(at for entry in planned if (at := entry.logical_date)) - set(session.scalars(of_other_days))


def create_backfill(session: Session, user: User, asked: BackfillRange) -> None:
    """Raises ActionRefusedError."""
    from airflow.api_fastapi.core_api.routes.public import backfills

    with _refusals(asked.dag_id):
        backfills.create_backfill(asked.as_body(), user, session)


def clear_run(session: Session, user: User, dag_id: str, run_id: str, *, only_failed: bool) -> None:
    """Begins the failed tasks of a run again, or all. Raises ActionRefusedError."""
    from airflow.api_fastapi.core_api.datamodels.dag_run import DAGRunClearBody
    from airflow.api_fastapi.core_api.routes.public.dag_run import clear_dag_run
    from airflow.models.dagbag import DBDagBag

    body = DAGRunClearBody(dry_run=False, only_failed=only_failed)
    with _refusals(dag_id):
        clear_dag_run(dag_id, run_id, body, DBDagBag(), session, user)


def trigger_run(request: Request, session: Session, user: User, dag_id: str) -> None:
    """Begins a run now, without a logical date. Raises ActionRefusedError."""
    from airflow.api_fastapi.core_api.datamodels.dag_run import TriggerDAGRunPostBody
    from airflow.api_fastapi.core_api.routes.public.dag_run import trigger_dag_run
    from airflow.models.dagbag import DBDagBag

    with _refusals(dag_id):
        trigger_dag_run(dag_id, TriggerDAGRunPostBody(logical_date=None), DBDagBag(), user, session, request)


def _facts(run: DagRun) -> RunFacts:
    asked, any_day = (run.conf or {}).get("any_day"), None
    with suppress(ValueError, TypeError):  # what is no date: the run itself says so
        any_day = date.fromisoformat(asked) if asked else None
    return RunFacts(run.run_id, str(run.run_type), str(run.state), run.data_interval_end, any_day)


@contextmanager
def _refusals(dag_id: str) -> Iterator[None]:
    """Turns what the functions of the REST API raise into one error."""
    try:
        yield
    except (HTTPException, RequestValidationError, AirflowException, ValueError) as error:
        said = str(error.detail) if isinstance(error, HTTPException) else "; ".join(map(str, error.args))
        raise ActionRefusedError(f"DAG {dag_id}", f"Airflow refused: {said.rstrip('.')}.") from error
