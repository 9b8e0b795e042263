"""### Daily delta, SEC Appendix O 2.3.3 (b)

Closes the window that ends at the cut-off, and publishes what it changed as `SMKIKR_DELT_<date>.xml.gz`.

**A task failed.** Its log ends with what is wrong and what to do; mend the cause, then *Clear* the failed task. The
content is the same as if it had run in time.
Runbook: [clear](/smki/board/runbook#clear), [every error](/smki/board/runbook#errors).

**`release` waits, or `judge` failed.** The gate held the file, or refused it.
Runbook: [held](/smki/board/runbook#held), [FAIL](/smki/board/runbook#fail).

**A day is missing.** *Trigger → Backfill* with that day as date: a run's logical date is its cut-off. Windows
close in order, whatever order the runs have. Runbook: [backfill](/smki/board/runbook#backfill).
"""

from datetime import timedelta

from airflow.sdk import DAG

from smki_airflow.defaults import HELD_FOR, publishing_dag
from smki_airflow.tasks.extracts import extract_run

with DAG(
    **publishing_dag("smki_daily_delta"),
    doc_md=__doc__,
    description="Certificates lodged or changed in the 24 hours before the cut-off, published to every site",
    max_active_runs=16,  # one that waits for a person counts, too
    dagrun_timeout=HELD_FOR + timedelta(hours=12),
):
    extract_run("delta")
