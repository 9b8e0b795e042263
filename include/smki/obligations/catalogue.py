"""What is due: every obligation with its clause, file, cut-off, publish-by and folder.

* A business date is the day of a cut-off. Its delta holds the window that ends there, its full extract the state right
  after it.
* A file that is named by its date is written once; another is replaced in place by its successor.
* A delta stays for `delta_stays` from its publication; of the full extracts the newest `fulls_kept` stay; a file that
  is replaced in place stays. Retention looks every day.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum


class Obligation(StrEnum):
    """What Appendix O 2.3.3 wants on the server."""

    FULL = "full"
    DELTA = "delta"
    ARL = "arl"
    CRL = "crl"
    ANCHOR_NORTH = "anchor_north"
    ANCHOR_CENTRAL_SOUTH = "anchor_central_south"
    ANCHOR_DOCUMENT = "anchor_document"
    ANCHOR_TABLE = "anchor_table"  # the document's content for machines


@dataclass(frozen=True, slots=True)
class Terms:
    """One obligation's terms."""

    obligation: Obligation
    clause: str
    file: str  # name; with {date} where there is a file a day
    cut_off_cron: str  # UTC
    cut_off_time: time  # UTC
    weekday: int | None  # 0 is Monday; None: every day
    publish_by_delay: timedelta  # from cut-off to publish-by
    warning_lead: timedelta  # before publish-by, when a file that is not there yet is worth a warning
    folder: str  # on the server
    owner: str  # who answers for it
    contact: str  # how to reach them
    next_update_warning: timedelta | None  # of a revocation list: so long before nextUpdate its successor is missed

    def file_name(self, day: date) -> str:
        """The name of that day's file."""
        return self.file.format(date=day.isoformat())

    @property
    def pattern(self) -> re.Pattern[str]:
        """What the names of its files match as a whole; the group is the date where they have one."""
        return re.compile(re.escape(self.file).replace(r"\{date\}", r"(\d{4}-\d\d-\d\d)"))

    @property
    def replaced_in_place(self) -> bool:
        """Whether a new file takes the place, and the name, of the one before it."""
        return "{date}" not in self.file

    def cut_off(self, day: date) -> datetime:
        """That day's cut-off (UTC)."""
        return datetime.combine(day, self.cut_off_time, UTC)

    def publish_by(self, day: date) -> datetime:
        """When that day's file has to be on the server (UTC)."""
        return self.cut_off(day) + self.publish_by_delay

    def warn_at(self, day: date) -> datetime:
        """When that day's file is worth a warning if it is not on the server yet (UTC)."""
        return self.publish_by(day) - self.warning_lead

    @property
    def interval(self) -> timedelta:
        """From one cut-off to the next."""
        return timedelta(days=1 if self.weekday is None else 7)

    def falls_on(self, day: date) -> bool:
        """Whether a file is due for that day."""
        return self.weekday is None or day.weekday() == self.weekday


@dataclass(frozen=True, slots=True)
class Retention:
    """How long files stay on the server."""

    cut_off_cron: str  # UTC; daily
    delta_stays: timedelta  # from its publication
    fulls_kept: int  # so many of the newest
    hold_for_recovery: bool  # a delta that a Party needs after the newest full extract stays longer


@dataclass(frozen=True, slots=True)
class UserGuide:
    """All obligations."""

    all: tuple[Terms, ...]  # in the order of Obligation
    retention: Retention
    audit_every: timedelta  # how often the auditor looks at the sites

    def terms(self, obligation: Obligation) -> Terms:
        """The terms of one obligation."""
        return next(terms for terms in self.all if terms.obligation is obligation)

    @property
    def full(self) -> Terms:
        """The weekly full extract."""
        return self.terms(Obligation.FULL)

    @property
    def delta(self) -> Terms:
        """The daily delta."""
        return self.terms(Obligation.DELTA)
