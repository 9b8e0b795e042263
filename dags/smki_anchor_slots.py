"""DAG `smki_anchor_slots`: the two anchor-slot files and their document, SEC Appendix O 2.3.3 (e), (f)."""

from datetime import timedelta

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, AssetWatcher

from smki.obligations.user_guide import load_user_guide
from smki.settings import Settings
from smki_airflow.anchor_tasks import produce, record, report
from smki_airflow.deadlines import deadlines
from smki_airflow.defaults import DEFAULT_ARGS, START_DATE, timetable
from smki_airflow.gated_publishing import publish_what_the_gate_clears
from smki_airflow.repository_trigger import RepositoryTrigger

settings = Settings.from_environment()
guide = load_user_guide(settings.config)
unpublished = RepositoryTrigger(question="smki_airflow.anchor_steps:unpublished")
changed = Asset("smki_changed_anchor_slots", watchers=[AssetWatcher(name="unpublished", trigger=unpublished)])

with DAG(
    dag_id="smki_anchor_slots",
    description="The base set for Device anchor slots by region, and the document on it, published to every site",
    schedule=AssetOrTimeSchedule(timetable=timetable(guide.obligation("anchor_document")), assets=[changed]),
    start_date=START_DATE,
    deadline=deadlines(guide, "smki_anchor_slots"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    dagrun_timeout=timedelta(hours=6),
    tags=["smki", "anchors", "2.3.3 (e)", "2.3.3 (f)"],
    doc_md="""
    ### Device anchor slots — SEC Appendix O 2.3.3 (e), (f) and their document
    Runs when `anchor_slots.toml` or a certificate in it has changed, and once a day to make sure. Both regions' files,
    the document and its table are made from one checked configuration and put in the place of the ones before them,
    with one version for all four. Where nothing has changed, nothing is replaced.

    **The gate** (`judge`) looks at all four before anybody else does; *Gate report*, under *Details* of the task and in
    its log, leads to what it checked and found. `GateRefusedError`: one of them is wrong, so none is published. It is
    kept in quarantine with its report for some weeks; nothing on the server changed. Put right what the report names,
    and clear the run from `produce` on.

    **The run is skipped:** there is no configuration yet, or only the placeholder that is shipped. `produce` says which
    file it looked at; SMKI_ANCHOR_SLOTS names another.

    **A task failed.** Its log ends with the item, the rule, the consequence and the next step. Mend the cause, then
    *Clear* the failed task.
    - `AnchorConfigurationError`, `AnchorSlotError`: all that is wrong is listed; `smki anchors check` shows every slot.
      What is published stays. Once it is mended the DAG runs by itself.
    - `RepositoryUnavailableError`, `StagingError`, `Site…Error`: retried for about an hour by itself.
    - `PublicationRefusedError`: the site holds a file that the ledger does not know. Never delete it by hand.

    **Some files are new and others are not.** `report` warns of it, and `smki anchors state` shows the version of each
    on each site; clearing the failed `publish` tasks, or the next run, completes the set.

    **Nothing is missed.** Trigger the DAG by hand at any time: it publishes what holds now. *Backfill* has no use here,
    because there is one set and not one a day.

    Each error, finding and move has its section in docs/runbook.md.
    """,
):
    produced = produce()
    published = publish_what_the_gate_clears("smki_airflow.judging_steps:judge_set", settings.sites, produced=produced)
    record(produced, published)
    published >> report()
