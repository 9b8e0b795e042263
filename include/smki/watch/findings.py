"""What is wrong on a site. Pure: what a Party sees there, what the ledger says, and the time, in; findings out.

| kind | what it means |
|---|---|
| held | the gate holds the file: a person has to decide |
| at risk | the warning time has come, or the forecast ends after publish-by, and the file is not there |
| missing | publish-by has passed and the file was not published |
| lost | it was published, and the server has it no more |
| early | a file for a day whose cut-off has not come |
| truncated | shorter than what was published, and as far as its first bytes tell, ours |
| unreadable | published, and a Party may not read it; or a folder that a Party may not list |
| read error | published, and the server fails when it is to be read; or a folder that it fails to list |
| no file | something else than a file has the name of a published one |
| altered | not the bytes that were published |
| miscopied | ours, and the server did not copy into it what it was told to copy |
| unread | nobody has read pages of it back for a day |
| ledger behind | files there are newer than all that the ledger knows: it was restored from an older backup |
| unexpected | nothing of ours: a Party may take it for ours |
| expired | past its days and still there, a day after retention looked |
| chain broken | from the newest full extract a Party cannot get to today |
| next update | a revocation list nears its nextUpdate, or is past it, and none follows |
| list without obligation | lists of this issuer are lodged, and no section of user_guide.toml publishes them |
| index | what a Party finds as the site's signed index is not what the site offers, or not signed |
| anchors unequal | the two regions' files differ elsewhere than in the WAN provider slot |
| clocks | two clocks differ, or events of the future wait: they are in no file until their time comes |
| unreachable | the site cannot be looked at as a Party |

A finding is about one item of one site: it opens once and closes once, however often it is seen. A file that came late
is no finding: how late it was stays with its publication.
"""

import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from smki.gate.ledger import GateRun
from smki.kinds.revocation.lodging import ListFacts
from smki.obligations.catalogue import AnchorPart, DeltaExtract, Obligation, RevocationList, UserGuide
from smki.publish.artefact import Publication
from smki.publish.readings import PageReading
from smki.publish.unknown_files import NOT_ASKED, KnownNames, behind_rule, is_newer
from smki.retention.rules import Action, SeenFile, plan_retention
from smki.watch.due_status import DueStatus, State
from smki.watch.facts import Clocks
from smki.words import span

_RETENTION_GRACE = timedelta(days=1, hours=2)  # retention looks once a day
_SHOWN = 7  # days or pages that a rule names
_READ_WITHIN = timedelta(days=1)
_CLOCKS_APART = timedelta(minutes=1)


class Kind(StrEnum):
    """Of a finding; also the name of its section in docs/runbook.md."""

    HELD = "held"
    AT_RISK = "at risk"
    MISSING = "missing"
    LOST = "lost"
    EARLY = "early"
    TRUNCATED = "truncated"
    ALTERED = "altered"
    MISCOPIED = "miscopied"
    UNREAD = "unread"
    UNREADABLE = "unreadable"
    READ_ERROR = "read error"
    NO_FILE = "no file"
    LEDGER_BEHIND = "ledger behind"
    UNEXPECTED = "unexpected"
    EXPIRED = "expired"
    CHAIN_BROKEN = "chain broken"
    NEXT_UPDATE = "next update"
    LIST_WITHOUT_OBLIGATION = "list without obligation"
    ANCHORS_UNEQUAL = "anchors unequal"
    INDEX = "index"
    CLOCKS = "clocks"
    UNREACHABLE = "unreachable"

    @property
    def section(self) -> str:
        """Where the runbook tells what to do."""
        return f"docs/runbook.md#{self.value.replace(' ', '-')}"


OF_A_DUE_FILE = frozenset({Kind.HELD, Kind.AT_RISK, Kind.MISSING})  # that it is not there yet: its state says so, too
# What the ledger and the repository alone tell, also of a site that cannot be looked at.
OF_THE_LEDGER = OF_A_DUE_FILE | {Kind.CLOCKS, Kind.LIST_WITHOUT_OBLIGATION}
# Of a file that was published: a Party cannot load it from that site.
NOT_USABLE = frozenset(
    {Kind.LOST, Kind.TRUNCATED, Kind.ALTERED, Kind.MISCOPIED, Kind.UNREADABLE, Kind.READ_ERROR, Kind.NO_FILE}
)

