"""How everything stands at an instant: the same for the board, the terminal and other systems (docs/status-api.md).

* An obligation stands as the worst of what has to be on the server now: the first one missed, then late, held, at risk,
  due. Where all is there, it stands as its newest file does.
* In order means: nothing is late, missed or held, and no finding is open.
* The recovery chain is what a Party loads to get from nothing to today: the newest full extract that every site offers
  and each delta after it. A hole is a delta that some site lacks although its publish-by has passed. What the auditor
  found lost, wrong or unreadable on a site is not offered there.
* Findings of sites that nothing is published to any more say nothing of today.
"""

import platform
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from smki.obligations.catalogue import Obligation, UserGuide
from smki.watch.due import Due, DueKey, list_due, next_due
from smki.watch.due_status import DueStatus, State, as_it_is_now, due_status, list_stands
from smki.watch.facts import Facts, Offered, load_facts, read_clocks
from smki.watch.findings import NOT_USABLE, OF_A_DUE_FILE
from smki.watch.findings_ledger import KnownFinding, list_looks, list_open_findings
from smki.watch.forecast import HISTORY, forecasts
from smki.watch.repository_findings import find_wrong_clocks

VERSION = 1  # of the JSON; it rises when a field goes or changes its meaning, not when one is added
OUT_OF_ORDER = frozenset({State.MISSED, State.UNUSABLE, State.LATE, State.HELD})
_WORST_FIRST = (State.MISSED, State.UNUSABLE, State.LATE, State.HELD, State.AT_RISK, State.DUE)
_LOOKS_MISSED = 3  # one may fail, and one may take long
_OLDEST_FULL = timedelta(days=366)  # that is looked for

Expected = Mapping[DueKey, datetime]  # when what is not there yet will be (UTC)


@dataclass(frozen=True, slots=True)
class Standing:
    """How one obligation stands."""

    obligation: Obligation
    leading: DueStatus | None  # the due file that says so; none while there is nothing to publish
    unmet: tuple[DueStatus, ...]  # what has to be on the server now and is not, oldest first
    last: Offered | None  # the newest file that was published
    last_day: date | None  # its business date; none for a file that is replaced in place
    next: Due  # what has to be there next: the current file while it is not there, else the one after it

    @property
    def state(self) -> State:
        return State.NOTHING if self.leading is None else self.leading.state

    @property
    def words(self) -> str:
        return str(State.NOTHING) if self.leading is None else self.leading.words


@dataclass(frozen=True, slots=True)
class ChainLink:
    """One delta of the recovery chain."""

    status: DueStatus
    missing_sites: tuple[str, ...]  # that do not offer it now

    @property
    def is_hole(self) -> bool:
        """Whether a Party cannot get past it."""
        return bool(self.missing_sites) and self.status.at >= self.status.due.publish_by


@dataclass(frozen=True, slots=True)
class Chain:
    """From the newest full extract to now."""

    full: Offered | None  # none: no full extract is on every site
    full_day: date | None
    links: tuple[ChainLink, ...]  # oldest first

    @property
    def holes(self) -> tuple[ChainLink, ...]:
        return tuple(link for link in self.links if link.is_hole)

    @property
    def complete(self) -> bool:
        """Whether a Party gets to the newest delta that is due."""
        return self.full is not None and not self.holes


@dataclass(frozen=True, slots=True)
class SiteLook:
    """When the auditor looked at a site last."""

    site: str
    looked_at: datetime | None  # UTC; none: never
    is_overdue: bool  # so long ago that nobody would know what is wrong there


