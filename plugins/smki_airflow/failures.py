"""Keeps what a failing task said last, so that whoever is told of a miss is told its likely cause."""

import logging
from datetime import UTC, datetime
from typing import Any

log = logging.getLogger(__name__)


def keep_error(context: Any) -> None:
    """Airflow's callback for a try that failed, whether it is tried again or not. Never raises."""
    error = context.get("exception")
    if error is None:
        return
    try:
        from smki.watch.findings_ledger import Failure, record_failure
        from smki_airflow.handover import opened

        run, cut_off = context["dag_run"], context.get("data_interval_end")
        _, engine, _ = opened()
        record_failure(
            engine,
            Failure(
                run=f"{run.dag_id}/{run.run_id}",
                task=context["ti"].task_id,
                business_date=cut_off.date() if cut_off else None,
                error=f"{type(error).__name__}: {error}",
                failed_at=datetime.now(UTC),
            ),
        )
    except Exception as problem:  # noqa: BLE001  # the error itself is in the log of the task
        log.warning("error not kept problem=%s: %s", type(problem).__name__, problem)