_NEXT_STEP = {
    Kind.HELD: "read the report and decide: Airflow, Required Actions, Approve or Reject, with the reason.",
    Kind.AT_RISK: "see the DAG's run of that day: it waits, fails or is slow; there is still time.",
    Kind.MISSING: "see the run of that day; mend what it names, then clear what failed, or backfill the day.",
    Kind.EARLY: "find out who published it: a Party that loads it skips a day.",
    Kind.LOST: "find out who took it away, then have it published again: the same content is put there.",
    Kind.TRUNCATED: "move it away by hand, then have it published again: the same content is put there.",
    Kind.ALTERED: "find out who changed it; move it away by hand and keep it, then have it published again.",
    Kind.MISCOPIED: "clear its task `publish_SITE`: the file is sent as a whole and takes the place of the wrong one.",
    Kind.UNREAD: "see whether the auditor's looks end in time; give it more bytes a day: SMKI_AUDIT_BYTES_A_DAY.",
    Kind.UNREADABLE: "have the server's operator give everybody the right to read it (mode 644), and its folder (755).",
    Kind.READ_ERROR: "have the server's disk and log looked at; once it is mended, have what is lost published again.",
    Kind.NO_FILE: "have it moved away on the server, then have the file published again: its content is the same.",
    Kind.LEDGER_BEHIND: "see `smki adopt --dry-run`, then adopt them; till then nothing with a date is published.",
    Kind.UNEXPECTED: "find out whose it is, and have its owner move it away.",
    Kind.EXPIRED: "see the DAG smki_retention; `smki retention plan` says why it stays.",
    Kind.CHAIN_BROKEN: "backfill the days that are named, or publish a full extract of a later day.",
    Kind.NEXT_UPDATE: "have its issuer issue the next list and lodge it; it is published at once.",
    Kind.LIST_WITHOUT_OBLIGATION: 'give its issuer a section in user_guide.toml, with issuer = "CN=…".',
    Kind.ANCHORS_UNEQUAL: "trigger the DAG smki_anchor_slots; `smki anchors state` shows which file is not of the set.",
    Kind.INDEX: "publish it: `smki index publish`; see why the task `publish_index_SITE` did not.",
    Kind.CLOCKS: "have the clocks set; what was recorded ahead of time goes into the delta of that day.",
    Kind.UNREACHABLE: "try the login by hand; see whether server, network and the Party's key are as they were.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    kind: Kind
    site: str  # empty: it is not of one site
    item: str  # the file's name, or what else it is about
    rule: str  # what is wrong, with figures
    obligation: str | None = None  # its name
    business_date: date | None = None
    subject: str = ""  # whom the file is for; empty: all Parties

    def is_of(self, obligation: Obligation) -> bool:
        """Whether it is about a file of this obligation."""
        return (self.obligation, self.subject) == obligation.key

    @property
    def next_step(self) -> str:
        """What to do, in one sentence; the runbook has the rest."""
        return f"{_NEXT_STEP[self.kind]} ({self.kind.section})"


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
) -> list[Finding]:
    """All that is wrong on a site at `now` (UTC).

    `offered` is what the ledger says the site offers, `known` what it knows of dated files, offered or not; `stands` is
    how every due file of the last weeks stands.
    """
    # A publisher and a Party may see the same folder under different paths; names are the same.
    publications = {
        publication.name: replace(publication, path=publication.name)
        for publication in offered
        if _folder_of(guide, publication) not in sight.unlisted
    }
    seen, others = _by_name(guide, sight.files)
    newer = {name for name in seen if is_newer(guide, name, known, now)}
    behind = [Finding(Kind.LEDGER_BEHIND, sight.site, "ledger", behind_rule(newer))] if newer else []
    return [
        *behind,
        *(Finding(one.kind, sight.site, f"folder {folder}", one.rule) for folder, one in sight.unlisted.items()),
        *find_late_or_at_risk(sight.site, stands),
        *_elsewhere(sight.site, others, seen),
        *_lost(sight.site, publications, seen),
        *_wrong_files(guide, sight, publications, {n: file for n, file in seen.items() if n not in newer}, now),
        *_expired(guide, sight.site, publications, seen, now),
        *_broken_chain(guide, sight, seen, now),
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
            rule = f"it states other files than are offered: {', '.join(other[:_SHOWN])}{' …' * (len(other) > _SHOWN)}."
        else:
            sizes = {posixpath.basename(file.path): file.bytes for file in sight.files}
            tables = [table for name, table in sight.index.tables.items() if name not in moving]
            if wrong := sorted(name for name, size in tables if sizes.get(name) != size):
                rule = f"page tables that it states are not there as stated: {', '.join(wrong[:_SHOWN])}."
    if rule:
        yield Finding(Kind.INDEX, sight.site, guide.index.file, rule)


def index_grace(guide: UserGuide) -> timedelta:
    """How long after a publication or a removal the index may lack it."""
    return 2 * guide.audit_every


def find_held(waiting: Iterable[GateRun]) -> Iterator[Finding]:
    """A finding for each gate run that waits for a person; it is about no single site."""
    for run in waiting:
        judged = run.judgement
        tripped = "; ".join(f"{result.observed} (expected: {result.expected})" for result in judged.failed)
        rule = f"gate run {run.id} holds it since {judged.judged_at:%Y-%m-%d %H:%M} UTC: {tripped}."
        yield Finding(Kind.HELD, "", judged.name, rule, judged.obligation, judged.business_date, judged.subject)


def find_wrong_clocks(clocks: Clocks, now: datetime) -> Iterator[Finding]:
    """Findings about no single site: the database's clock against ours (`now`, UTC), and events of the future."""
    apart = clocks.database - now
    if abs(apart) > _CLOCKS_APART:
        ahead = "ahead of" if apart > timedelta() else "behind"
        rule = f"the database's clock is {span(abs(apart))} {ahead} this machine's; windows close by the database's."
        yield Finding(Kind.CLOCKS, "", "database clock", rule)
    if clocks.future_events:
        rule = (
            f"{clocks.future_events:,} status events are dated in the future, up to "
            f"{clocks.newest_event:%Y-%m-%d %H:%M} UTC: they are in no delta and no full extract until then."
        )
        yield Finding(Kind.CLOCKS, "", "future events", rule)


def find_lists_without_obligation(lists: Iterable[ListFacts]) -> Iterator[Finding]:
    """A finding for each issuer whose lists nobody gets, about no single site."""
    for lodged in lists:
        rule = f"{lodged} is lodged, with {lodged.entries:,} entries, and no obligation publishes its issuer's lists."
        yield Finding(Kind.LIST_WITHOUT_OBLIGATION, "", f"{lodged.kind} of {lodged.issuer_display}", rule)


def find_late_or_at_risk(site: str, stands: Iterable[DueStatus]) -> Iterator[Finding]:
    """What is not on the site although, when that was looked up, its publish-by or its warning time had come.

    The auditor and Airflow's deadline alerts both use it, so that what both see is one finding.
    """
    for one in stands:
        if one.state in (State.NOTHING, State.DUE, State.CORRECTED) or site not in one.missing_sites:
            continue
        due, is_late = one.due, one.at >= one.due.publish_by
        if not is_late and one.state is State.HELD and one.at < due.warn_at:
            continue
        rule = f"it {'was' if is_late else 'is'} due at {due.publish_by:%Y-%m-%d %H:%M} UTC and is not there"
        if not is_late and one.expected_at is not None and one.expected_at > due.publish_by:
            rule += f"; it is expected at {one.expected_at:%H:%M} UTC"
        gate = ""
        if one.state is State.HELD:
            gate = " The gate holds it: a person has to decide."
        elif one.refused and isinstance(due.obligation.kind, DeltaExtract):
            gate = " The gate refused it: if that stays so, a full extract of the next day takes its place."
        yield Finding(
            Kind.MISSING if is_late else Kind.AT_RISK,
            site,
            due.label,
            f"{rule}.{gate}",
            due.obligation.name,
            due.business_date,
            due.obligation.subject,
        )


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


def _elsewhere(site: str, others: Iterable[SeenFile], seen: Mapping[str, SeenFile]) -> Iterator[Finding]:
    for file in others:
        meant = seen[posixpath.basename(file.path)].path
        rule = f"{meant} has its name, too, and only that is looked at: a Party may take this one."
        yield Finding(Kind.UNEXPECTED, site, file.path, rule)


def _lost(site: str, publications: Mapping[str, Publication], seen: Mapping[str, SeenFile]) -> Iterator[Finding]:
    for name, publication in publications.items():
        if name not in seen:
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
    of_index = guide.index.names(publications) if guide.index else set()
    for name, file in seen.items():
        if name in of_index or (name.startswith(".") and name.endswith(".part")):
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
        shown = ", ".join(map(str, reading.wrong[:_SHOWN])) + (" …" if len(reading.wrong) > _SHOWN else "")
        rule = f"{len(reading.wrong):,} of its pages are not those that were published (at {shown})."
        return Finding(Kind.MISCOPIED if is_ours else Kind.ALTERED, sight.site, publication.name, rule, *about)
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


def _broken_chain(guide: UserGuide, sight: Sight, seen: Mapping[str, SeenFile], now: datetime) -> Iterator[Finding]:
    """Days that a Party lacks from the newest full extract there to the newest delta that is due."""
    fulls, deltas = ({day for name in seen if (day := of.day_of(name))} for of in (guide.full, guide.delta))
    if not fulls or guide.delta.folder in sight.unlisted:
        return
    start, today = max(fulls), now.astimezone(UTC).date()
    wanted = [start + timedelta(days=number) for number in range(1, (today - start).days + 1)]
    holes = [day for day in wanted if day not in deltas and guide.delta.publish_by(day) <= now]
    if holes:
        listed = ", ".join(map(str, holes[:_SHOWN])) + (" …" if len(holes) > _SHOWN else "")
        yield Finding(
            Kind.CHAIN_BROKEN,
            sight.site,
            "recovery chain",
            f"after {guide.full.file_name(start)} the deltas of {listed} are not there.",
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


def _about(publication: Publication) -> tuple[str, date, str]:
    """The obligation, the day and the subject of a published file."""
    published = publication.artefact
    return published.obligation, published.business_date, published.subject
