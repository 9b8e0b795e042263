"""The auditor's run: look at each site as a Party does, and tell people what opened and closed.

A finding is not a failure of the task: it fails only where nothing could be compared. A dry run (param `dry_run`) looks
and says what it found in the log, as `smki audit --dry-run` does: it records nothing and tells nobody.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from airflow.sdk import task

from smki_airflow.run import Json, is_dry_run, open_project
from smki_airflow.signals.metrics import measure_findings, measure_lists

log = logging.getLogger(__name__)


def audit_sites(sites: Sequence[str]) -> None:
    """A task for each site: a look that takes long keeps no other site from its next one.

    A look that finds another one at work on its site ends at once. If it waited for a turn instead, the time of its run
    would pass meanwhile, and looks would be ended in their midst.
    """
    for site in sites:
        audit.override(task_id=f"audit_{site}")(site)


# The next run looks again anyway: one that cannot look ends within minutes, so that it is seen to fail.
@task(
    retries=3,
    retry_delay=timedelta(seconds=20),
    max_retry_delay=timedelta(minutes=1),
)
def audit(site: str, params: Json | None = None) -> Json:
    """Returns how many files there are, were read back and have findings, and how many messages went out.

    All of it is zero where another look was at work on the site (`left_alone`).
    """
    from smki.kinds.revocation.file import ages_of_lists
    from smki.watch.auditor import audit_site
    from smki.watch.findings_ledger import list_open_findings
    from smki_airflow.signals.telling import tell_people
    from smki_airflow.sites import open_audited_site

    project, now = open_project(), datetime.now(UTC)
    dry_run = is_dry_run(params)
    audit = audit_site(
        project.engine,
        project.store,
        open_audited_site(site),
        project.guide,
        now,
        bytes_a_day=project.settings.audit_bytes_a_day,
        record=not dry_run,
        sites=project.settings.sites,
    )
    told = 0
    if not dry_run:
        told = tell_people(project.engine, project.guide, now)
        measure_findings(list_open_findings(project.engine))
        measure_lists(ages_of_lists(project.engine, project.guide, now))
    counts = {"files": audit.files, "read_back": audit.hashed, "pages": audit.pages}
    counts |= {"findings": len(audit.findings), "told": told, "left_alone": int(audit.left_alone)}
    log.info("audited site=%s %s", site, " ".join(f"{name}={count}" for name, count in counts.items()))
    return {"site": site, **counts}
