"""What every DAG of the project has in common: timetable, retries by the kind of error, the pool of publishers.

* A DataError or ConfigurationError fails the task at once: trying again gives the same answer.
* A TransportError is tried again, soon at first and then less often, for about an hour.
* One publisher at a time: every publishing task runs in the pool of one slot, backfills included.
* What the gate held waits for a person for six days: over any weekend, and over before the next full extract is due
  and before the staging area is cleared of it (`smki.store.staging`). Its run counts as active all that time.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import CronDataIntervalTimetable
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule

from smki.errors import ConfigurationError, DataError
from smki.obligations.catalogue import Obligation
from smki_airflow.failures import keep_error

START_DATE = datetime(2024, 1, 1, tzinfo=UTC)  # no run before; nothing is caught up, days are backfilled on purpose
OWNER = "smki-platform"
HELD_FOR = timedelta(days=6)

DEFAULT_ARGS: dict[str, Any] = {
    "owner": OWNER,
    "retries": 6,
    "retry_delay": timedelta(minutes=1),
    "retry_exponential_backoff": 2,
    "max_retry_delay": timedelta(minutes=20),
    "retry_policy": ExceptionRetryPolicy(
        rules=[
            RetryRule(
                exception=[DataError, ConfigurationError],
                action=RetryAction.FAIL,
                reason="the same call gives the same answer: see the error's next step",
            )
        ]
    ),
    "execution_timeout": timedelta(minutes=30),
    "on_failure_callback": keep_error,
    "on_retry_callback": keep_error,
}


def timetable(obligation: Obligation) -> CronDataIntervalTimetable:
    """The timetable of an obligation: a run for each cut-off, whose data interval ends there."""
    return CronDataIntervalTimetable(obligation.cut_off.cron, timezone="UTC")
