"""What Airflow's deadline alerts do when a time has come: look at the ledger, open findings, tell people."""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime

from smki.watch.due import Due
from smki.watch.facts import load_facts
from smki.watch.findings import find_late_or_at_risk
from smki.watch.findings_ledger import open_finding
from smki.watch.states import due_status
from smki_airflow.handover import opened
from smki_airflow.telling import tell_people

log = logging.getLogger(__name__)


def open_findings(obligations: Iterable[str], cut_off: datetime) -> None:
    """Opens a finding for each file of the day of `cut_off` that some site lacks now, and tells people."""
    settings, engine, guide = opened()
    try:
        now, day = datetime.now(UTC), cut_off.astimezone(UTC).date()
        facts = load_facts(engine, guide, settings.sites, day)
        due = [Due(one, day) for one in map(guide.obligation, obligations) if one.cut_off.falls_on(day)]
        stands = [due_status(one, facts, now) for one in due if facts.since(one.obligation)]
        for site in settings.sites:
            for finding in find_late_or_at_risk(site, stands, now):
                log.warning("finding kind=%s site=%s item=%s rule=%s", finding.kind, site, finding.item, finding.rule)
                open_finding(engine, finding, now)
        for stand in stands:
            log.info("deadline file=%s state=%s", stand.due.label, stand.words)
        tell_people(engine, guide, now)
    finally:
        engine.dispose()  # the triggerer lives on
