"""What the board can do in Airflow (`airflow` has the calls).

* Clear: the failed tasks of a run begin again, and what came after them; or all of its tasks, which puts a file on the
  server again that was lost there.
* Backfill: days without a run, and days whose run failed, are run one by one, oldest first; days whose run ended well
  only when asked for. What is published stays as it is, whatever is run again.
* Trigger: a DAG that works on now, not on a day, is run once: the auditor, revocation lists, anchor files.

Each is shown before it is done: a plan is a dry run, and doing it looks at everything again.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import date

from fastapi import Request

from smki.obligations.catalogue import Obligation
from smki.watch.due import list_due
from smki_airflow.board import airflow
from smki_airflow.board.airflow import ActionRefusedError, BackfillRange, Session, User
from smki_airflow.board.runs import ENDED, FAILED, stages_of

_MOST_DAYS = 92


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """What a backfill would do."""

    obligation: Obligation
    first: date
    last: date
    again: bool  # also days whose run ended well
    days: tuple[date, ...]  # that would run, oldest first
    left: tuple[date, ...]  # that would not: their run is under way, ended well, or is of version 0.9


def plan_clear(session: Session, dag_id: str, run_id: str, *, whole: bool) -> list[str]:
    """Tasks of a run that failed, or all of them, with how many of each. Raises ActionRefusedError for none."""
    run = airflow.find_run(session, dag_id, run_id)
    counts: Counter[str] = Counter()
    for task in airflow.tasks_of(session, dag_id, [run_id]):
        if whole or task.state in FAILED:
            counts[task.task_id] += task.instances
    if not counts or (whole and (run is None or run.state not in ENDED)):
        raise ActionRefusedError(
            f"run {run_id}",
            "it has not ended, or there is none." if whole else "none of its tasks has failed.",
            "There is nothing to clear.",
            "see how the day stands now.",
        )
    stages = sorted(stages_of(session, dag_id, [run_id])[run_id], key=lambda stage: stage.place)
    return [
        f"{stage.task_id} ({count} of them)" if count > 1 else stage.task_id
        for stage in stages
        if (count := counts[stage.task_id])
    ]


def clear(session: Session, user: User, dag_id: str, run_id: str, *, whole: bool) -> None:
    """Begins the failed tasks of a run again, or all. Raises ActionRefusedError."""
    plan_clear(session, dag_id, run_id, whole=whole)
    airflow.clear_run(session, user, dag_id, run_id, only_failed=not whole)


def plan_backfill(session: Session, obligation: Obligation, first: date, last: date, *, again: bool) -> BackfillPlan:
    """Which days a backfill would run: Airflow's own dry run. Raises ActionRefusedError."""
    asked = _due_days(obligation, first, last)
    active = airflow.find_active_backfill(session, obligation.dag)
    if active is not None:
        raise ActionRefusedError(
            f"backfill of {obligation.dag}",
            f"backfill {active} of this DAG is under way, and Airflow works on one at a time.",
            "No day was added.",
            "wait until its runs have ended (it is marked as completed a little later), or cancel it in Airflow.",
        )
    cut_offs = airflow.dry_run_backfill(session, _range(obligation, asked, again=again))
    runs = tuple(day for day in asked if obligation.cut_off.at(day) in cut_offs)
    return BackfillPlan(obligation, first, last, again, runs, tuple(day for day in asked if day not in runs))


def backfill(session: Session, user: User, plan: BackfillPlan) -> None:
    """Has Airflow run the days of a plan. Raises ActionRefusedError, also where there is none."""
    if not plan.days:
        raise ActionRefusedError(
            f"backfill of {plan.obligation.dag}",
            "each day of the range has a run that is under way or ended well.",
            "There is nothing to run.",
            "ask for days that ended well, too, if they are to be run again.",
        )
    days = (*plan.days, *plan.left)
    airflow.create_backfill(session, user, _range(plan.obligation, days, again=plan.again))


def check_runnable(session: Session, dag_id: str) -> None:
    """Raises ActionRefusedError where Airflow does not know the DAG or would not run it."""
    paused = airflow.is_paused(session, dag_id)
    if paused is None:
        raise ActionRefusedError(
            f"DAG {dag_id}", "Airflow does not know it.", next_step="see the import errors on Airflow's home page."
        )
    if paused:
        raise ActionRefusedError(
            f"DAG {dag_id}", "it is paused, so its runs would wait.", next_step="unpause it, then ask again."
        )


def trigger(request: Request, session: Session, user: User, dag_id: str) -> None:
    """Runs a DAG once, now. Raises ActionRefusedError."""
    check_runnable(session, dag_id)
    airflow.trigger_run(request, session, user, dag_id)


def _due_days(obligation: Obligation, first: date, last: date) -> tuple[date, ...]:
    item = f"backfill of {obligation.dag} from {first} to {last}"
    if obligation.replaced_in_place:
        raise ActionRefusedError(
            item, "its files are replaced in place: there is one, not one a day.", next_step="run it now instead."
        )
    if first > last or (last - first).days >= _MOST_DAYS:
        rule = f"a range goes forward, over {_MOST_DAYS} days at most."
        raise ActionRefusedError(item, rule, next_step="choose other days.")
    days = tuple(due.business_date for due in list_due(obligation, first, last))
    if not days:
        rule = "no file is due on any of these days."
        raise ActionRefusedError(item, rule, next_step="choose days on which one is due.")
    return days


def _range(obligation: Obligation, days: tuple[date, ...], *, again: bool) -> BackfillRange:
    first, last = obligation.cut_off.at(min(days)), obligation.cut_off.at(max(days))
    return BackfillRange(obligation.dag, first, last, again=again)
