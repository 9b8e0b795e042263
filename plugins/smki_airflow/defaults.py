"""What every DAG of the project has in common: timetable, retries by the kind of error, the pool of publishers.

* A DataError or ConfigurationError fails the task at once: trying again gives the same answer.
* A TransportError is tried again, soon at first and then less often, for about an hour. So is a window that is minutes
  too early: the clocks of Airflow and the database differ.
* One publisher at a time in each lane: what changes a site runs in a pool of one slot, backfills included. Whatever
  waits for a slot, revocation lists go first, then deltas and anchor files, then full extracts.
* What the gate held waits for a person for six days: over any weekend, and over before the next full extract is due
  and before the store's garbage is collected (`smki.publish.garbage`). Its run counts as active all that time.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

from airflow.sdk import (
    AssetOrTimeSchedule,
    CronTriggerTimetable,
    ExceptionRetryPolicy,
    Param,
    RetryAction,
    RetryRule,
)

from smki.errors import ConfigurationError, DataError, EarlyWindowError, ObligationError
from smki.obligations.catalogue import AnchorSlots, DeltaExtract, FullExtract, Kind, Obligation, RevocationList
from smki.obligations.user_guide import load_user_guide
from smki.settings import Settings
from smki_airflow.signals.deadlines import deadlines
from smki_airflow.signals.failures import on_failure, on_retry
from smki_airflow.signals.repository_trigger import RepositoryTrigger, asset_of

START_DATE = datetime(2024, 1, 1, tzinfo=UTC)  # no run before; nothing is caught up, days are backfilled on purpose
HELD_FOR = timedelta(days=6)

DEFAULT_ARGS: dict[str, Any] = {
    "owner": "smki-platform",
    "retries": 6,
    "retry_delay": timedelta(minutes=1),
    "retry_exponential_backoff": 2,
    "max_retry_delay": timedelta(minutes=20),
    "retry_policy": ExceptionRetryPolicy(
        rules=[
            RetryRule(exception=EarlyWindowError, action=RetryAction.RETRY, reason="clocks of two machines differ"),
            RetryRule(
                exception=[DataError, ConfigurationError],
                action=RetryAction.FAIL,
                reason="the same call gives the same answer: see the error's next step",
            ),
        ]
    ),
    "execution_timeout": timedelta(minutes=30),
    "on_failure_callback": on_failure,
    "on_retry_callback": on_retry,
}

_PRIORITY: dict[type[Kind], int] = {RevocationList: 30, DeltaExtract: 20, AnchorSlots: 20, FullExtract: 10}

# Of every DAG.
DAG_DEFAULTS: dict[str, Any] = {"start_date": START_DATE, "catchup": False, "default_args": DEFAULT_ARGS}

# Params: what the command line has an option for.
DRY_RUN = {
    "dry_run": Param(default=False, type="boolean", title="Dry run", description="Look and say; change nothing.")
}
ANY_DAY = {
    "any_day": Param(
        default=None,
        type=["null", "string"],
        format="date",
        title="Any day",
        description="Publish the extract of this day, though none is due on it (for recovery), not that of the run.",
    )
}

FROM_SCRATCH = {
    "from_scratch": Param(
        default=False,
        type="boolean",
        title="From scratch",
        description="Render and verify every page, though some could be taken over from the extract before.",
    )
}


def published_by(dag_id: str) -> tuple[Obligation, ...]:
    """The obligations that name the DAG as theirs. Raises ObligationError for a user guide that contradicts itself."""
    return load_user_guide(Settings.from_environment().config).published_by(dag_id)


def publishing_dag(dag_id: str, *, begun_by: RepositoryTrigger | None = None) -> dict[str, Any]:
    """Arguments of a DAG that publishes: all that the catalogue says of the obligations that name it as theirs.

    `begun_by` is a trigger that begins runs beside those of the timetable. Raises ObligationError where no obligation
    names the DAG.
    """
    guide, published = load_user_guide(Settings.from_environment().config), published_by(dag_id)
    if not published:
        raise ObligationError(f"DAG {dag_id}", "user_guide.toml has no obligation that this DAG publishes.")
    # One run makes sure of all files of a DAG: the user guide gives them one cut-off. Without an interval that is the
    # logical date, so that a day has one run, whether on schedule, backfilled or begun by hand.
    times = CronTriggerTimetable(published[0].cut_off.cron, timezone="UTC")
    first = max(_PRIORITY[type(one.kind)] for one in published)
    return DAG_DEFAULTS | {
        "dag_id": dag_id,
        "default_args": DEFAULT_ARGS | {"priority_weight": first, "weight_rule": "absolute"},
        "schedule": AssetOrTimeSchedule(timetable=times, assets=[asset_of(begun_by)]) if begun_by else times,
        "deadline": deadlines(guide, dag_id),
        "tags": ["smki", *sorted({_tag(one.kind) for one in published}), *clause_tags(published)],
        "params": ANY_DAY | FROM_SCRATCH if any(isinstance(one.kind, FullExtract) for one in published) else {},
    }


def clause_tags(obligations: Iterable[Obligation]) -> list[str]:
    """The paragraphs that the obligations' clauses name, such as "2.3.3 (a)"."""
    found = [re.search(r"\d+(\.\d+)+ \(\w+\)", one.clause) for one in obligations]
    return list(dict.fromkeys(match[0] for match in found if match))


def _tag(kind: Kind) -> str:
    match kind:
        case FullExtract() | DeltaExtract():
            return "extract"
        case RevocationList():
            return "revocation"
        case AnchorSlots():
            return "anchors"
        case _:
            assert_never(kind)
