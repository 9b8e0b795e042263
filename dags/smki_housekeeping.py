"""### Housekeeping of Airflow itself

Removes from Airflow's own database what is older than SMKI_KEEP_RUNS_DAYS (30 days): runs with their tasks, the log of
who did what, jobs, events; and from the log folder the logs of that age. What was published, judged, released and found
is in the repository's ledger, which nothing here touches. A run with param *Dry run* says how much would go.

Airflow keeps tasks away from its database, so the workers have it as the connection `smki_metadata`.

**A task failed.** Its log ends with what is wrong and what to do; mend the cause, then *Clear* the failed task. Nothing
else depends on it; a database that grows for weeks makes Airflow slow. Runbook: [clear](/smki/board/runbook#clear),
[failures](/smki/board/runbook#failures).

**A run is missing.** Nothing to do: each run removes all that is old by then. *Backfill* has no use here.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from smki.obligations.user_guide import load_user_guide
from smki.settings import Settings
from smki_airflow.defaults import DAG_DEFAULTS, DRY_RUN
from smki_airflow.tasks.housekeeping import clean_metadata, remove_logs

with DAG(
    **DAG_DEFAULTS,
    dag_id="smki_housekeeping",
    doc_md=__doc__,
    description="Airflow's own records and logs leave when they are older than a month",
    schedule=CronTriggerTimetable(
        load_user_guide(Settings.from_environment().config).retention_cron,
        timezone="UTC",
    ),
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    tags=["smki", "housekeeping"],
    params=DRY_RUN,
):
    clean_metadata()
    remove_logs()
