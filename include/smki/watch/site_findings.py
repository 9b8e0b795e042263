"""What is wrong on a site, judged of one look.

Pure: what a Party sees there, what the ledger says, and the time, in; findings out.

* A publisher and a Party may see the same folder under different paths: files are compared by name. Of several of one
  name the one in its obligation's folder is meant, and each other one is unexpected.
* Of a file that is there the first of these is said: its cut-off has not come; the ledger offers nothing of its name;
  a Party cannot read it; it is shorter, and begins as ours does; its length, then its bytes, then its pages are not
  those that were published; pages of it have not been read back for a day.
* A chain is of files that the ledger offers, or that are newer than it, and of which nothing is said that keeps a Party
  from loading them: a name alone mends no chain.
* Of files that are newer than the ledger it is said that they are, once, and nothing of each. So it is of those of days
  that were taken over, as long as they are not adopted.
* Of a folder that cannot be listed it is said that it cannot, and nothing of what was published there.
* What changes while one looks is no finding: retention has a day and two hours to remove what is past its days, the
  files of the anchor set have until the next look to be equal, the index has two looks to follow what it states,
  and so have the page tables of what was removed to go.
* Missing and at risk are found by the ledger (`repository_findings`).
"""

import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from smki.obligations.catalogue import AnchorPart, RevocationList, UserGuide
from smki.publish.artefact import Publication
from smki.publish.readings import PageReading
from smki.publish.unknown_files import NOT_ASKED, KnownNames, UnknownName, behind_rule, find_unknown_name
from smki.retention.rules import Action, SeenFile, plan_retention
from smki.watch.due_status import DueStatus
from smki.watch.findings import NOT_USABLE, Finding, Kind
from smki.watch.repository_findings import find_late_or_at_risk
from smki.words import first_few, span

_RETENTION_GRACE = timedelta(days=1, hours=2)  # retention looks once a day
_READ_WITHIN = timedelta(days=1)


class Obstacle(NamedTuple):
    """Why a Party cannot read what is published under a name, or list a folder."""

    kind: Kind
    rule: str


@dataclass(frozen=True, slots=True)
class SeenIndex:
    """What a Party finds as the site's signed index."""

    rule: str = ""  # what is wrong with it in itself
    files: Mapping[str, str] = field(default_factory=dict)  # name that it states → SHA-256, hex
    tables: Mapping[str, tuple[str, int]] = field(default_factory=dict)  # full extract → its page table, bytes


@dataclass(frozen=True, slots=True)
class Sight:
    """What a Party sees on a site."""

    site: str
    files: tuple[SeenFile, ...]
    hashes: Mapping[str, str]  # path → SHA-256 (hex) of what was read back whole, now or before
    next_updates: Mapping[str, datetime]  # name of a revocation list's file → its nextUpdate (UTC)
    unequal_anchors: str = ""  # how the regions' files differ where they may not
    obstacles: Mapping[str, Obstacle] = field(default_factory=dict)  # path of a file → why a Party cannot read it
    unlisted: Mapping[str, Obstacle] = field(default_factory=dict)  # folder of the user guide → why nobody can list it
    foreign: frozenset[str] = frozenset()  # paths of .gz files that do not begin as ours of that name do
    pages: Mapping[str, PageReading] = field(default_factory=dict)  # path → what is known of its pages as it stands
    index: SeenIndex | None = None  # none: no index was ever published there


def find_wrong(
    guide: UserGuide,
    sight: Sight,
    offered: Iterable[Publication],
    stands: Iterable[DueStatus],
    now: datetime,
    known: KnownNames = NOT_ASKED,
    ended: Collection[str] = (),
) -> list[Finding]:
    """All that is wrong on a site at `now` (UTC).

    `offered` is what the ledger says the site offers, `known` what it knows of dated files, offered or not; `stands` is
    how every due file of the last weeks stands. `ended` are the names of what was removed or replaced within
    `index_grace`.
    """
    # A publisher and a Party may see the same folder under different paths; names are the same.
    publications = {
        publication.name: replace(publication, path=publication.name)
        for publication in offered
        if _folder_of(guide, publication) not in sight.unlisted
    }
    seen, others = _by_name(guide, sight.files)
    unknown = {name: of for name in seen if (of := find_unknown_name(guide, name, known, now))}
    named = guide.index.names({*publications, *ended}) if guide.index else set[str]()
    judged = {name: file for name, file in seen.items() if name not in unknown and name not in named}
    wrong_files = list(_wrong_files(guide, sight, publications, judged, now))
    useless = {one.item for one in wrong_files if one.kind in NOT_USABLE or one.kind is Kind.EARLY}
    return [
        *_unknown(sight.site, unknown),
        *(Finding(one.kind, sight.site, f"folder {folder}", one.rule) for folder, one in sight.unlisted.items()),
        *find_late_or_at_risk(sight.site, stands),
        *_elsewhere(sight.site, others, seen),
        *_lost(guide, sight.site, publications, seen),
        *wrong_files,
        *_expired(guide, sight.site, publications, seen, now),
        *_broken_chain(guide, sight, (seen.keys() & publications.keys() | unknown.keys()) - useless, now),
        *_near_next_update(guide, sight, now),
        *_unequal_anchors(guide, sight, publications, now),
    ]


