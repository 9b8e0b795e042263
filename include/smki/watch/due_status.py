"""The state of each due file, in the words that people use. Pure: what the ledger says, and the time, in; states out.

* MET: on every site by publish-by. MET_LATE: on every site, after it; that stays on record for ever.
* HELD: the gate held it, or another file of its set, and nobody has decided yet, whatever the time is.
* DUE: not there, and its warning time has not come. AT_RISK: its warning time has come, or the forecast ends after
  publish-by. LATE: publish-by has passed. MISSED: the next one is due, too.
* CORRECTED: a delta that the gate failed or a person rejected, in whose place every site was given a full extract of a
  later day: Parties go on from that one. The full extract of its own day says what the delta was refused for, so it
  corrects nothing. Should the delta be published after all, it is MET_LATE.
* UNUSABLE: it was on every site, and an open finding says that Parties cannot load it from some site now.
* NOTHING: there is nothing to publish, such as a revocation list before one is lodged.

A dated file is met by its publication under its name. A file that is replaced in place is met by a gate run after its
cut-off that cleared the content that every site offers: the daily run found that nothing newer is to be offered. Other
processors may compress the same content to other bytes: that is the same content. What the gate held before the cut-off
and nobody had decided by then counts for this day, too, from its decision on: while it waits, no other run judges it.

A file of a day on which none is due, which a person asked for, is never late and never missed.

What is not there stands until it is published, corrected or succeeded; that time passes settles nothing:

* A full extract, or a file that is replaced in place, is succeeded once the next one is met, or once the publish-by of
  the next one has come, which says it from then on.
* A delta is succeeded, once its days on the server are over, by a full extract of a later day on every site; or by its
  end where retention has removed it from the sites that had it. It is looked for as far back as the facts reach.
"""

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import assert_never

from smki.obligations.catalogue import DeltaExtract, KeepForDays, KeepNewest, Obligation, ReplaceInPlace, UserGuide
from smki.watch.due import Due, DueKey, due_on_server, list_due
from smki.watch.facts import Facts, GateVerdict, Offered
from smki.words import span


class State(StrEnum):
    MET = "met"
    MET_LATE = "met late"
    HELD = "held"
    DUE = "due"
    AT_RISK = "at risk"
    LATE = "late"
    MISSED = "missed"
    CORRECTED = "corrected"
    UNUSABLE = "not usable"
    NOTHING = "nothing to publish"


@dataclass(frozen=True, slots=True)
class DueStatus:
    """How one due file stands at an instant."""

    due: Due
    state: State
    at: datetime  # UTC
    published_at: datetime | None = None  # UTC; when the last site had it
    missing_sites: tuple[str, ...] = ()
    offered: Offered | None = None  # on one of the sites
    judged: GateVerdict | None = None  # the newest gate run over it
    expected_at: datetime | None = None  # UTC; when the forecast has it published
    corrected_by: date | None = None  # the day of the full extract that takes its place

    @property
    def refused(self) -> bool:
        """Whether the gate failed it, or a person rejected it, and nothing has cleared it since."""
        return self.judged is not None and not self.judged.cleared and self.state is not State.HELD

    @property
    def is_met(self) -> bool:
        return self.state in (State.MET, State.MET_LATE)

    @property
    def margin(self) -> timedelta | None:
        """From publication to publish-by; negative where it came late."""
        return None if self.published_at is None else self.due.publish_by - self.published_at

    @property
    def words(self) -> str:
        """The state in words, such as `late by 1 h 12 min`."""
        by = f"{self.due.publish_by:%Y-%m-%d %H:%M} UTC"
        left = span(self.due.publish_by - self.at)
        held_with = self.judged.held_with if self.judged is not None else None
        late = self.expected_at is not None and self.expected_at > self.due.publish_by
        words = {
            State.DUE: f"due in {left}",
            State.AT_RISK: f"at risk: due in {left}" + (f", expected {self.expected_at:%H:%M} UTC" if late else ""),
            State.LATE: f"late by {span(self.at - self.due.publish_by)}",
            State.MISSED: f"missed: was due {by}",
            State.MET_LATE: f"met, late by {span(-(self.margin or timedelta()))}",
            State.HELD: f"held by the gate{f' with {held_with.name}' if held_with else ''}: due {by}",
            State.CORRECTED: f"corrected by the full extract of {self.corrected_by}: was due {by}",
            State.UNUSABLE: f"not usable on {', '.join(self.missing_sites)}: was due {by}",
        }
        return words.get(self.state, str(self.state))


def list_due_statuses(
    guide: UserGuide,
    facts: Facts,
    first: date,
    last: date,
    now: datetime,
    expected: Mapping[DueKey, datetime] | None = None,
) -> list[DueStatus]:
    """How every file that is due from `first` to `last` stands at `now` (UTC), by obligation and day.

    `expected` has the forecast of publications that are under way.
    """
    return [
        due_status(due, facts, now, (expected or {}).get(due.key))
        for obligation in guide.all
        for due in list_due(obligation, max(first, facts.since(obligation) or first), last)
    ]


