"""Which files of a site stay, which go, and why. Pure: values in, plans out.

Only what the ledger says is offered can be removed, and only while what stands there is what the ledger published.

* A delta is available for 7 days (`keep_days`) from its publication and is then removed (Appendix O 2.3.3 (b)). The day
  that counts is that of its publication: one that comes late, by a retry or a backfill, stays as long as any other.
* It is held beyond that, with a warning, while a Party may need it to get from the newest full extract to today: until
  a full extract of its day, or a later one, stands on the server as published. A gap in the days after it changes
  nothing, nor that there has been no full extract yet: what is missing may still come late.
  `wait_for_recovery = false` switches this rule off.
* The two newest full extracts (`keep`) stay, by their day: a Party may be hours into a download. An older one goes only
  once so many newer ones stand on the server as published; until then it is held.
* What is replaced in place (revocation lists, anchor files) stays, and so does the index.
* A file that is due for removal and not there has gone already. One that is not due and not there is lost: the ledger
  goes on offering it, so that its publication, repeated, puts it there again.
* A file whose obligation user_guide.toml has no more waits for a person to remove it by hand. Once that is done it has
  gone already: nothing can publish it again.
* A file is foreign where the ledger offers nothing under its name, or published another number of bytes under it. So is
  what has a name of ours and is no file.
* `.NAME.part`, where NAME is of an obligation or of the ledger, is what a failed upload left. It stays for a day, as
  the next try goes on with it, then it goes. A server tells no time, and clocks of two machines are not compared: the
  newest file of ours that stands there says what the server's clock has reached, at least. Without one a part stays.

"As published" is the ledger's size here; the hash of what goes is looked at before it goes (see `execution`).
"""

import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import assert_never

from smki.obligations.catalogue import KeepForDays, KeepNewest, Obligation, ReplaceInPlace, UserGuide
from smki.publish.artefact import Publication

PART_STAYS = timedelta(days=1)  # tries go on for about an hour by themselves; a person clears a task within the day


