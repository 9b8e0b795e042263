"""The catalogue: one record an obligation, and the kinds of file that there are.

* A business date is the day of a cut-off. Its delta holds the window that ends there, its full extract the state right
  after it.
* A file with {date} in its name is written once; another is replaced in place by its successor.
* What differs between kinds is asked of the kind: `match obligation.kind`, ended by `assert_never`. Nothing else lists
  obligations: whoever needs them iterates the catalogue.
* An obligation is told apart by its name and its subject, a due file by these and its business date.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from smki.certificates.model import ListKind, Status
from smki.errors import ObligationError


@dataclass(frozen=True, slots=True)
class KeepNewest:
    """So many of the newest files stay on the server."""

    files: int


@dataclass(frozen=True, slots=True)
class KeepForDays:
    """A file stays for some days from its publication (Appendix O 2.3.3 (b))."""

    stays: timedelta
    wait_for_recovery: bool  # one that a Party needs after the newest full extract stays longer


@dataclass(frozen=True, slots=True)
class ReplaceInPlace:
    """A file stays until its successor takes its place."""


@dataclass(frozen=True, slots=True)
class FullExtract:
    """Extract of all certificates that have one of some statuses as of a window: (a) has those in use."""

    statuses: frozenset[Status]
    retirement: KeepNewest


@dataclass(frozen=True, slots=True)
class DeltaExtract:
    """Extract of the certificates that a window changed, whatever their status (b)."""

    retirement: KeepForDays


@dataclass(frozen=True, slots=True)
class RevocationList:
    """The newest lodged list of a kind and issuer, as the issuer signed it (c), (d)."""

    list_kind: ListKind
    next_update_warning: timedelta  # so long before nextUpdate its successor is missed
    issuer: str = ""  # as `is_named` reads it; empty: the only one that has lists of the kind
    retirement: ReplaceInPlace = ReplaceInPlace()

    def may_publish(self, list_kind: ListKind, issuer: bytes) -> bool:
        """Whether a list of that kind and issuer (Name, DER) is one that the obligation states."""
        from smki.certificates.names import is_named  # noqa: PLC0415  # whoever reads times alone loads no parser

        return self.list_kind is list_kind and (not self.issuer or is_named(issuer, self.issuer))


class AnchorPart(StrEnum):
    """The files of the base set for Device anchor slots."""

    NORTH = "north"
    CENTRAL_SOUTH = "central_south"
    DOCUMENT = "document"
    TABLE = "table"  # the document's content for machines


@dataclass(frozen=True, slots=True)
class AnchorSlots:
    """One file of the base set for Device anchor slots (e), (f)."""

    part: AnchorPart
    retirement: ReplaceInPlace = ReplaceInPlace()


Kind = FullExtract | DeltaExtract | RevocationList | AnchorSlots


@dataclass(frozen=True, slots=True)
class CutOff:
    """When windows and states end: every day, on a day of the week or on a day of the month, at one time (UTC)."""

    cron: str
    time: time
    weekday: int | None = None  # 0 is Monday
    month_day: int | None = None  # 1 to 28

    def falls_on(self, day: date) -> bool:
        """Whether there is a cut-off on that day."""
        return self.weekday in (None, day.weekday()) and self.month_day in (None, day.day)

    def at(self, day: date) -> datetime:
        return datetime.combine(day, self.time, UTC)

    def next_day(self, day: date) -> date:
        """The first day after `day` on which there is one."""
        return next(later for later in _days(day, 1) if self.falls_on(later))

    def previous_day(self, day: date) -> date:
        """The last day before `day` on which there is one."""
        return next(earlier for earlier in _days(day, -1) if self.falls_on(earlier))


@dataclass(frozen=True, slots=True, order=True)
class PublishTime:
    """A time of day, on the day of a cut-off (UTC) or some days after it.

    A time that the clocks of its zone skip counts as if they had not been put forward yet, one that they have twice is
    the first of the two.
    """

    time: time
    days_after: int = 0
    zone: str = "UTC"  # as the IANA names it

    def at(self, day: date) -> datetime:
        """That of the day of a cut-off (UTC)."""
        due = datetime.combine(day + timedelta(days=self.days_after), self.time)
        return due.replace(tzinfo=UTC if self.zone == "UTC" else ZoneInfo(self.zone)).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Obligation:
    """One thing that has to be on the servers by a time."""

    name: str  # as user_guide.toml and the ledger have it
    title: str  # as people read it
    clause: str
    dag: str  # id of the DAG that publishes it
    kind: Kind
    file: str  # name; with {date} where there is a file for each cut-off
    cut_off: CutOff
    publish_time: PublishTime  # of publish-by
    warning_lead: timedelta  # before publish-by, when a file that is not there yet is worth a warning
    folder: str  # on the server
    owner: str  # who answers for it
    contact: str  # how to reach them
    subject: str = ""  # whom its files are for; empty: all Parties

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.subject

    @property
    def pattern(self) -> re.Pattern[str]:
        """What the names of its files match as a whole; the group is the date where they have one."""
        return re.compile(re.escape(self.file).replace(r"\{date\}", r"(\d{4}-\d\d-\d\d)"))

    @property
    def replaced_in_place(self) -> bool:
        """Whether a new file takes the place, and the name, of the one before it."""
        return "{date}" not in self.file

    def file_name(self, day: date) -> str:
        return self.file.format(date=day.isoformat())

    def day_of(self, file_name: str) -> date | None:
        """The business date in the name of one of its files; none where there is none, or it is no date."""
        match = self.pattern.fullmatch(file_name)
        try:
            return date.fromisoformat(match[1]) if match and match.groups() else None
        except ValueError:
            return None

    def why_not_due(self, day: date) -> str:
        """Why no file is due on that day, in words; empty where one is."""
        if self.cut_off.falls_on(day):
            return ""
        return f"no {self.name} is due on {day} ({day:%A}), by user_guide.toml at {self.cut_off.cron!r}"

    def publish_by(self, day: date) -> datetime:
        """When that day's file has to be on the server (UTC)."""
        return self.publish_time.at(day)

    def warn_at(self, day: date) -> datetime:
        """When that day's file is worth a warning if it is not on the server yet (UTC)."""
        return self.publish_by(day) - self.warning_lead


