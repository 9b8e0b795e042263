"""What happens when a try of a task fails: its log says what to do in Airflow, and the ledger keeps the error.

The domain's errors say what is wrong and what mends it, wherever they are raised. That a task is cleared afterwards,
and from where on, is said here and nowhere else.
"""

import logging
from datetime import UTC, datetime
from typing import Any

from smki.errors import (
    AnchorConfigurationError,
    AnchorSlotError,
    GateRefusedError,
    GateRejectedError,
    MissingObjectError,
    PlanError,
    SmkiError,
)
from smki_airflow.run import open_project, run_of

log = logging.getLogger(__name__)

_CLEAR = "mend the cause, then clear the failed task."
_OTHERWISE: dict[type[SmkiError], str] = {
    AnchorConfigurationError: "mend the cause: the DAG then runs by itself.",
    AnchorSlotError: "mend the cause: the DAG then runs by itself.",
    GateRefusedError: "put right what the gate report names, then clear the run from its first task on.",
    GateRejectedError: "to be asked again, clear the run from `judge` on; a delta that stays rejected: "
    "docs/runbook.md#correction.",
    MissingObjectError: "see whether SMKI_STORE is right; if it is, clear the run from its first task on.",
    PlanError: "clear the run from its first task on.",
}


def on_failure(context: Any) -> None:
    """Airflow's callback for a task that is not tried again. Never raises."""
    advice = advice_for(context.get("exception"))
    if advice:
        log.error("in Airflow: %s", advice)
    _keep_error(context, advice)


def on_retry(context: Any) -> None:
    """Airflow's callback for a task that is tried again by itself. Never raises."""
    _keep_error(context)


def advice_for(error: BaseException | None) -> str:
    """What to do in Airflow about a task that failed with this error; empty for an error that is not ours."""
    if not isinstance(error, SmkiError):
        return ""
    return next((_OTHERWISE[kind] for kind in type(error).__mro__ if kind in _OTHERWISE), _CLEAR)


def _keep_error(context: Any, advice: str = "") -> None:
    """Keeps the error in the ledger: whoever is told of a miss is told the last one as its likely cause."""
    error = context.get("exception")
    if error is None:
        return
    try:
        from smki.watch.findings_ledger import Failure, record_failure

        run = run_of(context)
        said = f"{type(error).__name__}: {error}" + (f" In Airflow: {advice}" if advice else "")
        day = run.business_date if run.cut_off or run.any_day else None
        failure = Failure(run.label, context["ti"].task_id, day, said, datetime.now(UTC))
        record_failure(open_project().engine, failure)
    except Exception as problem:  # noqa: BLE001  # the error itself is in the log of the task
        log.warning("error not kept problem=%s: %s", type(problem).__name__, problem)
