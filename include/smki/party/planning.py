"""Which files bring a copy to the newest state that a server offers. Pure: what both have, in; a plan, out.

* FULL_D starts a copy anew: what it holds is in use, nothing else is. DELT_D gives each certificate that it holds its
  status. FULL_D is followed by DELT_(D+1), DELT_(D+2) … without a day missing; a copy of day D likewise.
* Of all ways the plan takes one that reaches the newest day that can be reached, and of these the one with the fewest
  bytes: mostly the deltas that the copy lacks, and a full extract where they are gone.
* Where a delta is missing, the plan goes as far as it can, and says which day stops it.
* A copy is never taken back: a server that offers less than the copy has is refused, and so is one on which a file
  that the copy has applied is another now. It is the same, only compressed otherwise, where the index states the state
  that the copy has had after it: what is published under a name keeps its content.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from smki.certificates.set_digest import SetDigest
from smki.party.refusals import Refusal, SyncRefusedError
from smki.words import counted

# Appendix O 2.3.3 (a), (b)
_EXTRACT = re.compile(r"SMKIKR_(FULL|DELT)_(\d{4}-\d\d-\d\d)\.xml\.gz")
_DAY = timedelta(days=1)
NOTHING = SetDigest()


@dataclass(frozen=True, slots=True)
class TableFile:
    """The file that says which pages a full extract has."""

    name: str
    bytes: int
    sha256: str  # hex


@dataclass(frozen=True, slots=True)
class OfferedFile:
    """An extract on the server."""

    name: str
    day: date  # whose cut-off ends it
    is_full: bool
    bytes: int
    sha256: str = ""  # hex; empty: nobody states it
    state: SetDigest | None = None  # of what is in use after it; none: nobody states it
    pages: TableFile | None = None
    folder: str = ""  # beside the one that the site names

    @classmethod
    def of(
        cls, name: str, size: int, sha256: str = "", state: SetDigest | None = None, pages: TableFile | None = None
    ) -> "OfferedFile | None":
        """That of a listed name; None where it is no extract's."""
        if (found := _EXTRACT.fullmatch(name)) is None:
            return None
        try:
            day = date.fromisoformat(found[2])
        except ValueError:  # of no calendar
            return None
        return None if day == date.max else cls(name, day, found[1] == "FULL", size, sha256, state, pages)


@dataclass(frozen=True, slots=True)
class AppliedFile:
    """A file that a copy has applied."""

    bytes: int
    sha256: str  # hex
    in_use: SetDigest  # after it

    def is_still(self, offered: OfferedFile) -> bool:
        """Whether what is offered under its name has its content, as far as that is stated."""
        is_same = self.bytes == offered.bytes and offered.sha256 in ("", self.sha256)
        return is_same or offered.state == self.in_use


@dataclass(frozen=True, slots=True)
class CopyState:
    """What a copy has; nothing of all this where there is none yet."""

    day: date | None = None
    in_use: SetDigest = NOTHING
    applied: Mapping[str, AppliedFile] = field(default_factory=dict)  # by name


@dataclass(frozen=True, slots=True)
class AwaitedFile:
    """A file that a signed index announces."""

    name: str
    publish_by: datetime  # UTC


@dataclass(frozen=True, slots=True)
class Plan:
    """What is fetched and applied, in order."""

    files: tuple[OfferedFile, ...]
    reaches: date
    missing: date | None = None  # the day whose delta keeps the copy from going further
    by_pages: int | None = None  # bytes to fetch of the full extract, where the copy has the other pages of it
    written_at: datetime | None = None  # when the signed index was written that it is made by (UTC)
    overdue: tuple[AwaitedFile, ...] = ()  # what should be offered by now, by that index

    @property
    def bytes(self) -> int:
        """To fetch."""
        whole = sum(file.bytes for file in self.files)
        return whole if self.by_pages is None else whole - self.files[0].bytes + self.by_pages

    @property
    def words(self) -> str:
        """As people say it."""
        if not self.files:
            return f"nothing to do: the copy has the state of {self.reaches}"
        deltas = sum(not file.is_full for file in self.files)
        how = "whole" if self.by_pages is None else "by changed pages"
        parts = [f"{file.name} {how}" for file in self.files if file.is_full]
        parts += [counted(deltas, "delta")] if deltas else []
        return f"{' and '.join(parts)}, {self.bytes:,} bytes, to the state of {self.reaches}"


def plan_sync(copy: CopyState, offered: Iterable[OfferedFile]) -> Plan:
    """The plan for a copy. Raises SyncRefusedError."""
    files = sorted(offered, key=lambda file: file.day)
    day = copy.day
    for file in files:
        known = copy.applied.get(file.name)
        if known is not None and not known.is_still(file):
            had = f"{known.bytes:,} bytes of that name, SHA-256 {known.sha256}"
            rule = f"the copy has applied {had}, and others are offered."
            raise SyncRefusedError(Refusal.CHANGED, file.name, rule)
        if file.day == day and file.state not in (None, copy.in_use):
            rule = f"after it {file.state} is in use in the repository, and {copy.in_use} in the copy."
            raise SyncRefusedError(Refusal.STATE, file.name, rule)
    deltas = {file.day: file for file in files if not file.is_full}
    ways = [_follow(deltas, file.day, [file]) for file in files if file.is_full]
    if day is not None:
        newest = max((file.day for file in files), default=None)
        if newest is None or newest < day:
            offers = "offers no extract" if newest is None else f"offers {newest} at the most"
            raise SyncRefusedError(Refusal.BEHIND, "the server", f"it {offers}, and the copy has {day}.")
        ways = [_follow(deltas, day, []), *(way for way in ways if way.reaches >= day)]
    if not ways:
        rule = f"a copy begins with a full extract, and of {len(files)} extracts that may be used none is one."
        raise SyncRefusedError(Refusal.NO_START, "the server", rule)
    best = min(ways, key=lambda way: (-way.reaches.toordinal(), way.bytes))
    if best.reaches < files[-1].day:
        return Plan(best.files, best.reaches, best.reaches + _DAY)
    return best


def _follow(deltas: Mapping[date, OfferedFile], day: date, start: Sequence[OfferedFile]) -> Plan:
    """As far as deltas lead from the state of a day."""
    files = list(start)
    while (delta := deltas.get(day + _DAY)) is not None:
        files.append(delta)
        day += _DAY
    return Plan(tuple(files), day)
