"""When a file that is not there yet is to be expected. Pure: how long the ones before it took, and the time, in.

* The history is each of the last weeks' publications that came before the next one's cut-off: what was backfilled later
  says nothing of how long a day takes. Nor does what a person had to decide: nobody can foretell that, so what the gate
  holds has no forecast either.
* A file passes stages, cut-off → cleared by the gate → on every site. What remains is foretold from the last stage that
  it has passed, so a late start counts as it is, and a quick one, too.
* Of the durations before, the forecast takes the shortest that four of five keep within, so that one late file of eight
  weeks makes none of the later ones a risk. A file that is slower than all is expected now, at every moment anew.
* Fewer than five say nothing.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

from smki.obligations.catalogue import UserGuide
from smki.watch.due import DueKey, current_due, list_due
from smki.watch.due_status import DueStatus, State, due_status
from smki.watch.facts import Facts

HISTORY = timedelta(weeks=8)
_FEWEST = 5
_KEPT_BY = 0.8  # of the publications before
_OPEN = (State.DUE, State.AT_RISK, State.LATE)


def forecast(waiting: DueStatus, history: Iterable[DueStatus], now: datetime) -> datetime | None:
    """When (UTC) a file that is not on every site at `now` (UTC) will be there; `history` is of its obligation.

    None where it is there, is held, has nothing to publish, or where too little went before it.
    """
    if waiting.state not in _OPEN:
        return None
    cleared_at = _cleared_at(waiting)
    taken = [
        one
        for one in history
        if one.published_at and one.published_at < one.due.next_cut_off and not (one.judged and one.judged.was_held)
    ]
    if cleared_at is None:
        begun = waiting.due.cut_off
        durations = [_published_at(one) - one.due.cut_off for one in taken]
    else:
        begun = cleared_at
        durations = [max(timedelta(), _published_at(one) - at) for one in taken if (at := _cleared_at(one))]
    if len(durations) < _FEWEST or now < waiting.due.cut_off:
        return None
    return max(now, begun + quantile(durations, _KEPT_BY))


def forecasts(guide: UserGuide, facts: Facts, now: datetime) -> dict[DueKey, datetime]:
    """The forecast (UTC) of each obligation's newest file, where one can be given; `facts` reach back over HISTORY."""
    found = {}
    for obligation in guide.all:
        since = facts.since(obligation) or date.max
        if due := current_due(obligation, since, now):
            first = max(since, (now - HISTORY).date())
            earlier = list_due(obligation, first, due.business_date - timedelta(days=1))
            history = (due_status(one, facts, now) for one in earlier)  # looked at only where something waits
            if ahead := forecast(due_status(due, facts, now), history, now):
                found[due.key] = ahead
    return found


def quantile(durations: Sequence[timedelta], share: float) -> timedelta:
    """The shortest of the durations that at least `share` of them keep within."""
    ordered = sorted(durations)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _published_at(one: DueStatus) -> datetime:
    assert one.published_at is not None  # noqa: S101  # only such are asked
    return one.published_at.astimezone(UTC)


def _cleared_at(one: DueStatus) -> datetime | None:
    judged = one.judged
    at = None if judged is None else judged.cleared_at
    return None if at is None else at.astimezone(UTC)
