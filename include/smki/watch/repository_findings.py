"""What is wrong by the repository and its ledger alone, also of a site that cannot be looked at.

Pure: values in, findings out.

* A file is at risk from its warning time on, or before it where the forecast ends after publish-by; missing from
  publish-by on. That the gate holds it is no risk before the warning time: whoever has to decide is told of that.
* What the gate holds is about no single site, and so are clocks that differ by more than a minute, events that are
  dated in the future, and lists that no obligation publishes.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from smki.gate.ledger import GateRun
from smki.kinds.revocation.lodging import ListFacts
from smki.obligations.catalogue import DeltaExtract, UserGuide
from smki.watch.due_status import DueStatus, State
from smki.watch.facts import Clocks
from smki.watch.findings import Finding, Kind, held_item
from smki.words import span

_CLOCKS_APART = timedelta(minutes=1)


def find_late_or_at_risk(site: str, stands: Iterable[DueStatus]) -> Iterator[Finding]:
    """What is not on the site although, when that was looked up, its publish-by or its warning time had come.

    The auditor and Airflow's deadline alerts both use it, so that what both see is one finding.
    """
    for one in stands:
        if one.state in (State.NOTHING, State.DUE, State.CORRECTED) or site not in one.missing_sites:
            continue
        due, is_late = one.due, one.at >= one.due.publish_by
        if not is_late and one.state is State.HELD and one.at < due.warn_at:
            continue
        rule = f"it {'was' if is_late else 'is'} due at {due.publish_by:%Y-%m-%d %H:%M} UTC and is not there"
        if not is_late and one.expected_at is not None and one.expected_at > due.publish_by:
            rule += f"; it is expected at {one.expected_at:%H:%M} UTC"
        gate = ""
        if one.state is State.HELD:
            gate = " The gate holds it: a person has to decide."
        elif one.refused and isinstance(due.obligation.kind, DeltaExtract):
            gate = " The gate refused it: if that stays so, a full extract of the next day takes its place."
        yield Finding(
            Kind.MISSING if is_late else Kind.AT_RISK,
            site,
            due.label,
            f"{rule}.{gate}",
            due.obligation.name,
            due.business_date,
            due.obligation.subject,
        )


def find_held(guide: UserGuide, waiting: Iterable[GateRun]) -> Iterator[Finding]:
    """A finding for each gate run that waits for a person; it is about no single site."""
    for run in waiting:
        judged = run.judgement
        obligation = guide.find(judged.obligation, judged.subject)
        day = None if obligation and obligation.replaced_in_place else judged.business_date
        tripped = "; ".join(f"{result.observed} (expected: {result.expected})" for result in judged.failed)
        rule = f"gate run {run.id} holds it since {judged.judged_at:%Y-%m-%d %H:%M} UTC: {tripped}."
        item = held_item(judged.name, run.id)
        yield Finding(Kind.HELD, "", item, rule, judged.obligation, day, judged.subject)


def find_wrong_clocks(clocks: Clocks, now: datetime, observer: str) -> Iterator[Finding]:
    """Findings about no single site: the database's clock against that of a machine, and events of the future.

    `now` (UTC) is by the clock of the machine `observer`.
    """
    apart = clocks.database - now
    if abs(apart) > _CLOCKS_APART:
        ahead = "ahead of" if apart > timedelta() else "behind"
        rule = (
            f"the database's clock is {span(abs(apart))} {ahead} that of {observer}; windows close by the database's."
        )
        yield Finding(Kind.CLOCKS, "", "database clock", rule)
    if clocks.future_events:
        rule = (
            f"{clocks.future_events:,} status events are dated in the future, up to "
            f"{clocks.newest_event:%Y-%m-%d %H:%M} UTC: they are in no delta and no full extract until then."
        )
        yield Finding(Kind.CLOCKS, "", "future events", rule)


def find_lists_without_obligation(lists: Iterable[ListFacts]) -> Iterator[Finding]:
    """A finding for each issuer whose lists nobody gets, about no single site."""
    for lodged in lists:
        rule = f"{lodged} is lodged, with {lodged.entries:,} entries, and no obligation publishes its issuer's lists."
        yield Finding(Kind.LIST_WITHOUT_OBLIGATION, "", f"{lodged.kind} of {lodged.issuer_display}", rule)
