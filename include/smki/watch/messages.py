"""What people are told when a finding opens or closes. Pure: what is known of it in, a subject and a text out.

One message says which file on which site, since when, how late, the likely cause, what to do, who answers for it, and
where to look. It goes to the obligation's contact; what is of no obligation concerns the contacts of all.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from smki.gate.ledger import GateRun
from smki.obligations.catalogue import UserGuide
from smki.watch.failures import Failure
from smki.watch.findings_ledger import KnownFinding
from smki.watch.links import Links
from smki.watch.states import DueStatus, span


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


def message(
    known: KnownFinding,
    guide: UserGuide,
    stands: DueStatus | None,
    cause: Failure | None,
    gate_run: GateRun | None,
    links: Links,
) -> Message:
    """The message of a finding's opening or, where it is closed, of its closing.

    `stands` is how the due file stands that it is about, `cause` the last error of what was to publish it, `gate_run`
    what is or was held.
    """
    finding = known.finding
    what = f"{finding.kind}: {finding.item}" + (f" on site {finding.site}" if finding.site else "")
    facts = [
        *_about(known, guide, stands, gate_run),
        *(_open(known, cause) if known.closed_at is None else ()),
        *_where(known, guide, stands, cause, gate_run, links),
    ]
    width = max(len(name) for name, _ in facts)
    lines = [what, finding.rule, ""] if known.closed_at is None else [f"closed: {what}", f"It was: {finding.rule}", ""]
    lines += [f"{name:<{width}}  {' '.join(value.split())}" for name, value in facts]
    about = guide.find(finding.obligation or "", finding.subject)
    contacts = [about.contact] if about else [one.contact for one in guide.all]
    return Message(
        tuple(dict.fromkeys(contacts)), f"[SMKI] {'closed: ' if known.closed_at else ''}{what}", "\n".join(lines) + "\n"
    )


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
