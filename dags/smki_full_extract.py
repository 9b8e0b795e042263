"""DAG `smki_full_extract`: the weekly full extract, SEC Appendix O 2.3.3 (a)."""

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
    dag_id="smki_full_extract",
    description="All certificates in use at the cut-off, published to every site",
    schedule=timetable(guide.full),
    start_date=START_DATE,
    deadline=deadlines(guide, "smki_full_extract"),
    catchup=False,
    max_active_runs=3,  # one that waits for a person counts, too
    default_args=DEFAULT_ARGS,
    dagrun_timeout=HELD_FOR + timedelta(hours=24),
    tags=["smki", "extract", "2.3.3 (a)"],
    doc_md=f"""
    ### Weekly full extract — SEC Appendix O 2.3.3 (a)
    Publishes all certificates with status I as of the cut-off's window as `SMKIKR_FULL_<date>.xml.gz`. A Party loads it
    and goes on with the delta of the next day.

    `render` and `verify` are mapped over segments of 65,536 certificates; all workers share the staging area.

    {GATE}

    **A task failed.** Its log ends with the item, the rule, the consequence and the next step. Mend the cause, then
    *Clear* the failed task; what other tasks did stays, and the content is the same as if it had run in time.
    - `RepositoryUnavailableError`, `StagingError`, `Site…Error`: retried for about an hour by itself.
    - `PublicationRefusedError`: the site holds other content under this name. Never delete it by hand.

    **A week is missing.** *Trigger → Backfill* with the cut-off's day minus seven as date (a run's logical date is the
    start of its week), or `airflow backfill create --dag-id smki_full_extract --from-date D-7 --to-date D-7`.

    Each error, finding and move has its section in docs/runbook.md.
    """,
):
    shares = plan(obligation="full")
    name = assemble(render.expand(numbers=shares))
    verified = verify.partial(name=name).expand(numbers=shares)
    published = publish_what_the_gate_clears(
        "smki_airflow.judging_steps:judge_extract", settings.sites, name=name, verified=verified
    )
    close_window() >> shares
    record(published)