@dataclass(frozen=True, slots=True)
class StatusReport:
    at: datetime  # UTC
    sites: tuple[str, ...]
    standings: tuple[Standing, ...]  # in the order of Obligation
    chain: Chain
    findings: tuple[KnownFinding, ...]  # that are open, oldest first
    looks: tuple[SiteLook, ...] = ()  # one a site

    @property
    def out_of_order(self) -> tuple[Standing, ...]:
        """Obligations with something late, missed, not usable or held."""
        return tuple(one for one in self.standings if any(unmet.state in OUT_OF_ORDER for unmet in one.unmet))

    @property
    def about_published(self) -> tuple[KnownFinding, ...]:
        """Open findings about what was published: no state says them, and a state is newer than the others."""
        return tuple(known for known in self.findings if known.finding.kind not in OF_A_DUE_FILE)

    def findings_of(self, obligation: Obligation) -> tuple[KnownFinding, ...]:
        """Those of them that are about an obligation's files."""
        return tuple(known for known in self.about_published if known.finding.is_of(obligation))

    @property
    def in_order(self) -> bool:
        """Whether nobody has to do anything."""
        return not self.out_of_order and not self.findings

    def as_json(self) -> dict[str, Any]:
        """JSON types, as docs/status-api.md describes them."""
        return {
            "version": VERSION,
            "at": _instant(self.at),
            "in_order": self.in_order,
            "sites": list(self.sites),
            "obligations": [_standing_as_json(standing) for standing in self.standings],
            "recovery_chain": _chain_as_json(self.chain),
            "findings": [_finding_as_json(known) for known in self.findings],
            "looks": [
                {"site": look.site, "looked_at": _instant(look.looked_at), "overdue": look.is_overdue}
                for look in self.looks
            ],
        }


def status_report(engine: Engine, guide: UserGuide, sites: Iterable[str], now: datetime) -> StatusReport:
    """How everything stands at `now` (UTC), from the ledger. Raises RepositoryUnavailableError."""
    facts = load_facts(engine, guide, sites, (now - HISTORY).date())
    expected_at = forecasts(guide, facts, now)
    return report_of(guide, facts, findings_at(engine, now), now, expected_at, list_looks(engine))


def findings_at(engine: Engine, now: datetime) -> list[KnownFinding]:
    """Open findings as of `now` (UTC): those of the ledger, and wrong clocks, which no site has to be looked at for.

    Raises RepositoryUnavailableError.
    """
    known = list_open_findings(engine)
    items = {(one.finding.kind, one.finding.item) for one in known}
    clocks = find_wrong_clocks(read_clocks(engine), now, platform.node())
    new = [finding for finding in clocks if (finding.kind, finding.item) not in items]
    return [*known, *(KnownFinding(None, finding, now, now, None) for finding in new)]


def report_of(
    guide: UserGuide,
    facts: Facts,
    findings: Sequence[KnownFinding],
    now: datetime,
    expected_at: Expected,
    looks: Mapping[str, datetime],
) -> StatusReport:
    """Like `status_report`, for facts already loaded (at least 16 days); `looks` are the last ones (UTC), by site."""
    findings = [known for known in findings if known.finding.site in ("", *facts.sites)]
    unusable = unusable_files(findings, facts.sites)
    standings = tuple(_standing(obligation, facts, unusable, now, expected_at) for obligation in guide.all)
    chain = recovery_chain(guide, facts, findings, now)
    oldest = now - _LOOKS_MISSED * guide.audit_every
    seen = tuple(SiteLook(site, at := looks.get(site), at is None or at < oldest) for site in facts.sites)
    return StatusReport(now, facts.sites, standings, chain, tuple(findings), seen)


def unusable_files(findings: Iterable[KnownFinding], sites: Collection[str]) -> frozenset[tuple[str, str]]:
    """What Parties cannot load from one of the sites by the open ones of these findings: site and name of each file."""
    return frozenset(
        (known.finding.site, known.finding.item)
        for known in findings
        if known.finding.kind in NOT_USABLE and known.closed_at is None and known.finding.site in sites
    )


def recovery_chain(guide: UserGuide, facts: Facts, findings: Iterable[KnownFinding], now: datetime) -> Chain:
    """What a Party loads to get to `now` (UTC); `findings` are those that are open."""
    unusable = unusable_files(findings, facts.sites)
    today = now.astimezone(UTC).date()
    oldest = today - _OLDEST_FULL
    day = today
    while day >= oldest:
        there = _on_sites(facts, Due(guide.full, day), unusable)
        offered = there[facts.sites[0]] if there and there.keys() >= set(facts.sites) else None
        if offered is not None:
            following = [due for due in list_due(guide.delta, day + timedelta(days=1), today) if due.cut_off <= now]
            return Chain(offered, day, tuple(_link(due, facts, unusable, now) for due in following))
        day -= timedelta(days=1)
    return Chain(None, None, ())


