"""What is wrong on a site. Pure: what a Party sees there, what the ledger says, and the time, in; findings out.

| kind | what it means |
|---|---|
| missing | publish-by has passed and the file is not there; or it was published, and the server has lost it |
| early | a file for a day whose cut-off has not come |
| truncated | shorter than what was published |
| altered | not the octets that were published |
| unexpected | nothing of ours: a Party may take it for ours |
| expired | past its days and still there, a day after retention looked |
| chain broken | from the newest full extract a Party cannot get to today |
| next update | a revocation list nears its nextUpdate, or is past it, and none follows |
| anchors unequal | the two regions' files differ elsewhere than in the WAN provider slot |
| unreachable | the site cannot be looked at as a Party |

A finding is about one item of one site, so it opens once and closes once, however often it is seen. How late a file was
that came late is no finding: it stays with its publication.
"""

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from smki.consumer.synchronised_copy import deltas_after
from smki.obligations.user_guide import Obligation, Terms, UserGuide
from smki.publish.artefact import Publication
from smki.retention.rules import SeenFile, Verdict, plan_retention
from smki.watch.status import DueStatus, State, span

_RETENTION_GRACE = timedelta(days=1, hours=2)  # retention looks once a day
_SHOWN_DAYS = 7


class Kind(StrEnum):
    """Of a finding; also the name of its section in docs/runbook.md."""

    MISSING = "missing"
    EARLY = "early"
    TRUNCATED = "truncated"
    ALTERED = "altered"
    UNEXPECTED = "unexpected"
    EXPIRED = "expired"
    CHAIN_BROKEN = "chain broken"
    NEXT_UPDATE = "next update"
    ANCHORS_UNEQUAL = "anchors unequal"
    UNREACHABLE = "unreachable"

    @property
    def section(self) -> str:
        """Where the runbook tells what to do."""
        return f"docs/runbook.md#{self.value.replace(' ', '-')}"


_NEXT_STEP = {
    Kind.MISSING: "see the DAG's run of that day; mend what it names, then clear its failed task or backfill the day.",
    Kind.EARLY: "find out who published it: a Party that loads it skips a day.",
    Kind.TRUNCATED: "move it away by hand, then clear the `publish` task of its run: the same content is put there.",
    Kind.ALTERED: "find out who changed it; move it away by hand, then clear the `publish` task of its run.",
    Kind.UNEXPECTED: "find out whose it is, and have its owner move it away.",
    Kind.EXPIRED: "see the DAG smki_retention; `smki retention plan` says why it stays.",
    Kind.CHAIN_BROKEN: "backfill the days that are named, or publish a full extract of a later day.",
    Kind.NEXT_UPDATE: "have its issuer issue the next list and lodge it; it is published at once.",
    Kind.ANCHORS_UNEQUAL: "trigger the DAG smki_anchor_slots; `smki anchors state` shows which file is not of the set.",
    Kind.UNREACHABLE: "try the login by hand; see whether the server, its network and the Party's key are as they were.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    kind: Kind
    site: str  # empty: it is not of one site
    item: str  # the file's name, or what else it is about
    rule: str  # what is wrong, with figures
    obligation: Obligation | None = None
    business_date: date | None = None

    @property
    def next_step(self) -> str:
        """What to do, in one sentence; the runbook has the rest."""
        return f"{_NEXT_STEP[self.kind]} ({self.kind.section})"


@dataclass(frozen=True, slots=True)
class Sight:
    """What a Party sees on a site."""

    site: str
    files: tuple[SeenFile, ...]
    hashes: Mapping[str, str]  # path → SHA-256 (hex) of what was read back whole, now or before
    next_updates: Mapping[str, datetime]  # name of a revocation list's file → its nextUpdate (UTC)
    unequal_anchors: str = ""  # how the regions' files differ where they may not


def find(
    guide: UserGuide, sight: Sight, offered: Iterable[Publication], stands: Iterable[DueStatus], now: datetime
) -> list[Finding]:
    """All that is wrong on a site at `now` (UTC).

    `offered` is what the ledger says the site offers; `stands` how every due file of the last weeks stands.
    """
    publications = {posixpath.normpath(publication.path): publication for publication in offered}
    seen = {posixpath.normpath(file.path): file for file in sight.files}
    return [
        *_late(sight.site, stands, now),
        *_lost(sight.site, publications, seen),
        *_wrong_files(guide, sight, publications, seen, now),
        *_expired(guide, sight.site, publications, seen, now),
        *_broken_chain(guide, sight.site, seen, now),
        *_near_next_update(guide, sight, now),
        *_unequal_anchors(sight),
    ]


def _late(site: str, stands: Iterable[DueStatus], now: datetime) -> Iterator[Finding]:
    for one in stands:
        is_gone = one.due.terms.retention_days is not None and one.due.missed_at + one.due.terms.retention_days < now
        if one.state in (State.LATE, State.MISSED, State.HELD) and site in one.missing_sites and not is_gone:
            if now < one.due.publish_by:
                continue
            held = " The gate holds it." if one.state is State.HELD else ""
            yield Finding(
                Kind.MISSING,
                site,
                one.due.name if not one.due.terms.replaced_in_place else f"{one.due.name} of {one.due.business_date}",
                f"it was due at {one.due.publish_by:%Y-%m-%d %H:%M} UTC, {span(now - one.due.publish_by)} ago.{held}",
                one.due.terms.obligation,
                one.due.business_date,
            )
