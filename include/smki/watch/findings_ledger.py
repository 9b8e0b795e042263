"""What the watch keeps in the ledger: findings, and the last errors of failed tasks.

* A finding opens once and closes once, whoever sees it how often. Two signals write here, the auditor and Airflow's
  deadline alerts: a miss that both see is one finding. The auditor closes what it no longer sees on a site, unless that
  opened while it was looking; a miss closes the risk that went before it.
* What the ledger alone tells closes whenever it is not seen any more, whatever could be looked at on the site. What is
  wrong on a site that is no longer among the project's closes once nobody has looked at that for a day: another
  machine's settings may name other sites.
* People are told of an opening and of a closing once; what could not be sent is sent later.
* A site that does not answer now and then is one finding: nobody is told that it answers before it has done so for a
  while, and until then the same finding opens again.
* One look at a time is at work on a site, whoever begins them.
* Clocks are seen from several machines, of which one may be wrong: they agree again once nobody has seen them differ
  for a while.
* When each site was looked at last is kept, so that people see whether anybody looks.
* Errors of failed tasks are kept for some months, so that a message can name the likely cause with Airflow up or down.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from smki.repository.database import reading, session, writing
from smki.repository.tables import finding as finding_table
from smki.repository.tables import site_look, task_failure
from smki.watch.findings import OF_THE_LEDGER, Finding, Kind
from smki.watch.links import RunLabel

_NEWS = timedelta(days=1)
_LEFT_AFTER = timedelta(days=1)  # without a look
_STEADY = timedelta(minutes=30)  # a site that has answered for so long does answer; clocks that agree for so long do


@dataclass(frozen=True, slots=True)
class KnownFinding:
    """A finding as the ledger has it."""

    id: int | None  # none: seen just now, and no look has recorded it yet
    finding: Finding
    first_seen: datetime  # UTC
    last_seen: datetime  # UTC
    closed_at: datetime | None  # UTC


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What one look changed."""

    opened: tuple[KnownFinding, ...]
    closed: tuple[KnownFinding, ...]
    open: tuple[KnownFinding, ...]  # all of them now, on every site


@contextmanager
def claim_look(engine: Engine, site: str) -> Iterator[bool]:
    """Whether no other look is at work on a site; while the block lasts none that asks here begins.

    The lock is the session's, so that no transaction stays open while bytes travel; if the connection is lost,
    PostgreSQL gives the lock up. Raises RepositoryUnavailableError.
    """
    key = func.hashtextextended(f"smki look {site}", 0)
    with session(engine) as connection:
        with connection.begin():
            is_free = bool(connection.scalar(select(func.pg_try_advisory_lock(key))))
        try:
            yield is_free
        finally:
            try:
                if is_free:
                    with connection.begin():
                        connection.execute(select(func.pg_advisory_unlock(key)))
            except DBAPIError:
                connection.invalidate()  # back in the pool, the session would keep the lock


def record_look(
    engine: Engine,
    site: str,
    seen: Sequence[Finding],
    now: datetime,
    *,
    is_whole: bool = True,
    sites: Collection[str] | None = None,
) -> Reconciled:
    """Records all that is wrong on a site by a look that began at `now` (UTC): new findings open, and those of before
    that are not seen any more close.

    Findings about no single site open and close with any look. Where the site, or a part of it, could not be looked at
    (`is_whole`), only what the ledger alone tells closes. `sites` are all that files are published to, where that is
    known. Raises RepositoryUnavailableError.
    """
    with writing(engine) as connection:
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("smki findings", 0))))
        _record_site_look(connection, site, now)
        before = {known.id for known in _known(connection, finding_table.c.closed_at.is_(None))}
        kept = {_open(connection, finding, now) for finding in seen}
        is_whole = is_whole and not any(finding.kind is Kind.UNREACHABLE for finding in seen)
        gone = [
            known.id
            for known in _known(
                connection,
                finding_table.c.closed_at.is_(None),
                finding_table.c.site.in_(["", site]),
                finding_table.c.first_seen <= now,
            )
            if known.id not in kept
            and (is_whole or known.finding.kind in OF_THE_LEDGER)
            and not _may_be_seen(known, now)
        ]
        connection.execute(update(finding_table).where(finding_table.c.id.in_(gone)).values(closed_at=now))
        if sites is not None:
            gone += _close_of_left_sites(connection, sites, now)
        return Reconciled(
            opened=tuple(_known(connection, finding_table.c.id.in_(kept - before))),
            closed=tuple(_known(connection, finding_table.c.id.in_(gone))),
            open=tuple(_known(connection, finding_table.c.closed_at.is_(None))),
        )


