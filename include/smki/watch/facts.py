"""What the ledger and the repository say of the due files: one read, so that states are computed from one moment."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, and_, func, or_, select

from smki.certificates.model import ListKind
from smki.gate.model import Verdict, is_cleared
from smki.obligations.catalogue import Obligation, UserGuide
from smki.repository.database import reading
from smki.repository.tables import (
    artefact,
    gate_decision,
    gate_run,
    issuer,
    publication,
    revocation_list,
    status_event,
)
from smki.repository.windows import first_day_after, first_owed_day

Key = tuple[str, str]  # whom a file is for, and its name
_HELD_AT_MOST = timedelta(days=7)  # by a run that waits for its decision
_AHEAD = timedelta(minutes=5)  # that an event may be before it is worth a word


@dataclass(frozen=True, slots=True)
class Offered:
    """A file that a site offers, or offered."""

    site: str
    name: str
    bytes: int
    records: int
    sha256: str  # hex
    content_digest: str  # hex; equal for equal content, however it is compressed
    run: str  # who published it
    first_published_at: datetime  # UTC; a file that was lost and put there again keeps it
    ended_at: datetime | None  # UTC


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """A gate run over a file."""

    id: int
    name: str
    sha256: str  # hex
    content_digest: str | None  # hex; none until some site is to have the file
    verdict: Verdict
    judged_at: datetime  # UTC
    released: bool | None  # what a person decided of a HOLD; None: nothing yet
    decided_by: str | None
    reason: str | None
    decided_at: datetime | None = None  # UTC
    held_with: "GateVerdict | None" = None  # what the gate held of its set: they go out together

    @property
    def waits(self) -> bool:
        """Whether it goes out only when a person has decided."""
        held = self.held_with or self
        return held.verdict is Verdict.HOLD and held.released is None

    @property
    def was_held(self) -> bool:
        """Whether it had, or has, to wait for a person."""
        return (self.held_with or self).verdict is Verdict.HOLD

    @property
    def cleared(self) -> bool:
        """Whether the file may be published."""
        return is_cleared(self.verdict, self.released)

    @property
    def cleared_at(self) -> datetime | None:
        """Since when it may be (UTC); of a HOLD, since a person decided."""
        return max(self.judged_at, self.decided_at or self.judged_at) if self.cleared else None

    def waits_at(self, at: datetime) -> bool:
        """Whether the gate held it, or what it goes out with, before `at` (UTC), and nobody had decided by then."""
        held = self.held_with or self
        undecided = held.released is None or (held.decided_at is not None and held.decided_at >= at)
        return held.verdict is Verdict.HOLD and held.judged_at < at and undecided


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known, as of one moment."""

    sites: tuple[str, ...]  # that every file has to be on
    first_day: date | None  # the first one that is owed; none while nothing is lodged
    begins: dict[tuple[str, str], datetime]  # by obligation; of files replaced in place: since when there are any
    _offered: dict[Key, list[Offered]] = field(default_factory=dict)  # oldest first
    _judged: dict[Key, list[GateVerdict]] = field(default_factory=dict)  # oldest first
    full_days: tuple[date, ...] = ()  # of the full extracts that every site was given, ascending
    reach_back_to: date = date.min  # business dates before it may have had files that are not known here

    def offered(self, obligation: Obligation, day: date) -> list[Offered]:
        """What was published under the name of that day's file, oldest first."""
        return self._offered.get((obligation.subject, obligation.file_name(day)), [])

    def judged(self, obligation: Obligation, day: date) -> list[GateVerdict]:
        """The gate runs over files of that name, oldest first."""
        return self._judged.get((obligation.subject, obligation.file_name(day)), [])

    def since(self, obligation: Obligation) -> date | None:
        """The first business date that a file is due for; none while there is nothing to publish."""
        if not obligation.replaced_in_place:
            day = self.first_day
        elif begun := self.begins.get(obligation.key):
            day = first_day_after(begun, obligation.cut_off.at)
        else:
            return None
        return day if day is None or obligation.cut_off.falls_on(day) else obligation.cut_off.next_day(day)


def full_days(full: Obligation, sites: Collection[str], offered: Mapping[Key, Sequence[Offered]]) -> tuple[date, ...]:
    """The days of an obligation's files that every site was given, ascending."""
    return tuple(
        sorted(
            day
            for (subject, name), there in offered.items()
            if subject == full.subject and (day := full.day_of(name)) and {one.site for one in there}.issuperset(sites)
        )
    )


@dataclass(frozen=True, slots=True)
class Clocks:
    """What the database says of time."""

    database: datetime  # its clock, UTC
    future_events: int  # status events that are dated minutes or more after it
    newest_event: datetime | None  # the last of them, UTC


def read_clocks(engine: Engine) -> Clocks:
    """The database's clock, and the events that are ahead of it. Raises RepositoryUnavailableError."""
    events = status_event.c
    unclaimed = select(func.clock_timestamp(), func.count(), func.max(events.recorded_at)).where(
        events.window_seq.is_(None), events.recorded_at > func.clock_timestamp() + _AHEAD
    )
    with reading(engine) as connection:
        database, count, newest = connection.execute(unclaimed).one()
    return Clocks(database.astimezone(UTC), count, newest and newest.astimezone(UTC))


