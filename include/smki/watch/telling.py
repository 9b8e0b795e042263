"""Tells people of findings that opened and closed: what the message says, where it leads, and that it is sent once.

* Whoever looks tells: the auditor in Airflow or on a command line, and Airflow's deadline alerts. They differ in how
  they send. What cannot be sent never stops them: it is logged, and sent at the next look.
* One message says which file on which site, since when, how late, the likely cause, what to do, who answers for it, and
  where to look. It goes to the obligation's contact; what is about no obligation goes to the contacts of all.
* What one look finds of one kind is one message to each contact, and so is a broken chain with the files that it lacks.
  Each file that is held has its own, as each is decided.
* A risk that turns into a miss is closed without a message, and so is a miss that goes on as that of the next file.
* Links are made of names. Where the base of an address is not known, there is no link.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from smki.errors import NotificationError
from smki.gate.ledger import GateRun, find_gate_run
from smki.obligations.catalogue import DeltaExtract, UserGuide
from smki.watch.due import Due
from smki.watch.due_status import DueStatus, due_status
from smki.watch.facts import load_facts
from smki.watch.findings import NOT_USABLE, Finding, Kind
from smki.watch.findings_ledger import (
    Failure,
    KnownFinding,
    became_a_miss,
    claim_telling,
    last_failure,
    list_open_findings,
    list_untold,
)
from smki.watch.links import Links
from smki.words import span

log = logging.getLogger(__name__)


_OF_A_DUE_FILE = (Kind.AT_RISK, Kind.MISSING)
_BREAKS_CHAIN = (Kind.LOST, Kind.MISSING, *sorted(NOT_USABLE - {Kind.LOST}))


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent, once, by every channel there is."""

    to: tuple[str, ...]  # contacts as the user guide states them; not all need be mail addresses
    subject: str
    text: str

    @property
    def mail_addresses(self) -> tuple[str, ...]:
        """Those of the contacts that mail can be sent to."""
        return tuple(contact for contact in self.to if "@" in contact and " " not in contact)


Send = Callable[[Message], None]  # raises NotificationError


def write_message(
    known: KnownFinding,
    guide: UserGuide,
    stands: DueStatus | None,
    cause: Failure | None,
    gate_run: GateRun | None,
    links: Links,
    others: Sequence[KnownFinding] = (),
) -> Message:
    """The message of a finding's opening or, where it is closed, of its closing.

    `stands` is how the due file stands that it is about, `cause` the last error of what was to publish it, `gate_run`
    what is or was held; `others` have the same cause.
    """
    finding = known.finding
    more = f" and {len(others)} more" if others else ""
    what = f"{finding.kind}: {finding.item}{more}" + (f" on site {finding.site}" if finding.site else "")
    facts = [
        *_about(known, guide, stands, gate_run),
        *(_open(known, cause) if known.closed_at is None else ()),
        *_where(known, guide, stands, cause, gate_run, links),
    ]
    width = max(len(name) for name, _ in facts)
    lines = [what, finding.rule, ""] if known.closed_at is None else [f"closed: {what}", f"It was: {finding.rule}", ""]
    lines += [f"{name:<{width}}  {' '.join(value.split())}" for name, value in facts]
    if others:
        lines += ["", f"{len(others)} more:"]
        lines += [f"{one.finding.kind}: {one.finding.item}: {one.finding.rule}" for one in others]
    subject = f"[SMKI] {'closed: ' if known.closed_at else ''}{what}"
    return Message(_contacts(finding, guide), subject, "\n".join(lines) + "\n")


def _contacts(finding: Finding, guide: UserGuide) -> tuple[str, ...]:
    about = guide.find(finding.obligation or "", finding.subject)
    return tuple(dict.fromkeys([about.contact] if about else [one.contact for one in guide.all]))


