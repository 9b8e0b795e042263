"""Tells people of findings that opened and closed: each event once, again at the next look where it could not be told.

Whoever looks tells: the auditor in Airflow or on a command line, and Airflow's deadline alerts. They differ in how they
send. What cannot be sent never stops them: it is logged, and stays to be told.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Engine

from smki.errors import NotificationError
from smki.gate.ledger import newest_gate_run
from smki.obligations.catalogue import UserGuide
from smki.watch.due import Due
from smki.watch.facts import load_facts
from smki.watch.failures import Failure, last_failure
from smki.watch.findings import Kind
from smki.watch.findings_ledger import KnownFinding, became_a_miss, telling, untold
from smki.watch.links import Links
from smki.watch.messages import Message, message
from smki.watch.states import DueStatus, due_status

log = logging.getLogger(__name__)

Send = Callable[[Message], None]  # raises NotificationError
_OF_A_DUE_FILE = (Kind.AT_RISK, Kind.MISSING)


def tell(engine: Engine, guide: UserGuide, send: Send, now: datetime, links: Links) -> int:
    """Sends what is to be told at `now` (UTC); returns how many messages went. Raises RepositoryUnavailableError."""
    sent = 0
    for known in untold(engine, now):
        try:
            with telling(engine, known, now) as still_to_be_told:
                if not still_to_be_told or (known.closed_at is not None and became_a_miss(engine, known)):
                    continue
                stands = _stands(engine, guide, known, now)
                cause = None if stands is None else _cause(engine, stands.due)
                gate_run = newest_gate_run(engine, known.finding.item) if known.finding.kind is Kind.HELD else None
                send(message(known, guide, stands, cause, gate_run, links))
                sent += 1
        except NotificationError as error:
            log.warning("message not sent kind=%s item=%s error=%s", known.finding.kind, known.finding.item, error)
    return sent


def _stands(engine: Engine, guide: UserGuide, known: KnownFinding, now: datetime) -> DueStatus | None:
    """How the due file stands that a finding is about; none where it is about something else."""
    finding = known.finding
    if finding.kind not in _OF_A_DUE_FILE or finding.obligation is None or finding.business_date is None:
        return None
    obligation = guide.find(finding.obligation, finding.subject)
    if obligation is None:
        return None
    due = Due(obligation, finding.business_date)
    facts = load_facts(engine, guide, [finding.site], finding.business_date)
    return due_status(due, facts, now)


def _cause(engine: Engine, due: Due) -> Failure | None:
    return last_failure(engine, due.obligation.dag, due.business_date, due.cut_off)