def list_looks(engine: Engine) -> dict[str, datetime]:
    """When the last look at each site began (UTC), by site. Raises RepositoryUnavailableError."""
    with reading(engine) as connection:
        return {row.site: row.looked_at for row in connection.execute(select(site_look))}


def open_finding(engine: Engine, finding: Finding, now: datetime) -> KnownFinding:
    """Records one finding; the same call again only changes when it was seen last."""
    with writing(engine) as connection:
        (known,) = _known(connection, finding_table.c.id == _open(connection, finding, now))
        if finding.kind is Kind.MISSING:
            closed_at = func.greatest(finding_table.c.first_seen, now)
            connection.execute(update(finding_table).where(*_risk_of(finding)).values(closed_at=closed_at))
        return known


def list_open_findings(engine: Engine) -> list[KnownFinding]:
    """All that are open, oldest first."""
    with reading(engine) as connection:
        return _known(connection, finding_table.c.closed_at.is_(None))


def list_findings_since(engine: Engine, since: datetime) -> list[KnownFinding]:
    """Those that are open or were so at or after `since` (UTC), oldest first."""
    still = or_(finding_table.c.closed_at.is_(None), finding_table.c.closed_at >= since)
    with reading(engine) as connection:
        return _known(connection, still)


def list_untold(engine: Engine, now: datetime) -> list[KnownFinding]:
    """Openings and closings that people have not been told of at `now` (UTC).

    A finding that closed before its opening was sent gets only a closing message; risks, and closings over a day old,
    get none. A site that answers again is told of once that is steady.
    """
    columns = finding_table.c
    opening = and_(columns.opening_told_at.is_(None), columns.closed_at.is_(None))
    was_told = columns.opening_told_at.is_not(None)
    is_news = and_(columns.kind != Kind.AT_RISK, columns.closed_at >= now - _NEWS)
    is_steady = or_(columns.kind != Kind.UNREACHABLE, columns.closed_at <= now - _STEADY)
    closing = and_(columns.closed_at.is_not(None), columns.closing_told_at.is_(None), or_(was_told, is_news), is_steady)
    with reading(engine) as connection:
        return _known(connection, or_(opening, closing))


@contextmanager
def claim_telling(engine: Engine, group: Sequence[KnownFinding], now: datetime) -> Iterator[list[KnownFinding]]:
    """Claims the sending of openings, or of closings where the group is closed; records it when the block ends.

    Yields those that are still to be sent: another process that claims them at the same time waits, and gets none. If
    the block raises, nothing is recorded and the message is sent later.
    """
    columns = finding_table.c
    told_at = columns.opening_told_at if group[0].closed_at is None else columns.closing_told_at
    wanted = select(columns.id).where(columns.id.in_([known.id for known in group]), told_at.is_(None))
    with writing(engine) as connection:
        claimed = set(connection.scalars(wanted.order_by(columns.id).with_for_update()))
        connection.execute(update(finding_table).where(columns.id.in_(claimed)).values({told_at.name: now}))
        yield [known for known in group if known.id in claimed]


def became_a_miss(engine: Engine, known: KnownFinding) -> bool:
    """Whether a risk turned into a miss: then its closing is no news."""
    if known.finding.kind is not Kind.AT_RISK:
        return False
    columns, finding = finding_table.c, known.finding
    query = select(columns.id).where(
        columns.kind == Kind.MISSING,
        columns.site == finding.site,
        columns.item == finding.item,
        columns.first_seen >= known.first_seen,
    )
    with reading(engine) as connection:
        return connection.execute(query.limit(1)).one_or_none() is not None


def _record_site_look(connection: Connection, site: str, now: datetime) -> None:
    look = insert(site_look).values(site=site, looked_at=now)
    looked_at = func.greatest(site_look.c.looked_at, look.excluded.looked_at)
    connection.execute(look.on_conflict_do_update(index_elements=["site"], set_={"looked_at": looked_at}))


def _may_be_seen(known: KnownFinding, now: datetime) -> bool:
    """Whether another machine than the one that looked now may still see it."""
    return known.finding.kind is Kind.CLOCKS and known.last_seen > now - _STEADY


