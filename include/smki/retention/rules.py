"""Which files of a site stay, which go, and why. Pure: values in, findings out.

Only what the ledger says is offered can be removed, and only while what stands there is what the ledger published.

* A delta is available for 7 days (`keep_days`) from its publication and is then removed (Appendix O 2.3.3 (b)). The day
  that counts is that of its publication: one that comes late, by a retry or a backfill, stays as long as any other.
* It is held beyond that, with a warning, while a Party may need it to get from the newest full extract to today: until
  a full extract of its day, or a later one, stands on the server as published. A gap in the days after it changes
  nothing, nor that there has been no full extract yet: what is missing may still come late.
  `hold_for_recovery = false` switches this rule off.
* The two newest full extracts (`keep`) stay, by their day: a Party may be hours into a download. An older one goes only
  once so many newer ones stand on the server as published; until then it is held.
* What is replaced in place (revocation lists, anchor files) stays.
* A file that is due for removal and not there has gone already. One that is not due and not there is lost: the ledger
  goes on offering it, so that its publication, repeated, puts it there again.
* A file is foreign where the ledger offers nothing under its name, or published another number of bytes under it.
* `.NAME.part`, where NAME is of an obligation or of the ledger, is what a failed upload left. It stays for a day, as
  the next try goes on with it, then it goes. A server tells no time, and clocks of two machines are not compared: the
  newest file of ours that stands there says what the server's clock has reached, at least. Without one a part stays.

"As published" is the ledger's size here; the hash of what goes is looked at before it goes (see `execution`).
"""

import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from smki.obligations.catalogue import Obligation, UserGuide
from smki.publish.artefact import Publication

PART_STAYS = timedelta(days=1)  # tries go on for about an hour by themselves; a person clears a task within the day

_DATED = (Obligation.FULL, Obligation.DELTA)


class Verdict(StrEnum):
    """What becomes of a file."""

    KEEP = "keep"
    REMOVE = "remove"
    HOLD = "hold"  # due, and kept all the same: a warning
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


@dataclass(frozen=True, slots=True)
class Finding:
    """What becomes of one file, and why."""

    path: str  # on the server
    verdict: Verdict
    rule: str  # in words
    publication: Publication | None = None  # that the ledger offers under the path
    seen: SeenFile | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return posixpath.basename(self.path)

    @property
    def is_warning(self) -> bool:
        """Whether a person should look at it."""
        ours = self.publication is not None
        return self.verdict in (Verdict.HOLD, Verdict.LOST) or (self.verdict is Verdict.FOREIGN and ours)


def plan_retention(
    guide: UserGuide, offered: Iterable[Publication], listing: Iterable[SeenFile], at: datetime
) -> list[Finding]:
    """What becomes at the instant `at` of all that the ledger offers on a site, and of all that the server lists.

    `at` is on the clock of `published_at`, the ledger's. Findings are in the order of their paths, each path once.
    """
    publications = {posixpath.normpath(publication.path): publication for publication in offered}
    seen = {posixpath.normpath(file.path): file for file in listing}
    whole = {path: p for path, p in publications.items() if path in seen and seen[path].bytes == p.artefact.bytes}
    judge = _Judge(guide, _fulls(publications.values()), _fulls(whole.values()), at)
    reached = max((seen[path].modified_at for path in whole), default=None)
    names = {publication.name for publication in publications.values()}
    parts = _parts(seen, lambda name: name in names or any(t.pattern.fullmatch(name) for t in guide.all))

    findings = [_found(path, publication, seen.get(path), judge) for path, publication in publications.items()]
    for path in seen.keys() - publications.keys():
        if path in parts:
            verdict, rule = _part(seen[path], reached)
        else:
            verdict, rule = Verdict.FOREIGN, "the ledger offers nothing under this name; never touched"
        findings.append(Finding(path, verdict, rule, seen=seen[path]))
    return sorted(findings, key=lambda finding: finding.path)


@dataclass(frozen=True, slots=True)
class _Judge:
    """Whether publications are due for removal."""

    guide: UserGuide
    offered: list[date]  # days of the full extracts that the ledger offers
    whole: list[date]  # of those that stand on the server as published
    at: datetime

    def verdict(self, publication: Publication) -> tuple[Verdict, str]:
        """KEEP, HOLD or REMOVE, and the rule."""
        match publication.artefact.obligation:
            case Obligation.DELTA:
                return self._delta(publication)
            case Obligation.FULL:
                return self._full(publication.artefact.business_date)
        return Verdict.KEEP, "replaced in place by its successor; retention never removes it"

    def _delta(self, publication: Publication) -> tuple[Verdict, str]:
        retention = self.guide.retention
        days = f"{retention.delta_stays.days} days"
        until = publication.published_at + retention.delta_stays
        if self.at < until:
            return (
                Verdict.KEEP,
                f"a delta is available for {days} from its publication, until {until:%Y-%m-%d %H:%M} UTC",
            )
        day = publication.artefact.business_date
        if retention.hold_for_recovery and not any(full >= day for full in self.whole):
            start = f"the full extract of {max(self.whole)}" if self.whole else "the next full extract"
            return (
                Verdict.HOLD,
                f"past its {days}, but Parties need it to get from {start} to today: publish a full extract",
            )
        return (
            Verdict.REMOVE,
            f"a delta is available for {days} from its publication and is then removed ({self.guide.delta.clause})",
        )

    def _full(self, day: date) -> tuple[Verdict, str]:
        keep = self.guide.retention.fulls_kept
        newer = sum(other > day for other in self.whole)
        if newer >= keep:
            return Verdict.REMOVE, f"only the {keep} newest full extracts stay, and {newer} newer ones are there"
        if sum(other > day for other in self.offered) < keep:
            return Verdict.KEEP, f"one of the {keep} newest full extracts; a Party may be hours into its download"
        late = f"no longer one of the {keep} newest full extracts, but of newer ones only {newer} stand on the server"
        return Verdict.HOLD, f"{late} as published: publish those that are lost again"


def _fulls(publications: Iterable[Publication]) -> list[date]:
    artefacts = (publication.artefact for publication in publications)
    return [artefact.business_date for artefact in artefacts if artefact.obligation == Obligation.FULL]


def _found(path: str, publication: Publication, seen: SeenFile | None, judge: _Judge) -> Finding:
    verdict, rule = judge.verdict(publication)
    published = publication.artefact
    if seen is None:
        if verdict is Verdict.REMOVE:
            verdict, rule = Verdict.ALREADY_GONE, f"{rule}; it was gone from the server already"
        else:
            verdict, rule = Verdict.LOST, f"the server has lost it; clear its run, which publishes it again ({rule})"
    elif seen.bytes != published.bytes and published.obligation in _DATED:
        verdict = Verdict.FOREIGN
        rule = (
            f"the ledger published {published.bytes} bytes under this name and {seen.bytes} stand there; never touched"
        )
    return Finding(path, verdict, rule, publication, seen)


def _parts(paths: Iterable[str], is_ours: Callable[[str], bool]) -> set[str]:
    """Those whose name is `.NAME.part`, where NAME is ours."""
    names = {path: posixpath.basename(path) for path in paths}
    return {
        path
        for path, name in names.items()
        if name.startswith(".") and name.endswith(".part") and is_ours(name[1 : -len(".part")])
    }


def _part(part: SeenFile, reached: datetime | None) -> tuple[Verdict, str]:
    if reached is not None and reached - part.modified_at > PART_STAYS:
        return Verdict.LEFTOVER_PART, "a failed upload left it, and no try went on with it for a day"
    return Verdict.KEEP, "an upload that failed may go on with it for a day"
