"""### Retention, SEC Appendix O 2.3.3 (b)

A delta is available for 7 days from its publication and is then removed; of the full extracts the two newest stay.
Only what the ledger published, and only with the ledger's hash, is ever removed. What the gate refused goes after 30
days in quarantine, and from the store what no file needs any more, after a week. A run with param *Dry run*, or `smki
retention plan` and `smki store garbage`, says what would go and by which rule, and changes nothing.

**The log warns.** `wait`: a delta is past its days, but Parties need it until a newer full extract is on the server.
`lost`: a published file is missing. `foreign`: somebody put it there; it is never touched.
Runbook: [expired](/smki/board/runbook#expired), [lost](/smki/board/runbook#lost),
[unexpected](/smki/board/runbook#unexpected).

**A task failed.** Its log ends with what is wrong and what to do; mend the cause, then *Clear* the failed task. All
other files were dealt with. Runbook: [clear](/smki/board/runbook#clear), [every error](/smki/board/runbook#errors).

**A day is missing.** Nothing to do: each run removes all that is due by then. *Backfill* is harmless and needless.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from smki.obligations.user_guide import load_user_guide
from smki.settings import Settings
from smki_airflow.defaults import DAG_DEFAULTS, DRY_RUN
from smki_airflow.tasks.retention import clear_quarantine, collect_garbage, record, retire_files

settings = Settings.from_environment()

with DAG(
    **DAG_DEFAULTS,
    dag_id="smki_retention",
    doc_md=__doc__,
    description="Deltas older than seven days and superseded full extracts leave every site",
    schedule=CronTriggerTimetable(load_user_guide(settings.config).retention_cron, timezone="UTC"),
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    tags=["smki", "retention", "2.3.3 (b)"],
    params=DRY_RUN,
):
    removed, cleared, garbage = retire_files(settings.sites), clear_quarantine(), collect_garbage()
    cleared >> [garbage, record(removed, garbage)]