def _close_of_left_sites(connection: Connection, sites: Collection[str], now: datetime) -> list[int]:
    """Closes what is open on sites that are not among these and that nobody looks at; their ids."""
    columns = finding_table.c
    looked_at = select(site_look.c.site).where(site_look.c.looked_at > now - _LEFT_AFTER)
    left = (columns.closed_at.is_(None), columns.site.not_in(["", *sites]), columns.site.not_in(looked_at))
    rule = columns.rule + " Nothing is published to the site any more."
    closing = update(finding_table).where(*left).values(closed_at=func.greatest(columns.first_seen, now), rule=rule)
    return list(connection.scalars(closing.returning(columns.id)))


def _risk_of(missing: Finding) -> tuple[ColumnElement[bool], ...]:
    columns = finding_table.c
    return (
        columns.kind == Kind.AT_RISK,
        columns.site == missing.site,
        columns.item == missing.item,
        columns.closed_at.is_(None),
    )


def _open(connection: Connection, finding: Finding, now: datetime) -> int:
    if finding.kind is Kind.UNREACHABLE and (again := _open_again(connection, finding, now)):
        return again
    row = {
        "kind": finding.kind,
        "site": finding.site,
        "item": finding.item,
        "obligation": finding.obligation,
        "subject": finding.subject,
        "business_date": finding.business_date,
        "rule": finding.rule,
        "next_step": finding.next_step,
        "first_seen": now,
        "last_seen": now,
    }
    offered = insert(finding_table).values(row)
    statement = offered.on_conflict_do_update(
        index_elements=["kind", "site", "item"],
        index_where=finding_table.c.closed_at.is_(None),
        set_={"last_seen": func.greatest(finding_table.c.last_seen, now), "rule": offered.excluded.rule},
    ).returning(finding_table.c.id)
    return int(connection.execute(statement).scalar_one())


def _open_again(connection: Connection, finding: Finding, now: datetime) -> int | None:
    """The id of a finding of this key that closed a moment ago, and that is open again."""
    columns = finding_table.c
    statement = (
        update(finding_table)
        .where(
            columns.kind == finding.kind,
            columns.site == finding.site,
            columns.item == finding.item,
            columns.closed_at > now - _STEADY,
            columns.closing_told_at.is_(None),
        )
        .values(closed_at=None, last_seen=now, rule=finding.rule)
        .returning(columns.id)
    )
    again: int | None = connection.scalar(statement)
    return again


def _known(connection: Connection, *conditions: Any) -> list[KnownFinding]:
    query = select(finding_table).where(*conditions).order_by(finding_table.c.id)
    return [_read(row) for row in connection.execute(query)]


def _read(row: Row[Any]) -> KnownFinding:
    business_date: date | None = row.business_date
    finding = Finding(Kind(row.kind), row.site, row.item, row.rule, row.obligation, business_date, row.subject)
    return KnownFinding(row.id, finding, row.first_seen, row.last_seen, row.closed_at)


_KEPT = timedelta(days=90)
_LONGEST = 2000  # letters; an error in our four parts has some hundred


@dataclass(frozen=True, slots=True)
class Failure:
    """A try of a task that failed."""

    run: str  # the run's label, `DAG/RUN`
    task: str
    business_date: date | None  # of the run; none where an event began it
    error: str
    failed_at: datetime  # UTC

    @property
    def dag(self) -> str:
        label = RunLabel.parse(self.run)
        return label.dag_id if label else ""


def record_failure(engine: Engine, failure: Failure) -> None:
    """Keeps an error, for some months. Raises RepositoryUnavailableError."""
    row = asdict(failure) | {"dag": failure.dag, "error": failure.error[:_LONGEST]}
    with writing(engine) as connection:
        connection.execute(delete(task_failure).where(task_failure.c.failed_at < failure.failed_at - _KEPT))
        connection.execute(insert(task_failure).values(row))


def last_failure(engine: Engine, dag: str, business_date: date, since: datetime) -> Failure | None:
    """The last error of a DAG's runs of a day, and of those without a day at or after `since` (UTC)."""
    columns = task_failure.c
    query = (
        select(columns.run, columns.task, columns.business_date, columns.error, columns.failed_at)
        .where(
            columns.dag == dag,
            or_(
                columns.business_date == business_date,
                and_(columns.business_date.is_(None), columns.failed_at >= since),
            ),
        )
        .order_by(columns.failed_at.desc(), columns.id.desc())
        .limit(1)
    )
    with reading(engine) as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else Failure(*row)
