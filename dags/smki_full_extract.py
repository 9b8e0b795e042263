"""### Weekly full extract, SEC Appendix O 2.3.3 (a)

Publishes all certificates with status I as of the cut-off's window as `SMKIKR_FULL_<date>.xml.gz`. A Party loads it
and goes on with the delta of the next day. Param *Any day* publishes that of a day on which none is due, for
recovery.

**A task failed.** Its log ends with what is wrong and what to do; mend the cause, then *Clear* the failed task. What
other tasks did stays, and the content is the same as if it had run in time.
Runbook: [clear](/smki/board/runbook#clear), [every error](/smki/board/runbook#errors).

**`release` waits, or `judge` failed.** The gate held the file, or refused it.
Runbook: [held](/smki/board/runbook#held), [FAIL](/smki/board/runbook#fail).

**A week is missing.** *Trigger → Backfill* with the cut-off's day as date: it is the run's logical date.
Runbook: [backfill](/smki/board/runbook#backfill).
"""

from datetime import timedelta

from airflow.sdk import DAG

from smki_airflow.defaults import HELD_FOR, publishing_dag
from smki_airflow.tasks.extracts import extract_run

with DAG(
    **publishing_dag("smki_full_extract"),
    doc_md=__doc__,
    description="All certificates in use at the cut-off, published to every site",
    max_active_runs=3,  # one that waits for a person counts, too
    dagrun_timeout=HELD_FOR + timedelta(hours=24),
):
    extract_run("full")
