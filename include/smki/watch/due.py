"""What is due when. Pure: the user guide and instants in, due files out.

* A dated file (full extract, delta) is due for each business date that its cut-off falls on, from the first window on.
* A file that is replaced in place is due every day: the daily run makes sure that the newest content is offered.
* Due means: on every site by publish-by. A file that is not there when its warning time comes is worth a warning.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from smki.obligations.catalogue import Obligation, Terms

_DELTAS = 7  # that are offered (Appendix O 2.3.3 (b))


@dataclass(frozen=True, slots=True)
class Due:
    """One file that has to be on every site by a time."""

    terms: Terms
    business_date: date

    @property
    def name(self) -> str:
        """Of the file."""
        return self.terms.file_name(self.business_date)

    @property
    def label(self) -> str:
        """The file in words; with its day where the name has none."""
        return f"{self.name} of {self.business_date}" if self.terms.replaced_in_place else self.name

    @property
    def cut_off(self) -> datetime:
        """UTC."""
        return self.terms.cut_off(self.business_date)

    @property
    def publish_by(self) -> datetime:
        """UTC."""
        return self.terms.publish_by(self.business_date)

    @property
    def warn_at(self) -> datetime:
        """UTC."""
        return self.terms.warn_at(self.business_date)

    @property
    def missed_at(self) -> datetime:
        """When the next one is due and this one is past making good in time (UTC)."""
        return self.publish_by + self.terms.interval


def dues(terms: Terms, first: date, last: date) -> Iterator[Due]:
    """What is due for the business dates from `first` to `last`, both included, oldest first."""
    day = first
    while day <= last:
        if terms.falls_on(day):
            yield Due(terms, day)
        day += timedelta(days=1)


def current_due(terms: Terms, first: date, now: datetime) -> Due | None:
    """The newest one whose cut-off has come by `now` (UTC); none before the first."""
    day = now.astimezone(UTC).date()
    while day >= first:
        if terms.falls_on(day) and terms.cut_off(day) <= now:
            return Due(terms, day)
        day -= timedelta(days=1)
    return None


def next_due(terms: Terms, now: datetime) -> Due:
    """The first one whose cut-off has not come at `now` (UTC)."""
    day = now.astimezone(UTC).date()
    while not (terms.falls_on(day) and terms.cut_off(day) > now):
        day += timedelta(days=1)
    return Due(terms, day)


def offered_now(terms: Terms, first: date, now: datetime) -> list[Due]:
    """What has to be on the server at `now` (UTC), oldest first: seven deltas, and of all else the newest one."""
    newest = current_due(terms, first, now)
    if newest is None:
        return []
    if terms.obligation is not Obligation.DELTA:
        return [newest]
    return list(dues(terms, max(first, newest.business_date - timedelta(days=_DELTAS - 1)), newest.business_date))
