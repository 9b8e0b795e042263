"""DAG `smki_auditor`: looks at every site as a Party does, and says what is wrong there."""

from datetime import timedelta

from airflow.sdk import DAG, DeltaTriggerTimetable

from smki.obligations.user_guide import load_user_guide
from smki.settings import Settings
from smki_airflow.auditor_tasks import audit
from smki_airflow.defaults import DEFAULT_ARGS, START_DATE

settings = Settings.from_environment()

with DAG(
    dag_id="smki_auditor",
    description="What every site really offers, compared with the obligations and the ledger",
    schedule=DeltaTriggerTimetable(load_user_guide(settings.config).audit_every),
    start_date=START_DATE,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    dagrun_timeout=timedelta(hours=1),
    tags=["smki", "audit", "2.3.3 (a)", "2.3.3 (b)", "2.3.3 (c)", "2.3.3 (d)", "2.3.3 (e)", "2.3.3 (f)"],
    doc_md="""
    ### Auditor — all of SEC Appendix O 2.3.3
    Logs in to each site with a Party's read-only account (connection `smki_audit_NAME`), lists and hashes what is
    there, and compares it with the obligations and the ledger. What is wrong is a *finding*: it opens once, closes
    once, and people are told of both. A finding does not fail the task. `smki audit` does the same without Airflow.

    **A finding is open.** docs/runbook.md has a section for each kind: what it means, what to check, what to do.

    **A task failed.** Nothing could be compared, so nobody knows how the site is: the next run tries again. Its log
    ends with the item, the rule, the consequence and the next step (docs/runbook.md#failures).
    - `RepositoryUnavailableError`: PostgreSQL does not answer. Findings stay as they were.
    - `ConfigurationError`, or no connection: complete `smki_audit_NAME`.

    **A run is missing.** Nothing to do: each looks at what is there then. *Backfill* has no use here.
    """,
):
    audit.expand(site=list(settings.sites))
