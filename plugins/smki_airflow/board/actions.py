"""What the board can do, done by the functions behind Airflow's own REST API, in the API server's process.

* Clear: the failed tasks of a run begin again, and what came after them; or all of its tasks, which puts a file on the
  server again that was lost there.
* Backfill: days without a run, and days whose run failed, are run one by one, oldest first; days whose run ended well
  only when asked for. What is published stays as it is, whatever is run again.
* Trigger: a DAG that works on now, not on a day, is run once: the auditor, revocation lists, anchor files.

Each is shown before it is done: a plan is a dry run, and doing it looks at everything again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.core_api.datamodels.backfills import BackfillPostBody
from airflow.api_fastapi.core_api.datamodels.dag_run import DAGRunClearBody, TriggerDAGRunPostBody
from airflow.api_fastapi.core_api.routes.public.backfills import create_backfill, create_backfill_dry_run
from airflow.api_fastapi.core_api.routes.public.dag_run import clear_dag_run, trigger_dag_run
from airflow.models.backfill import Backfill, ReprocessBehavior
from airflow.models.dag import DagModel
from airflow.models.dagbag import DBDagBag
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.sdk.exceptions import AirflowException
from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from smki.errors import DataError, SmkiError
from smki.obligations.catalogue import Obligation
from smki.watch.due import list_due
from smki_airflow.board.airflow_runs import ENDED, place

_MOST_DAYS = 92
_FAILED = ("failed", "upstream_failed")


class ActionRefusedError(DataError):
    """Airflow, or the board, does not do what was asked for."""


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """What a backfill would do."""

    dag_id: str
    first: date
    last: date
    again: bool  # also days whose run ended well
    days: tuple[date, ...]  # that would run, oldest first
    left: tuple[date, ...]  # that would not: their run is under way, or ended well


def plan_clear(session: Session, dag_id: str, run_id: str, *, whole: bool) -> list[str]:
    """Tasks of a run that failed, or all of them, with how many of each. Raises ActionRefusedError for none."""
    run = session.scalar(select(DagRun.state).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    of_run = select(TaskInstance.task_id).where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
    chosen = of_run if whole else of_run.where(TaskInstance.state.in_(_FAILED))
    rows = session.scalars(
        chosen.order_by(TaskInstance.start_date.is_(None), TaskInstance.start_date, TaskInstance.task_id)
    ).all()
    if not rows or (whole and run not in ENDED):
        raise ActionRefusedError(
            f"run {run_id}",
            "it has not ended, or there is none." if whole else "none of its tasks has failed.",
            "There is nothing to clear.",
            "see how the day stands now.",
        )
    names = sorted(dict.fromkeys(rows), key=place)
    return [f"{name} ({count} of them)" if (count := rows.count(name)) > 1 else name for name in names]


def clear(session: Session, user: BaseUser, dag_id: str, run_id: str, *, whole: bool) -> None:
    """Begins the failed tasks of a run again, or all. Raises ActionRefusedError."""
    plan_clear(session, dag_id, run_id, whole=whole)
    body = DAGRunClearBody(dry_run=False, only_failed=not whole)
    with _refusals(dag_id, "No task was cleared."):
        clear_dag_run(dag_id, run_id, body, DBDagBag(), session, user)


def plan_backfill(
    session: Session, obligation: Obligation, dag_id: str, first: date, last: date, *, again: bool
) -> BackfillPlan:
    """Which days a backfill would run: Airflow's own dry run. Raises ActionRefusedError."""
    asked = _days(obligation, first, last)
    body = _backfill_body(obligation, dag_id, asked, again=again)
    active = session.scalar(
        select(Backfill.id).where(Backfill.dag_id == dag_id, Backfill.completed_at.is_(None)).limit(1)
    )
    if active is not None:
        raise ActionRefusedError(
            f"backfill of {dag_id}",
            f"backfill {active} of this DAG is under way, and Airflow works on one at a time.",
            "No day was added.",
            "wait until its runs have ended (it is marked as completed a little later), or cancel it in Airflow.",
        )
    with _refusals(dag_id, "Nothing was planned."):
        planned = create_backfill_dry_run(body, session).backfills
    starts = {entry.logical_date for entry in planned}
    runs = tuple(day for day in asked if _logical_date(obligation, day) in starts)
    return BackfillPlan(dag_id, first, last, again, runs, tuple(day for day in asked if day not in runs))