def list_stands(
    obligation: Obligation, facts: Facts, now: datetime, expected: Mapping[DueKey, datetime]
) -> list[DueStatus]:
    """How all that has to be on the server at `now` (UTC) stands, oldest first; the last one is the newest."""
    first = facts.since(obligation)
    due = [] if first is None else due_on_server(obligation, first, now)
    if first is None or not due:
        return []
    stands = [due_status(one, facts, now, expected.get(one.key)) for one in due]
    match obligation.kind.retirement:
        case KeepForDays():
            after_full = facts.full_days[-1] if facts.full_days else first
            last = due[0].business_date - timedelta(days=1)
            older = list_due(obligation, max(first, facts.reach_back_to, after_full), last)
            return [*(one for one in (due_status(one, facts, now) for one in older) if _stands_on(one, facts)), *stands]
        case KeepNewest() | ReplaceInPlace():
            met = max((number for number, one in enumerate(stands) if one.is_met), default=0)
            return stands[met:]
        case never:
            assert_never(never)


def _stands_on(delta: DueStatus, facts: Facts) -> bool:
    """Whether a delta whose days are over is still needed: some site never had it, and retention has not removed it."""
    offered = facts.offered(delta.due.obligation, delta.due.business_date)
    is_retired = bool(offered) and all(one.ended_at is not None for one in offered)
    return not (delta.is_met or is_retired or delta.state in (State.CORRECTED, State.NOTHING))


def due_status(due: Due, facts: Facts, now: datetime, expected_at: datetime | None = None) -> DueStatus:
    """How one due file stands at `now` (UTC)."""
    runs = gate_runs_of(due, facts)
    judged = runs[-1] if runs else None
    by_site = _replaced_in_place(due, facts, runs) if due.obligation.replaced_in_place else _dated(due, facts)
    missing = tuple(site for site in facts.sites if site not in by_site)
    since = max((at for _, at in by_site.values()), default=None)
    published_at = None if missing else since
    state = _state(due, facts, judged, published_at, now, expected_at)
    corrected_by = _corrected_by(due, facts, judged)
    if corrected_by is not None and state not in (State.MET, State.MET_LATE, State.NOTHING, State.HELD):
        state = State.CORRECTED
    offered = next((one for one, _ in by_site.values()), None)
    return DueStatus(due, state, now, published_at, missing, offered, judged, expected_at, corrected_by)


def as_it_is_now(status: DueStatus, unusable: Collection[tuple[str, str]]) -> DueStatus:
    """The same, held against open findings: `unusable` are files (site, name) that Parties cannot load.

    A name that is used for ever is that of the newest day.
    """
    due = status.due
    sites = tuple(sorted(site for site, name in unusable if name == due.name))
    is_past = due.obligation.replaced_in_place and due.next_cut_off <= status.at
    if not sites or is_past or not status.is_met:
        return status
    return replace(status, state=State.UNUSABLE, missing_sites=sites)


def _corrected_by(due: Due, facts: Facts, judged: GateVerdict | None) -> date | None:
    if not isinstance(due.obligation.kind, DeltaExtract) or judged is None or judged.cleared:
        return None
    return next((day for day in facts.full_days if day > due.business_date), None)


def _state(
    due: Due,
    facts: Facts,
    judged: GateVerdict | None,
    published_at: datetime | None,
    now: datetime,
    expected_at: datetime | None,
) -> State:
    since = facts.since(due.obligation)
    if published_at is not None:
        return State.MET if published_at <= due.publish_by or due.is_asked_for else State.MET_LATE
    if since is None or due.business_date < since:
        return State.NOTHING
    if judged is not None and judged.waits:
        return State.HELD
    if due.is_asked_for:
        return State.NOTHING
    if now >= due.missed_at:
        return State.MISSED
    if now >= due.publish_by:
        return State.LATE
    if now >= due.warn_at or (expected_at is not None and expected_at > due.publish_by):
        return State.AT_RISK
    return State.DUE


def gate_runs_of(due: Due, facts: Facts) -> list[GateVerdict]:
    """The gate runs over the file, oldest first; of a name that is used for ever those of this day."""
    runs = facts.judged(due.obligation, due.business_date)
    if due.obligation.replaced_in_place:
        begin = bisect_left(runs, due.cut_off, key=_judged_at)
        end = bisect_left(runs, due.next_cut_off, begin, key=_judged_at)
        held_over = begin > 0 and runs[begin - 1].waits_at(due.cut_off)
        return runs[begin - held_over : end]
    return runs


def _dated(due: Due, facts: Facts) -> dict[str, tuple[Offered, datetime]]:
    """Which sites have had the file, and since when."""
    by_site: dict[str, tuple[Offered, datetime]] = {}
    for one in facts.offered(due.obligation, due.business_date):
        by_site.setdefault(one.site, (one, one.first_published_at))
    return by_site


def _replaced_in_place(due: Due, facts: Facts, runs: Sequence[GateVerdict]) -> dict[str, tuple[Offered, datetime]]:
    """Which sites have offered what the day's runs cleared, and since when both were so: the earliest of several."""
    cleared_at = dict[str | None, datetime]()
    for run in runs:
        if (at := run.cleared_at) is not None:
            cleared_at[run.content_digest] = min(at, cleared_at.get(run.content_digest, at))
    by_site: dict[str, tuple[Offered, datetime]] = {}
    for one in facts.offered(due.obligation, due.business_date):
        if one.content_digest not in cleared_at:
            continue
        since = max(cleared_at[one.content_digest], one.first_published_at)
        if one.site not in by_site or since < by_site[one.site][1]:
            by_site[one.site] = (one, since)
    return by_site


def _judged_at(run: GateVerdict) -> datetime:
    return run.judged_at