def _standing(
    obligation: Obligation,
    facts: Facts,
    unusable: Collection[tuple[str, str]],
    now: datetime,
    expected_at: Expected,
) -> Standing:
    since = facts.since(obligation)
    stands = [as_it_is_now(one, unusable) for one in list_stands(obligation, facts, now, expected_at)]
    if not stands and since is not None:  # its first one is still to come
        stands = [due_status(Due(obligation, since), facts, now)]
    unmet = tuple(one for one in stands if one.state in _WORST_FIRST)
    leading = min(unmet, key=lambda one: _WORST_FIRST.index(one.state), default=stands[-1] if stands else None)
    last, last_day = _last(obligation, facts, now)
    ahead = next((one.due for one in unmet if one.due.publish_by > now), None) or next_due(obligation, now)
    return Standing(obligation, leading, unmet, last, last_day, ahead)


def _last(obligation: Obligation, facts: Facts, now: datetime) -> tuple[Offered | None, date | None]:
    if obligation.replaced_in_place:
        return next(reversed(facts.offered(obligation, now.date())), None), None
    day = now.astimezone(UTC).date()
    oldest = day - _OLDEST_FULL
    while day >= oldest:
        if offered := facts.offered(obligation, day):
            return offered[-1], day
        day -= timedelta(days=1)
    return None, None


def _on_sites(facts: Facts, due: Due, unusable: Collection[tuple[str, str]]) -> dict[str, Offered]:
    """A due file as each site offers it now, by site."""
    offered = facts.offered(due.obligation, due.business_date)
    return {one.site: one for one in offered if one.ended_at is None and (one.site, one.name) not in unusable}


def _link(due: Due, facts: Facts, unusable: Collection[tuple[str, str]], now: datetime) -> ChainLink:
    there = _on_sites(facts, due, unusable)
    return ChainLink(
        as_it_is_now(due_status(due, facts, now), unusable), tuple(site for site in facts.sites if site not in there)
    )


def _standing_as_json(standing: Standing) -> dict[str, Any]:
    obligation, last = standing.obligation, standing.last
    return {
        "obligation": obligation.name,
        "subject": obligation.subject,
        "title": obligation.title,
        "clause": obligation.clause,
        "owner": obligation.owner,
        "contact": obligation.contact,
        "state": standing.state.value,
        "words": standing.words,
        "due": None if standing.leading is None else _status_as_json(standing.leading),
        "unmet": [_status_as_json(status) for status in standing.unmet],
        "last_file": None
        if last is None
        else {
            "name": last.name,
            "bytes": last.bytes,
            "records": last.records,
            "sha256": last.sha256,
            "published_at": _instant(last.first_published_at),
        },
        "next": {
            "file": standing.next.name,
            "business_date": standing.next.business_date.isoformat(),
            "cut_off": _instant(standing.next.cut_off),
            "publish_by": _instant(standing.next.publish_by),
        },
    }


def _status_as_json(status: DueStatus) -> dict[str, Any]:
    return {
        "file": status.due.name,
        "business_date": status.due.business_date.isoformat(),
        "state": status.state.value,
        "words": status.words,
        "cut_off": _instant(status.due.cut_off),
        "publish_by": _instant(status.due.publish_by),
        "published_at": _instant(status.published_at),
        "margin_s": None if status.margin is None else round(status.margin.total_seconds()),
        "expected_at": _instant(status.expected_at),
        "missing_sites": list(status.missing_sites),
    }


def _chain_as_json(chain: Chain) -> dict[str, Any]:
    return {
        "full": None if chain.full is None else chain.full.name,
        "complete": chain.complete,
        "deltas": [
            {
                "file": link.status.due.name,
                "business_date": link.status.due.business_date.isoformat(),
                "state": link.status.state.value,
                "missing_sites": list(link.missing_sites),
                "hole": link.is_hole,
            }
            for link in chain.links
        ],
    }


def _finding_as_json(known: KnownFinding) -> dict[str, Any]:
    finding = known.finding
    return {
        "id": known.id,
        "kind": finding.kind.value,
        "site": finding.site or None,
        "item": finding.item,
        "obligation": finding.obligation,
        "subject": finding.subject,
        "business_date": None if finding.business_date is None else finding.business_date.isoformat(),
        "rule": finding.rule,
        "next_step": finding.next_step,
        "runbook": finding.kind.section,
        "first_seen": _instant(known.first_seen),
        "last_seen": _instant(known.last_seen),
    }


def _instant(at: datetime | None) -> str | None:
    """RFC 3339, in UTC, to the second."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