@dataclass(frozen=True, slots=True)
class Index:
    """The signed index of what a site offers. It follows each publication, so nothing of it is due by a time."""

    file: str
    folder: str  # on the server

    @property
    def signature(self) -> str:
        """Name of the file that signs it."""
        return f"{self.file}.p7s"

    @property
    def page(self) -> str:
        """Name of the file that says the same for people to read."""
        return f"{self.file.removesuffix('.json')}.html"

    def page_table(self, extract: str) -> str:
        """Name of the file that says which pages a full extract has."""
        return f"{extract.removesuffix('.xml.gz')}.pages"

    def names(self, offered: Iterable[str]) -> set[str]:
        """All that may stand on a server because of it, where these files are offered."""
        return {self.file, self.signature, self.page, *map(self.page_table, offered)}


@dataclass(frozen=True, slots=True)
class UserGuide:
    """All obligations, and the times of what looks after them."""

    all: tuple[Obligation, ...]  # in the order of user_guide.toml
    retention_cron: str  # UTC; daily
    audit_every: timedelta  # how often the auditor looks at the sites
    index: Index | None = None  # none: it is switched off

    def find(self, name: str, subject: str = "") -> Obligation | None:
        return next((one for one in self.all if one.key == (name, subject)), None)

    def obligation(self, name: str, subject: str = "") -> Obligation:
        """The same, of a name that is known to be there. Raises ObligationError."""
        if (found := self.find(name, subject)) is None:
            raise ObligationError(f"obligation {name!r}", f"user_guide.toml has none but {', '.join(self.names)}.")
        return found

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.name for one in self.all))

    def published_by(self, dag: str) -> tuple[Obligation, ...]:
        """The obligations whose files a DAG publishes."""
        return tuple(one for one in self.all if one.dag == dag)

    def of_file(self, file_name: str) -> Obligation | None:
        """The obligation whose file has this name."""
        for one in self.all:
            if one.pattern.fullmatch(file_name) and (one.replaced_in_place or one.day_of(file_name)):
                return one
        return None

    @property
    def dags(self) -> tuple[str, ...]:
        """Ids of the DAGs that publish, each once."""
        return tuple(dict.fromkeys(one.dag for one in self.all))

    @property
    def full(self) -> Obligation:
        """The full extract of the certificates in use: what a Party starts and recovers with (a)."""
        return next(one for one in self.all if is_recovery_start(one.kind))

    @property
    def delta(self) -> Obligation:
        """The daily delta (b). Its cut-offs end the windows."""
        return next(one for one in self.all if isinstance(one.kind, DeltaExtract))

    def lists(self) -> tuple[tuple[Obligation, RevocationList], ...]:
        """The obligations of revocation lists, each with its kind."""
        return tuple((one, one.kind) for one in self.all if isinstance(one.kind, RevocationList))

    def anchors(self) -> dict[AnchorPart, Obligation]:
        """The obligations of the base set, in the order of its parts."""
        found = {one.kind.part: one for one in self.all if isinstance(one.kind, AnchorSlots)}
        return {part: found[part] for part in AnchorPart if part in found}


def is_recovery_start(kind: Kind) -> bool:
    """Whether a Party may start, and recover, with a file of this kind."""
    return isinstance(kind, FullExtract) and kind.statuses == {Status.IN_USE}


def _days(day: date, step: int) -> Iterator[date]:
    while True:
        day += timedelta(days=step)
        yield day
