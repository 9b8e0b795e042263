"""### Device anchor slots, SEC Appendix O 2.3.3 (e), (f) and their document

Runs when `anchor_slots.toml` or a certificate in it has changed, and once a day to make sure. Both regions' files,
the document and its table are made from one checked configuration, judged together, and put in the place of the ones
before them with one version for all four. Where nothing has changed, nothing is replaced.

**A task failed.** Its log ends with what is wrong and what to do; mend the cause, then *Clear* the failed task. What
is published stays. `smki anchors check` shows every slot; a mended configuration begins a run by itself.
Runbook: [clear](/smki/board/runbook#clear), [FAIL](/smki/board/runbook#fail), [every
error](/smki/board/runbook#errors).

**The run is skipped.** There is no configuration yet, or only the placeholder that is shipped: the log of `produce`
says which file it looked at.

**Some files are new and others are not.** `report` warns of it.
Runbook: [anchors unequal](/smki/board/runbook#anchors-unequal).

**A file is missing.** *Trigger* the DAG: it publishes what holds now. *Backfill* has no use here: there is one set
and not one a day.
"""

from datetime import timedelta

from airflow.sdk import DAG

from smki_airflow.defaults import publishing_dag
from smki_airflow.publishing.wiring import gated_publishing
from smki_airflow.signals.repository_trigger import UnpublishedAnchors
from smki_airflow.tasks.anchors import SetGate, produce, record, report

with DAG(
    **publishing_dag("smki_anchor_slots", begun_by=UnpublishedAnchors()),
    doc_md=__doc__,
    description="The base set for Device anchor slots by region, and the document on it, published to every site",
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
):
    produced = produce()
    published = gated_publishing(SetGate(produced=produced), in_place=True)
    record(produced, published)
    published >> report()
