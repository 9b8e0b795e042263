"""DAG `smki_retention`: removes from every site what is past its time, SEC Appendix O 2.3.3 (b)."""

from datetime import timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable

from smki.obligations.user_guide import load_user_guide
from smki.settings import Settings
from smki_airflow.defaults import DEFAULT_ARGS, START_DATE
from smki_airflow.retention_tasks import clear_quarantine, clear_staging, remove_files

settings = Settings.from_environment()

with DAG(
    dag_id="smki_retention",
    description="Deltas older than seven days and superseded full extracts leave every site",
    schedule=CronDataIntervalTimetable(load_user_guide(settings.config).retention_cron, timezone="UTC"),
    start_date=START_DATE,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    dagrun_timeout=timedelta(hours=12),
    tags=["smki", "retention", "2.3.3 (b)"],
    doc_md="""
    ### Retention — SEC Appendix O 2.3.3 (b)
    A delta is available for 7 days from its publication and is then removed; of the full extracts the two newest stay.
    Only what the ledger published, and only with the ledger's hash, is ever removed. What failed runs left in the
    staging area goes after a week, what the gate refused after 30 days in quarantine.

    `smki retention plan` says, without changing anything, what stays and goes, and by which rule.

    **The log warns.** `hold`: a delta is past its days, but Parties need it because no newer full extract is on the
    server: get the full extract out. `lost`: a published file is missing: clear its run, which publishes it again.
    `foreign`: somebody put it there; it is never touched.

    **A task failed.** Its log ends with the item, the rule, the consequence and the next step. Mend the cause, then
    *Clear* the failed task; all other files were dealt with.
    - `RepositoryUnavailableError`, `StagingError`, `Site…Error`: retried for about an hour by itself.
    - `ConfigurationError`: the publisher's account may not remove files. Give it the right.
    - `RemovalRefusedError`: under a published name stand other bytes than were published. Find out whose they are.

    **A day is missing.** Nothing to do: each run removes all that is due by then. *Backfill* is harmless and needless.

    Each error, finding and move has its section in docs/runbook.md.
    """,
):
    remove_files.expand(site=list(settings.sites))
    clear_staging()
    clear_quarantine()
