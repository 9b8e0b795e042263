"""DAG `smki_revocation_lists`: the Organisation ARL and CRL, SEC Appendix O 2.3.3 (c), (d)."""

from datetime import timedelta

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, AssetWatcher

from smki.obligations.user_guide import load_user_guide
from smki.settings import Settings
from smki_airflow.deadlines import deadlines
from smki_airflow.defaults import DEFAULT_ARGS, HELD_FOR, START_DATE, timetable
from smki_airflow.gated_publishing import GATE
from smki_airflow.repository_trigger import RepositoryTrigger
from smki_airflow.revocation_tasks import check_next_update, publish_list

settings = Settings.from_environment()
guide = load_user_guide(settings.config)
unpublished = RepositoryTrigger(question="smki_airflow.revocation_steps:unpublished")
lodged = Asset("smki_lodged_revocation_list", watchers=[AssetWatcher(name="unpublished", trigger=unpublished)])

with DAG(
    dag_id="smki_revocation_lists",
    description="The latest Organisation ARL and CRL, published to every site within minutes of lodging",
    schedule=AssetOrTimeSchedule(timetable=timetable(guide.obligation("crl")), assets=[lodged]),
    start_date=START_DATE,
    deadline=deadlines(guide, "smki_revocation_lists"),
    catchup=False,
    max_active_runs=16,  # one that waits for a person counts, too
    default_args=DEFAULT_ARGS,
    dagrun_timeout=HELD_FOR + timedelta(hours=6),
    tags=["smki", "revocation", "2.3.3 (c)", "2.3.3 (d)"],
    doc_md=f"""
    ### Organisation ARL and CRL — SEC Appendix O 2.3.3 (c), (d)
    Runs when `smki lodge` has put a revocation list into the repository that some site does not offer yet, and once a
    day to make sure. Both lists are read from the repository, checked and put in the place of the ones before them.
    A list that is published stays as it is; an older one never replaces a newer one, whatever is retried or cleared.

    {GATE}

    A decision belongs to the list: its later runs neither ask again nor publish what was rejected. To be asked again,
    clear a run from `judge` on. While a list waits, other runs that find the very same list are skipped.

    **A task failed.** Its log ends with the item, the rule, the consequence and the next step. Mend the cause, then
    *Clear* the failed task.
    - `RepositoryUnavailableError`, `StagingError`, `Site…Error`: retried for about an hour by itself.
    - `GateRefusedError`, nextUpdate has passed: no new list was lodged in time. Have the CA issue one and lodge it.
    - `PublicationRefusedError`: the site holds a file that the ledger does not know. Never delete it by hand.

    **`check_next_update` warns** of a list that nears its nextUpdate while none follows it: `smki revocation list`.

    **A list that cannot be lodged** never gets here: `smki rejected` names it with its reason.

    **Nothing is missed.** Trigger the DAG by hand at any time: it publishes what is newest. *Backfill* has no use here,
    because there is one file a list and not one a day.

    Each error, finding and move has its section in docs/runbook.md.
    """,
):
    check_next_update()
    publish_list.override(group_id="arl")("arl", list(settings.sites))
    publish_list.override(group_id="crl")("crl", list(settings.sites))