class Action(StrEnum):
    """What becomes of a file."""

    KEEP = "keep"
    REMOVE = "remove"
    WAIT = "wait"  # due, and kept all the same: a warning
    ALREADY_GONE = "already gone"  # due, and not there: the ledger is told
    LOST = "lost"  # not due, and not there: a warning
    FOREIGN = "foreign"
    LEFTOVER_PART = "leftover part"  # goes


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file as the server lists it."""

    path: str
    bytes: int
    modified_at: datetime  # by the server's clock
    odd: str = ""  # what it is, where it is no file: "a folder"


@dataclass(frozen=True, slots=True)
class FilePlan:
    """What becomes of one file, and why."""

    path: str  # on the server
    action: Action
    rule: str  # in words
    publication: Publication | None = None  # that the ledger offers under the path
    seen: SeenFile | None = None

    @property
    def name(self) -> str:
        return posixpath.basename(self.path)

    @property
    def is_warning(self) -> bool:
        """Whether a person should look at it."""
        ours = self.publication is not None
        return self.action in (Action.WAIT, Action.LOST) or (self.action is Action.FOREIGN and ours)


def plan_retention(
    guide: UserGuide, offered: Iterable[Publication], listing: Iterable[SeenFile], at: datetime
) -> list[FilePlan]:
    """What becomes at the instant `at` of all that the ledger offers on a site, and of all that the server lists.

    `at` is on the clock of `published_at`, the ledger's. Findings are in the order of their paths, each path once.
    """
    publications = {posixpath.normpath(publication.path): publication for publication in offered}
    seen = {posixpath.normpath(file.path): file for file in listing}
    whole = {
        path: p
        for path, p in publications.items()
        if path in seen and seen[path].bytes == p.artefact.bytes and not seen[path].odd
    }
    rules = _Rules(guide, tuple(publications.values()), tuple(whole.values()), at)
    reached = max((seen[path].modified_at for path in whole), default=None)
    names = {publication.name for publication in publications.values()}
    parts = _parts(seen, lambda name: name in names or any(t.pattern.fullmatch(name) for t in guide.all))

    plans = [_found(path, publication, seen.get(path), rules) for path, publication in publications.items()]
    for path in seen.keys() - publications.keys():
        if path in parts:
            action, rule = _part(seen[path], reached)
        elif guide.index is not None and posixpath.basename(path) in guide.index.names(names):
            action, rule = Action.KEEP, "of the index, which follows each publication"
        else:
            action, rule = Action.FOREIGN, "the ledger offers nothing under this name; never touched"
        plans.append(FilePlan(path, action, rule, seen=seen[path]))
    return sorted(plans, key=lambda plan: plan.path)


@dataclass(frozen=True, slots=True)
class _Rules:
    """Whether publications are due for removal."""

    guide: UserGuide
    offered: tuple[Publication, ...]  # all that the ledger offers
    whole: tuple[Publication, ...]  # those of them that stand on the server as published
    at: datetime

    def action(self, publication: Publication) -> tuple[Action, str]:
        """KEEP, WAIT or REMOVE, and the rule."""
        obligation = self.obligation_of(publication)
        if obligation is None:
            return (
                Action.WAIT,
                "user_guide.toml has its obligation no more: remove it by hand, or state the obligation again",
            )
        match obligation.kind.retirement:
            case KeepForDays() as rule:
                return self._for_days(obligation, rule, publication)
            case KeepNewest(keep):
                return self._newest(obligation, keep, publication.artefact.business_date)
            case ReplaceInPlace():
                return Action.KEEP, "replaced in place by its successor; retention never removes it"
            case never:
                assert_never(never)

    def obligation_of(self, publication: Publication) -> Obligation | None:
        """None where user_guide.toml has it no more."""
        return self.guide.find(publication.artefact.obligation, publication.artefact.subject)

    def _for_days(self, obligation: Obligation, rule: KeepForDays, publication: Publication) -> tuple[Action, str]:
        days = f"{rule.stays.days} days"
        until = publication.published_at.astimezone(UTC) + rule.stays
        if self.at < until:
            return (
                Action.KEEP,
                f"a delta is available for {days} from its publication, until {until:%Y-%m-%d %H:%M} UTC",
            )
        day, starts = publication.artefact.business_date, _days(self.whole, self.guide.full)
        if rule.wait_for_recovery and not any(full >= day for full in starts):
            start = f"the full extract of {max(starts)}" if starts else "the next full extract"
            return (
                Action.WAIT,
                f"past its {days}, but Parties need it to get from {start} to today: publish a full extract",
            )
        return (
            Action.REMOVE,
            f"a delta is available for {days} from its publication and is then removed ({obligation.clause})",
        )

    def _newest(self, obligation: Obligation, keep: int, day: date) -> tuple[Action, str]:
        newer = sum(other > day for other in _days(self.whole, obligation))
        if newer >= keep:
            return Action.REMOVE, f"only the {keep} newest full extracts stay, and {newer} newer ones are there"
        if sum(other > day for other in _days(self.offered, obligation)) < keep:
            return Action.KEEP, f"one of the {keep} newest full extracts; a Party may be hours into its download"
        late = f"no longer one of the {keep} newest full extracts, but of newer ones only {newer} stand on the server"
        return Action.WAIT, f"{late} as published: publish those that are lost again"


def _days(publications: Iterable[Publication], obligation: Obligation) -> list[date]:
    """The days of those of an obligation's files."""
    artefacts = (publication.artefact for publication in publications)
    return [one.business_date for one in artefacts if (one.obligation, one.subject) == obligation.key]


def _found(path: str, publication: Publication, seen: SeenFile | None, rules: _Rules) -> FilePlan:
    action, rule = rules.action(publication)
    published = publication.artefact
    if seen is None:
        if action is Action.REMOVE or rules.obligation_of(publication) is None:
            action, rule = Action.ALREADY_GONE, f"{rule}; it was gone from the server already"
        else:
            action, rule = Action.LOST, f"the server has lost it; clear its run, which publishes it again ({rule})"
    elif seen.odd:
        action, rule = (
            Action.FOREIGN,
            f"the ledger published a file under this name and {seen.odd} has it; never touched",
        )
    elif seen.bytes != published.bytes and published.version is None:
        action = Action.FOREIGN
        rule = (
            f"the ledger published {published.bytes} bytes under this name and {seen.bytes} stand there; never touched"
        )
    return FilePlan(path, action, rule, publication, seen)


def _parts(paths: Iterable[str], is_ours: Callable[[str], bool]) -> set[str]:
    """Those whose name is `.NAME.part`, where NAME is ours."""
    names = {path: posixpath.basename(path) for path in paths}
    return {
        path
        for path, name in names.items()
        if name.startswith(".") and name.endswith(".part") and is_ours(name[1 : -len(".part")])
    }


def _part(part: SeenFile, reached: datetime | None) -> tuple[Action, str]:
    if reached is not None and reached - part.modified_at > PART_STAYS:
        return Action.LEFTOVER_PART, "a failed upload left it, and no try went on with it for a day"
    return Action.KEEP, "an upload that failed may go on with it for a day"