def find_wrong_index(
    guide: UserGuide, sight: Sight, offered: Iterable[Publication], ended: Collection[str], now: datetime
) -> Iterator[Finding]:
    """Whether a Party finds the signed index of what a site offers at `now` (UTC).

    It follows each publication and each removal: what is younger than `index_grace` may be missing in it. `ended` are
    the names of what was replaced or removed since then.
    """
    if guide.index is None or sight.index is None or guide.index.folder in sight.unlisted:
        return
    rule = sight.index.rule
    if not rule:
        ours = [one for one in offered if guide.find(one.artefact.obligation, one.artefact.subject)]
        moving = {one.name for one in ours if one.published_at > now - index_grace(guide)}.union(ended)
        right = {one.name: one.artefact.sha256 for one in ours}
        if other := sorted({name for name, _ in right.items() ^ sight.index.files.items()} - moving):
            rule = f"it states other files than are offered: {first_few(other)}."
        else:
            sizes = {posixpath.basename(file.path): file.bytes for file in sight.files}
            tables = [table for name, table in sight.index.tables.items() if name not in moving]
            if wrong := sorted(name for name, size in tables if sizes.get(name) != size):
                rule = f"page tables that it states are not there as stated: {first_few(wrong)}."
    if rule:
        yield Finding(Kind.INDEX, sight.site, guide.index.file, rule)


def index_grace(guide: UserGuide) -> timedelta:
    """How long after a publication or a removal the index may lack it."""
    return 2 * guide.audit_every


def _by_name(guide: UserGuide, files: Iterable[SeenFile]) -> tuple[dict[str, SeenFile], list[SeenFile]]:
    """The files by name, and those whose name another file has, too: the one in its obligation's folder is meant."""

    def is_elsewhere(file: SeenFile) -> bool:
        obligation = guide.of_file(posixpath.basename(file.path))
        folder = "" if obligation is None else posixpath.normpath("/" + obligation.folder.strip("/")).rstrip("/")
        return not f"/{posixpath.dirname(file.path)}".endswith(folder)

    seen, others = dict[str, SeenFile](), list[SeenFile]()
    for file in sorted(files, key=lambda file: (is_elsewhere(file), len(file.path))):
        if seen.setdefault(posixpath.basename(file.path), file) is not file:
            others.append(file)
    return seen, others


def _unknown(site: str, unknown: Mapping[str, UnknownName]) -> Iterator[Finding]:
    newer, taken_over = (
        sorted(name for name, of in unknown.items() if of.is_taken_over is wanted) for wanted in (False, True)
    )
    if newer:
        yield Finding(Kind.LEDGER_BEHIND, site, "ledger", behind_rule(newer))
    if taken_over:
        rule = f"their days were taken over, and the ledger does not know them: {first_few(taken_over)}."
        yield Finding(Kind.NOT_ADOPTED, site, "files that were taken over", rule)


def _elsewhere(site: str, others: Iterable[SeenFile], seen: Mapping[str, SeenFile]) -> Iterator[Finding]:
    for file in others:
        meant = seen[posixpath.basename(file.path)].path
        rule = f"{meant} has its name, too, and only that is looked at: a Party may take this one."
        yield Finding(Kind.UNEXPECTED, site, file.path, rule)


def _lost(
    guide: UserGuide, site: str, publications: Mapping[str, Publication], seen: Mapping[str, SeenFile]
) -> Iterator[Finding]:
    for name, publication in publications.items():
        published = publication.artefact
        if name not in seen and guide.find(published.obligation, published.subject):  # else a person was to remove it
            yield Finding(
                Kind.LOST,
                site,
                publication.name,
                f"it was published at {publication.published_at:%Y-%m-%d %H:%M} UTC and is there no more.",
                *_about(publication),
            )


def _wrong_files(
    guide: UserGuide,
    sight: Sight,
    publications: Mapping[str, Publication],
    seen: Mapping[str, SeenFile],
    now: datetime,
) -> Iterator[Finding]:
    for name, file in seen.items():
        if name.startswith(".") and name.endswith(".part"):
            continue  # an upload that is under way, or one that retention removes
        obligation = guide.of_file(name)
        day = obligation.day_of(name) if obligation else None
        if obligation is not None and day is not None and obligation.cut_off.at(day) > now:
            rule = f"its cut-off {obligation.cut_off.at(day):%Y-%m-%d %H:%M} UTC has not come."
            yield Finding(Kind.EARLY, sight.site, name, rule, obligation.name, day, obligation.subject)
        elif (publication := publications.get(name)) is None:
            rule, of = "the ledger offers nothing under this name.", obligation.name if obligation else None
            yield Finding(Kind.UNEXPECTED, sight.site, name, rule, of, None, obligation.subject if obligation else "")
        elif obstacle := sight.obstacles.get(file.path):
            yield Finding(obstacle.kind, sight.site, name, obstacle.rule, *_about(publication))
        elif finding := _damaged(sight, file, publication, now):
            yield finding


