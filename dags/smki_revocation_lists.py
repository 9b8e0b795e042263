"""### Organisation ARL and CRL, SEC Appendix O 2.3.3 (c), (d)

Runs when `smki lodge` has put a revocation list into the repository that some site does not offer yet, and once a day
to make sure. A list that is published stays as it is; an older one never replaces a newer one, whatever is retried or
cleared.

**A task failed.** Its log ends with what is wrong and what to do; mend the cause, then *Clear* the failed task.
Runbook: [clear](/smki/board/runbook#clear), [every error](/smki/board/runbook#errors).

**`release` waits, or `judge` failed.** The gate held the list, or refused it. A decision belongs to the list: later
runs of the same list do not ask again. Runbook: [held](/smki/board/runbook#held), [FAIL](/smki/board/runbook#fail).

**`check_next_update` warns** of a list that nears its nextUpdate while none follows it.
Runbook: [next update](/smki/board/runbook#next-update).

**A list is missing.** `smki rejected` names what could not be lodged. Otherwise *Trigger* the DAG: it publishes what
is newest. *Backfill* has no use here: there is one file a list and not one a day.
"""

from datetime import timedelta

from airflow.sdk import DAG

from smki_airflow.defaults import HELD_FOR, publishing_dag
from smki_airflow.signals.repository_trigger import UnpublishedLists
from smki_airflow.tasks.revocation import check_next_update, publish_lists

with DAG(
    **publishing_dag("smki_revocation_lists", begun_by=UnpublishedLists()),
    doc_md=__doc__,
    description="The latest Organisation ARL and CRL, published to every site within minutes of lodging",
    max_active_runs=16,  # one that waits for a person counts, too
    dagrun_timeout=HELD_FOR + timedelta(hours=6),
):
    check_next_update()
    publish_lists("smki_revocation_lists")
