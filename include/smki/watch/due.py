"""What is due when. Pure: the user guide and instants in, due files out.

* A dated file (full extract, delta) is due for each business date that its cut-off falls on, from the first window on.
* A file that is replaced in place is due every day: the daily run makes sure that the newest content is offered.
* Due means: on every site by publish-by. A file that is missing when its warning time comes is worth a warning.
* By the time alone a delta stands on the server for each of its days; of all else the newest file does, and each one
  before it until the publish-by of its successor. `due_status.list_stands` says what has to be there longer, or is
  no longer needed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import assert_never

from smki.obligations.catalogue import KeepForDays, KeepNewest, Obligation, ReplaceInPlace

DueKey = tuple[str, str, date]  # obligation's name, whom the file is for, business date


@dataclass(frozen=True, slots=True)
class Due:
    """One file that has to be on every site by a time."""

    obligation: Obligation
    business_date: date

    @property
    def is_asked_for(self) -> bool:
        """Whether none is due on its day: a person asked for the file of any day."""
        return not self.obligation.cut_off.falls_on(self.business_date)

    @property
    def name(self) -> str:
        return self.obligation.file_name(self.business_date)

    @property
    def key(self) -> DueKey:
        return (*self.obligation.key, self.business_date)

    @property
    def label(self) -> str:
        """The file's name, with its day where the name has none."""
        return f"{self.name} of {self.business_date}" if self.obligation.replaced_in_place else self.name

    @property
    def cut_off(self) -> datetime:
        return self.obligation.cut_off.at(self.business_date)

    @property
    def publish_by(self) -> datetime:
        return self.obligation.publish_by(self.business_date)

    @property
    def warn_at(self) -> datetime:
        return self.obligation.warn_at(self.business_date)

    @property
    def missed_at(self) -> datetime:
        """Publish-by of the next file: from then on this one counts as missed (UTC)."""
        return self.obligation.publish_by(self.obligation.cut_off.next_day(self.business_date))

    @property
    def next_cut_off(self) -> datetime:
        """The cut-off of the file after this one (UTC)."""
        return self.obligation.cut_off.at(self.obligation.cut_off.next_day(self.business_date))


def list_due(obligation: Obligation, first: date, last: date) -> Iterator[Due]:
    """What is due for the business dates from `first` to `last`, both included, oldest first."""
    day = first
    while day <= last:
        if obligation.cut_off.falls_on(day):
            yield Due(obligation, day)
        day += timedelta(days=1)


def current_due(obligation: Obligation, first: date, now: datetime) -> Due | None:
    """The newest one whose cut-off has come by `now` (UTC); none before the first."""
    day = now.astimezone(UTC).date()
    while day >= first:
        if obligation.cut_off.falls_on(day) and obligation.cut_off.at(day) <= now:
            return Due(obligation, day)
        day -= timedelta(days=1)
    return None


def next_due(obligation: Obligation, now: datetime) -> Due:
    """The first one whose cut-off has not come at `now` (UTC)."""
    day = now.astimezone(UTC).date()
    while not (obligation.cut_off.falls_on(day) and obligation.cut_off.at(day) > now):
        day += timedelta(days=1)
    return Due(obligation, day)


def due_on_server(obligation: Obligation, first: date, now: datetime) -> list[Due]:
    """What has to be on the server at `now` (UTC) by the time alone, oldest first; the last one is the newest."""
    newest = current_due(obligation, first, now)
    if newest is None:
        return []
    match obligation.kind.retirement:
        case KeepForDays(stays):
            oldest = newest.business_date - stays + timedelta(days=1)
            return list(list_due(obligation, max(first, oldest), newest.business_date))
        case KeepNewest() | ReplaceInPlace():
            before = obligation.cut_off.previous_day(newest.business_date)
            while before >= first and Due(obligation, before).missed_at > now:
                before = obligation.cut_off.previous_day(before)
            return list(list_due(obligation, max(first, before + timedelta(days=1)), newest.business_date))
        case never:
            assert_never(never)
