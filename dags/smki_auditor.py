"""### Auditor, all of SEC Appendix O 2.3.3

Logs in to each site with a Party's read-only account (connection `smki_audit_NAME`), lists and hashes what is there,
and compares it with the obligations and the ledger. What is wrong is a *finding*: it opens once, closes once, and
people are told of both. A finding does not fail the task. A look ends within twenty minutes; one that finds another at
work on its site ends at once. `smki audit` does the same without Airflow; a run with
param *Dry run* records nothing and tells nobody.

**A finding is open.** The [runbook](/smki/board/runbook#findings) has a section for each kind.

**A task failed.** Nothing could be compared, so nobody knows how the site is; findings stay as they were and the next
run looks again. The log ends with what is wrong and what to do; *Clear* has no use. Runbook:
[failures](/smki/board/runbook#failures), [every error](/smki/board/runbook#errors).

**A run is missing.** Nothing to do: each looks at what is there then. *Backfill* has no use here.
"""

from datetime import timedelta

from airflow.sdk import DAG, DeltaTriggerTimetable

from smki.obligations.user_guide import load_user_guide
from smki.settings import Settings
from smki_airflow.defaults import DAG_DEFAULTS, DRY_RUN, clause_tags
from smki_airflow.tasks.auditor import audit_sites

settings = Settings.from_environment()
guide = load_user_guide(settings.config)

with DAG(
    **DAG_DEFAULTS,
    dag_id="smki_auditor",
    doc_md=__doc__,
    description="What every site really offers, compared with the obligations and the ledger",
    schedule=DeltaTriggerTimetable(guide.audit_every),
    max_active_runs=7,  # a site that takes long to look at keeps no other from its next look
    dagrun_timeout=timedelta(hours=1),
    tags=["smki", "audit", *clause_tags(guide.all)],
    params=DRY_RUN,
):
    audit_sites(settings.sites)
