"""The step of the auditor's run: look at one site as a Party does, and tell people what opened and closed.

A finding is not a failure of the task: it fails only where nothing could be compared.
"""

import logging
from datetime import UTC, datetime

from smki.watch.auditor import audit_site
from smki_airflow.handover import Json, opened
from smki_airflow.sites import open_audited_site
from smki_airflow.telling import tell_people

log = logging.getLogger(__name__)


def audit(site: str) -> Json:
    """Looks at a site and records what is wrong; returns how much of what there is."""
    _, engine, guide = opened()
    now = datetime.now(UTC)
    audit = audit_site(engine, open_audited_site(site), guide, now)
    told = tell_people(engine, guide, now)
    counts = {"files": audit.files, "read_back": audit.hashed, "findings": len(audit.findings), "told": told}
    log.info("audited site=%s %s", site, " ".join(f"{name}={count}" for name, count in counts.items()))
    return {"site": site, **counts}