def load_facts(engine: Engine, guide: UserGuide, sites: Iterable[str], first: date) -> Facts:
    """What is known of all that is due from the business date `first` on. Raises RepositoryUnavailableError."""
    begin = datetime.combine(first - timedelta(days=1), datetime.min.time(), UTC)
    with reading(engine) as connection:
        first_day = first_owed_day(connection)
        if first_day is None:  # else a look at every event there ever was
            oldest = connection.execute(select(func.min(status_event.c.recorded_at))).scalar_one()
            first_day = oldest and first_day_after(oldest, guide.delta.cut_off.at)
        lists = connection.execute(
            select(revocation_list.c.kind, issuer.c.name, func.min(revocation_list.c.lodged_at).label("at"))
            .join(issuer, issuer.c.id == revocation_list.c.issuer_id)
            .group_by(revocation_list.c.kind, issuer.c.name)
        ).all()
        in_place = [one.name for one in guide.all if one.replaced_in_place]
        judged_since = connection.execute(
            select(gate_run.c.obligation, gate_run.c.subject, func.min(gate_run.c.judged_at))
            .where(gate_run.c.obligation.in_(in_place))
            .group_by(gate_run.c.obligation, gate_run.c.subject)
        ).all()
        publications = connection.execute(
            select(
                artefact.c.subject,
                publication.c.site,
                publication.c.name,
                artefact.c.bytes,
                artefact.c.records,
                artefact.c.sha256,
                artefact.c.content_digest,
                publication.c.run,
                publication.c.first_published_at,
                publication.c.ended_at,
            )
            .join_from(publication, artefact)
            .where(
                or_(
                    artefact.c.business_date >= first,
                    publication.c.ended_at.is_(None),
                    publication.c.ended_at >= begin,
                )
            )
            .order_by(publication.c.id)
        ).all()
        runs = connection.execute(
            select(
                gate_run.c.subject,
                gate_run.c.id,
                gate_run.c.name,
                gate_run.c.sha256,
                artefact.c.content_digest,
                gate_run.c.verdict,
                gate_run.c.judged_at,
                gate_decision.c.released,
                gate_decision.c.decided_by,
                gate_decision.c.reason,
                gate_decision.c.decided_at,
                gate_run.c.run,
            )
            .join_from(gate_run, gate_decision, isouter=True)
            .join(
                artefact,
                and_(artefact.c.name == gate_run.c.name, artefact.c.sha256 == gate_run.c.sha256),
                isouter=True,
            )
            .where(or_(gate_run.c.business_date >= first, gate_run.c.judged_at >= begin - _HELD_AT_MOST))
            .order_by(gate_run.c.judged_at, gate_run.c.id)
        ).all()
    begins = {(name, subject): at for name, subject, at in judged_since}
    for one, kind in guide.lists():
        if since := [row.at for row in lists if kind.may_publish(ListKind(row.kind), row.name)]:
            begins[one.key] = min(since)
    offered: dict[Key, list[Offered]] = {}
    for subject, *row in publications:
        offered.setdefault((subject, row[1]), []).append(Offered(*row))
    judged: dict[Key, list[GateVerdict]] = {}
    for subject, verdict in _with_their_sets(runs, {one.file: f"{one.dag}/" for one in guide.anchors().values()}):
        judged.setdefault((subject, verdict.name), []).append(verdict)
    every = tuple(sites)
    return Facts(every, first_day, begins, offered, judged, full_days(guide.full, every, offered), first)


def _with_their_sets(rows: Iterable[Any], in_set: Mapping[str, str]) -> Iterator[tuple[str, GateVerdict]]:
    """The gate runs, by subject; those over files of a set (name → how its runs' labels begin) each with what the same
    run held of it: of several what still waits.
    """
    verdicts = [
        (subject, run, GateVerdict(number, name, sha256, content, Verdict(verdict), *rest))
        for subject, number, name, sha256, content, verdict, *rest, run in rows
    ]
    newest = {(run, one.name): one for _, run, one in verdicts if run.startswith(in_set.get(one.name, "\0"))}
    of_runs = sorted(newest.items(), key=lambda item: item[1].waits)
    held = {run: one for (run, _), one in of_runs if one.verdict is Verdict.HOLD}
    for subject, run, one in verdicts:
        goes_with = run in held and one.name in in_set and one.verdict is Verdict.PASS
        yield subject, replace(one, held_with=held[run]) if goes_with else one


@dataclass(frozen=True, slots=True)
class PastFile:
    """A file that was published."""

    business_date: date
    bytes: int
    records: int
    run: str  # that published it
    margin: timedelta  # from its publication on the last site to publish-by; negative where it came late


def past_files(engine: Engine, obligation: Obligation, count: int) -> list[PastFile]:
    """The newest `count` files of an obligation that has one a day or week, oldest first.

    Raises RepositoryUnavailableError.
    """
    published_at = func.max(publication.c.first_published_at)
    query = (
        select(
            artefact.c.business_date,
            func.max(artefact.c.bytes).label("bytes"),
            func.max(artefact.c.records).label("records"),
            func.max(publication.c.run).label("run"),
            published_at.label("published_at"),
        )
        .join_from(publication, artefact)
        .where(artefact.c.obligation == obligation.name, artefact.c.subject == obligation.subject)
        .group_by(artefact.c.business_date)
        .order_by(artefact.c.business_date.desc())
        .limit(count)
    )
    with reading(engine) as connection:
        rows = connection.execute(query).all()
    return [
        PastFile(
            row.business_date, row.bytes, row.records, row.run, _margin(obligation, row.business_date, row.published_at)
        )
        for row in reversed(rows)
    ]


def _margin(obligation: Obligation, day: date, published_at: datetime) -> timedelta:
    return obligation.publish_by(day) - published_at