def _about(
    known: KnownFinding, guide: UserGuide, stands: DueStatus | None, gate_run: GateRun | None
) -> Iterator[tuple[str, str]]:
    finding = known.finding
    if about := guide.find(finding.obligation or "", finding.subject):
        yield "obligation", f"{about.name}, {about.clause}" + (f", for {about.subject}" if about.subject else "")
    if finding.business_date:
        yield "day", finding.business_date.isoformat()
    if stands is not None:
        yield "state", stands.words
    yield "seen first", f"{known.first_seen:%Y-%m-%d %H:%M} UTC"
    if gate_run is not None and (decision := gate_run.decision):
        yield "released" if decision.released else "rejected", f"by {decision.decided_by}: {decision.reason}"
    if known.closed_at is not None:
        yield "closed", f"{known.closed_at:%Y-%m-%d %H:%M} UTC, after {span(known.closed_at - known.first_seen)}"


def _open(known: KnownFinding, cause: Failure | None) -> Iterator[tuple[str, str]]:
    if cause is not None:
        yield "likely cause", f"task {cause.task} failed at {cause.failed_at:%Y-%m-%d %H:%M} UTC: {cause.error}"
    yield "what to do", known.finding.next_step


def _where(
    known: KnownFinding,
    guide: UserGuide,
    stands: DueStatus | None,
    cause: Failure | None,
    gate_run: GateRun | None,
    links: Links,
) -> Iterator[tuple[str, str]]:
    obligation = guide.find(known.finding.obligation or "", known.finding.subject)
    published_by = stands.offered.run if stands is not None and stands.offered is not None else ""
    label = cause.run if cause is not None and known.closed_at is None else published_by
    if run := links.run(label if gate_run is None else gate_run.judgement.run):
        yield "run", run
    elif obligation and (dag := links.dag(obligation.dag)):
        yield "DAG", dag
    judged = gate_run if gate_run is not None or stands is None else stands.judged
    if judged is not None and (report := links.report(judged.id)):
        yield "report", report
    yield "runbook", links.section(known.finding.kind)


def tell(engine: Engine, guide: UserGuide, send: Send, now: datetime, links: Links) -> int:
    """Sends what is to be told at `now` (UTC); returns how many messages went. Raises RepositoryUnavailableError."""
    sent = 0
    for group in group_by_cause(list_untold(engine, now), guide):
        try:
            with claim_telling(engine, group, now) as claimed:
                news = [known for known in claimed if not _goes_on(engine, guide, known, now)]
                if not news:
                    continue
                known, *others = news
                stands = _stands(engine, guide, known, now)
                cause = None
                if stands is not None:
                    due = stands.due
                    cause = last_failure(engine, due.obligation.dag, due.business_date, due.cut_off)
                number = known.finding.gate_run
                gate_run = None if number is None else find_gate_run(engine, number)
                send(write_message(known, guide, stands, cause, gate_run, links, others))
                sent += 1
        except NotificationError as error:
            first = group[0].finding
            log.warning("message not sent kind=%s item=%s error=%s", first.kind, first.item, error)
    return sent


def _goes_on(engine: Engine, guide: UserGuide, known: KnownFinding, now: datetime) -> bool:
    """Whether a finding closed because another one says what is wrong now."""
    if known.closed_at is None or known.finding.kind is not Kind.MISSING:
        return known.closed_at is not None and became_a_miss(engine, known)
    stands = _stands(engine, guide, known, now)
    if stands is None or stands.is_met or isinstance(stands.due.obligation.kind, DeltaExtract):
        return False
    due = stands.due
    following = Due(due.obligation, due.obligation.cut_off.next_day(due.business_date))
    goes_on = (Kind.MISSING, known.finding.site, following.label)
    return goes_on in {(one.finding.kind, one.finding.site, one.finding.item) for one in list_open_findings(engine)}


def group_by_cause(untold: Iterable[KnownFinding], guide: UserGuide) -> list[list[KnownFinding]]:
    """What is told in one message each."""
    groups = dict[tuple[object, ...], list[KnownFinding]]()
    for known in untold:
        finding, is_open = known.finding, known.closed_at is None
        alone = known.id if finding.kind is Kind.HELD else None
        seen_at = known.closed_at or known.first_seen
        key: tuple[object, ...] = (finding.kind, finding.site, is_open, seen_at, _contacts(finding, guide), alone)
        groups.setdefault(key, []).append(known)
    for key in [key for key in groups if key[0] is Kind.CHAIN_BROKEN]:
        if behind := next((other for kind in _BREAKS_CHAIN if (other := (kind, *key[1:])) in groups), None):
            groups[behind] += groups.pop(key)
    return list(groups.values())


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