def backfill(session: Session, user: BaseUser, obligation: Obligation, plan: BackfillPlan) -> None:
    """Has Airflow run the days of a plan. Raises ActionRefusedError, also where there is none."""
    if not plan.days:
        raise ActionRefusedError(
            f"backfill of {plan.dag_id}",
            "each day of the range has a run that is under way or ended well.",
            "There is nothing to run.",
            "ask for days that ended well, too, if they are to be run again.",
        )
    body = _backfill_body(obligation, plan.dag_id, (*plan.days, *plan.left), again=plan.again)
    with _refusals(plan.dag_id, "No day was run."):
        create_backfill(body, user, session)


def check_runnable(session: Session, dag_id: str) -> None:
    """Raises ActionRefusedError where Airflow does not know the DAG or would not run it."""
    paused = session.scalar(select(DagModel.is_paused).where(DagModel.dag_id == dag_id, ~DagModel.is_stale))
    if paused is None:
        raise ActionRefusedError(
            f"DAG {dag_id}",
            "Airflow does not know it.",
            "Nothing was run.",
            "see the import errors on Airflow's home page.",
        )
    if paused:
        raise ActionRefusedError(
            f"DAG {dag_id}", "it is paused, so its runs would wait.", "Nothing was run.", "unpause it, then ask again."
        )


def trigger(request: Request, session: Session, user: BaseUser, dag_id: str) -> None:
    """Runs a DAG once, now. Raises ActionRefusedError."""
    check_runnable(session, dag_id)
    with _refusals(dag_id, "Nothing was run."):
        trigger_dag_run(dag_id, TriggerDAGRunPostBody(logical_date=None), DBDagBag(), user, session, request)


def _days(obligation: Obligation, first: date, last: date) -> tuple[date, ...]:
    item = f"backfill of {obligation.dag} from {first} to {last}"
    if obligation.replaced_in_place:
        raise ActionRefusedError(
            item,
            "its files are replaced in place: there is one, not one a day.",
            "No day was run.",
            "run it now instead.",
        )
    if first > last or (last - first).days >= _MOST_DAYS:
        raise ActionRefusedError(
            item, f"a range goes forward, over {_MOST_DAYS} days at most.", "No day was run.", "choose other days."
        )
    days = tuple(due.business_date for due in list_due(obligation, first, last))
    if not days:
        raise ActionRefusedError(
            item, "no file is due on any of these days.", "No day was run.", "choose days on which one is due."
        )
    return days


def _backfill_body(obligation: Obligation, dag_id: str, days: Sequence[date], *, again: bool) -> BackfillPostBody:
    return BackfillPostBody(
        dag_id=dag_id,
        from_date=_logical_date(obligation, min(days)),
        to_date=_logical_date(obligation, max(days)),
        reprocess_behavior=ReprocessBehavior.COMPLETED if again else ReprocessBehavior.FAILED,
        max_active_runs=1,  # oldest first, one by one
    )


def _logical_date(obligation: Obligation, day: date) -> datetime:
    """The start of a run's interval, which ends at the day's cut-off."""
    return obligation.cut_off.at(obligation.cut_off.previous_day(day))


@contextmanager
def _refusals(dag_id: str, consequence: str) -> Iterator[None]:
    """Turns what Airflow's functions raise into what the board says."""
    try:
        yield
    except SmkiError:
        raise
    except (HTTPException, RequestValidationError, AirflowException, ValueError) as error:
        said = str(error.detail) if isinstance(error, HTTPException) else "; ".join(map(str, error.args))
        raise ActionRefusedError(
            f"DAG {dag_id}", f"Airflow refused: {said.rstrip('.')}.", consequence, "see the DAG's runs in Airflow."
        ) from error
