"""DAG `smki_daily_delta`: the day's delta, SEC Appendix O 2.3.3 (b)."""

from datetime import timedelta

from airflow.sdk import DAG

from smki.obligations.user_guide import load_user_guide
from smki.settings import Settings
from smki_airflow.deadlines import deadlines
from smki_airflow.defaults import DEFAULT_ARGS, HELD_FOR, START_DATE, timetable
from smki_airflow.extract_tasks import assemble, close_window, plan, record, render, verify
from smki_airflow.gated_publishing import GATE, publish_what_the_gate_clears

settings = Settings.from_environment()
guide = load_user_guide(settings.config)

with DAG(
    dag_id="smki_daily_delta",
    description="Certificates lodged or changed in the 24 hours before the cut-off, published to every site",
    schedule=timetable(guide.delta),
    start_date=START_DATE,
    deadline=deadlines(guide, "smki_daily_delta"),
    catchup=False,
    max_active_runs=16,  # one that waits for a person counts, too
    default_args=DEFAULT_ARGS,
    dagrun_timeout=HELD_FOR + timedelta(hours=12),
    tags=["smki", "extract", "2.3.3 (b)"],
    doc_md=f"""
    ### Daily delta — SEC Appendix O 2.3.3 (b)
    Closes the window that ends at the cut-off, and publishes what it changed as `SMKIKR_DELT_<date>.xml.gz`.

    {GATE}

    **A task failed.** Its log ends with the item, the rule, the consequence and the next step. Mend the cause, then
    *Clear* the failed task; the content is the same as if it had run in time.
    - `RepositoryUnavailableError`, `StagingError`, `Site…Error`: retried for about an hour by itself.
    - `PublicationRefusedError`: the site holds other content under this name. Never delete it by hand.

    **A day is missing.** *Trigger → Backfill* with the day before as date (a run's logical date is the start of its 24
    hours), or `airflow backfill create --dag-id smki_daily_delta --from-date D-1 --to-date D-1`.
    Windows close one by one in order, whatever order the runs have.

    Each error, finding and move has its section in docs/runbook.md.
    """,
):
    shares = plan(obligation="delta")
    name = assemble(render.expand(numbers=shares))
    verified = verify.partial(name=name).expand(numbers=shares)
    published = publish_what_the_gate_clears(
        "smki_airflow.judging_steps:judge_extract", settings.sites, name=name, verified=verified
    )
    close_window() >> shares
    record(published)