def _damaged(sight: Sight, file: SeenFile, publication: Publication, now: datetime) -> Finding | None:
    published = publication.artefact
    about = _about(publication)
    if file.bytes < published.bytes and file.path not in sight.foreign:
        rule = f"{file.bytes:,} bytes are there and {published.bytes:,} were published."
        return Finding(Kind.TRUNCATED, sight.site, publication.name, rule, *about)
    found = sight.hashes.get(file.path, published.sha256)
    if file.bytes != published.bytes:
        rule = f"{file.bytes:,} bytes are there, which are not read; published were {published.bytes:,}."
        return Finding(Kind.ALTERED, sight.site, publication.name, rule, *about)
    if found != published.sha256:
        rule = f"its {file.bytes:,} bytes have the SHA-256 {found}; published were as many with {published.sha256}."
        return Finding(Kind.ALTERED, sight.site, publication.name, rule, *about)
    reading = sight.pages.get(file.path)
    if reading is not None and reading.wrong:
        is_ours = reading.as_published and publication.copied_bytes > 0
        rule = f"{len(reading.wrong):,} of its pages are not those that were published (at {first_few(reading.wrong)})."
        return Finding(Kind.MISCOPIED if is_ours else Kind.ALTERED, sight.site, publication.name, rule, *about)
    if file.path in sight.hashes:  # it was read whole, as it stands
        return None
    if reading is not None and len(reading.unread) and reading.since < now - _READ_WITHIN:
        rule = f"{len(reading.unread):,} of its pages have not been read back since {reading.since:%Y-%m-%d %H:%M} UTC."
        return Finding(Kind.UNREAD, sight.site, publication.name, rule, *about)
    return None


def _expired(
    guide: UserGuide,
    site: str,
    publications: Mapping[str, Publication],
    seen: Mapping[str, SeenFile],
    now: datetime,
) -> Iterator[Finding]:
    """What retention was to remove a day ago, or longer, by what had been published then."""
    then = now - _RETENTION_GRACE
    offered = [publication for publication in publications.values() if publication.published_at <= then]
    listing = [replace(file, path=name) for name, file in seen.items()]
    for found in plan_retention(guide, offered, listing, then):
        if found.action is Action.REMOVE and found.publication is not None:
            rule = f"it is still there: {found.rule}."
            yield Finding(Kind.EXPIRED, site, found.name, rule, *_about(found.publication))


def _broken_chain(guide: UserGuide, sight: Sight, usable: Collection[str], now: datetime) -> Iterator[Finding]:
    """Days that a Party lacks from the newest full extract there to the newest delta that is due.

    `usable` are the names of what is there for a Party to load.
    """
    fulls, deltas = ({day for name in usable if (day := of.day_of(name))} for of in (guide.full, guide.delta))
    if not fulls or guide.delta.folder in sight.unlisted:
        return
    start, today = max(fulls), now.astimezone(UTC).date()
    wanted = [start + timedelta(days=number) for number in range(1, (today - start).days + 1)]
    holes = [day for day in wanted if day not in deltas and guide.delta.publish_by(day) <= now]
    if holes:
        yield Finding(
            Kind.CHAIN_BROKEN,
            sight.site,
            "recovery chain",
            f"after {guide.full.file_name(start)} the deltas of {first_few(holes)} are not there.",
            guide.delta.name,
        )


def _near_next_update(guide: UserGuide, sight: Sight, now: datetime) -> Iterator[Finding]:
    for name, next_update in sight.next_updates.items():
        obligation = guide.of_file(name)
        if obligation is None or not isinstance(obligation.kind, RevocationList):
            continue
        if next_update - now >= obligation.kind.next_update_warning:
            continue
        tense = f"comes in {span(next_update - now)}" if next_update > now else f"passed {span(now - next_update)} ago"
        yield Finding(
            Kind.NEXT_UPDATE,
            sight.site,
            name,
            f"its nextUpdate {next_update:%Y-%m-%d %H:%M} UTC {tense}.",
            obligation.name,
        )


def _unequal_anchors(
    guide: UserGuide, sight: Sight, publications: Mapping[str, Publication], now: datetime
) -> Iterator[Finding]:
    """Files of the set are replaced one after another: a difference counts once both have stood since the last look."""
    anchors = guide.anchors()
    regions = [anchors[part].file for part in (AnchorPart.NORTH, AnchorPart.CENTRAL_SOUTH)]
    changed_at = [publications[name].published_at for name in regions if name in publications]
    if sight.unequal_anchors and all(at <= now - guide.audit_every for at in changed_at):
        yield Finding(
            Kind.ANCHORS_UNEQUAL, sight.site, "anchor files", sight.unequal_anchors, anchors[AnchorPart.DOCUMENT].name
        )


def _folder_of(guide: UserGuide, publication: Publication) -> str:
    obligation = guide.find(publication.artefact.obligation, publication.artefact.subject)
    return obligation.folder if obligation else ""


def _about(publication: Publication) -> tuple[str, date | None, str]:
    """The obligation, the day and the subject of a published file; what is replaced in place stands for every day."""
    published = publication.artefact
    day = published.business_date if published.version is None else None
    return published.obligation, day, published.subject
