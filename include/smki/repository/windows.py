"""Delta windows: which status events one day's delta covers.

* Closing the window of a cut-off claims every event with `recorded_at` at or before the cut-off that no window has.
  One statement does it, under a lock; so each event is in exactly one window, whatever clocks, late commits, late runs
  or backfills do. An event that is committed late falls into the next window, never between two.
* A closed window never changes. Windows are numbered 1, 2, 3 … and follow each other day by day without holes: a run
  that is days late closes the missed windows one by one, oldest first. Number 0 is the baseline of a take-over.
* The first window is that of the day on which the oldest event is covered. Days before it are owed by nobody: they have
  no window.
* The state as of window w is, for each certificate, its last event (in the order of ids, see `status`) among those with
  window_seq ≤ w. What a window moved into and out of status I is kept with it as set digests, so that a full extract
  can be checked against the sum of all windows.
* What is P, I or N when the window ends, and whose notAfter has passed by then, becomes E in it. Events of such a
  certificate that no window has, of a window that is closed late, are claimed before: E is final, and so is R.
* A cut-off that has not come yet by the database's own clock cannot be closed, nor any window of a repository in which
  nothing has ever been lodged. Clocks differ by seconds, so what is due within half a minute is waited for.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Connection, Engine, Row, func, insert, select, text

from smki.certificates.model import Status
from smki.certificates.set_digest import SetDigest
from smki.errors import EarlyWindowError, NotOwedError, WindowError
from smki.repository.database import reading, session
from smki.repository.status import revoke_listed
from smki.repository.tables import NEVER_EXPIRES, body_hash, certificate, delta_window, status_event

_TOGETHER = 65_536  # ids whose hashes come in one row: 2 MB at the most
_WAITED_FOR = timedelta(seconds=30)
_SOON = timedelta(minutes=5)  # as far as the clocks of two machines may be apart; later is another day's
CutOff = Callable[[date], datetime]
# Of the table itself only who may change its rows could be given the lock, and nobody may.
_LOCK = text(f"SELECT pg_advisory_xact_lock({0x57494E44})")  # "WIND"


@dataclass(frozen=True, slots=True)
class Window:
    seq: int
    business_date: date
    cutoff: datetime  # UTC
    closed_at: datetime  # UTC
    events: int
    changed: SetDigest  # of the certificates that the delta holds
    entered: SetDigest  # of what came into status I
    departed: SetDigest  # of what left status I


def days_to_close(last: date | None, first: date, to: date) -> Iterator[date]:
    """The business dates whose windows are closed when the day `to` is wanted, in order.

    `last` is the newest closed one, if there is any, and `first` the first one, or else that of the oldest event.
    """
    day = first if last is None else last + timedelta(days=1)
    while day <= to:
        yield day
        day += timedelta(days=1)


def close_windows(engine: Engine, to: date, cut_off: CutOff) -> list[Window]:
    """Closes all windows up to that of the day `to`; returns those that this call closed (none if it was closed).

    `cut_off` gives a business date's cut-off (UTC). Raises WindowError for a cut-off in the future and an empty
    repository, EarlyWindowError for one within minutes, NotOwedError for a day before the first window,
    RepositoryUnavailableError.
    """
    with session(engine) as connection:
        _wait(connection, cut_off(to))
        closed: list[Window] = []
        while True:
            with connection.begin():
                connection.execute(_LOCK)
                columns = delta_window.c
                seq, first, last = connection.execute(
                    select(func.max(columns.seq), func.min(columns.business_date), func.max(columns.business_date))
                ).one()
                first = first or _oldest_event_day(connection, cut_off)
                if to < first:
                    raise NotOwedError(f"window of {to}", f"the first window is that of {first}.")
                day = next(days_to_close(last, first, to), None)
                if day is None:
                    break
                _refuse_future(connection, to, cut_off(to))
                closed.append(_close(connection, (seq or 0) + 1, day, cut_off(day)))
    return closed


def close_taken_over(
    engine: Engine, day: date, cutoff: datetime, check: Callable[[Window], None], *, owed: bool = False
) -> Window:
    """Closes the window of a day whose file was taken over from another publisher; `check` may refuse it by an error.

    It holds what that file says and nothing else: what has expired becomes E in the first window of our own. The first
    one is number 0. `owed`: the file is one of ours that the ledger has lost, and stays owed. Raises WindowError for
    another day than the next one, RepositoryUnavailableError.
    """
    with session(engine) as connection, connection.begin():
        connection.execute(_LOCK)
        columns = delta_window.c
        seq, last = connection.execute(select(func.max(columns.seq), func.max(columns.business_date))).one()
        if last is not None and day != last + timedelta(days=1):
            raise WindowError(f"window of {day}", f"the newest window is that of {last}.")
        window = _close(connection, 0 if seq is None else seq + 1, day, cutoff, follows_file=True, owed=owed)
        check(window)
    return window


def waiting_hashes(engine: Engine, cutoff: datetime) -> Iterator[bytes]:
    """SHA-256 of the certificates with an event up to the cut-off (UTC) that no window has; each once."""
    waiting = select(status_event.c.certificate_id).where(
        status_event.c.window_seq.is_(None), status_event.c.recorded_at <= cutoff
    )
    query = select(body_hash.c.sha256).where(body_hash.c.certificate_id.in_(waiting))
    with reading(engine) as connection:
        yield from connection.execution_options(yield_per=_TOGETHER).execute(query).scalars()


def statuses_after(engine: Engine, cutoff: datetime) -> dict[bytes, Status]:
    """What has an event after the cut-off (UTC) that no window has: its status now, by SHA-256."""
    after = select(status_event.c.certificate_id).where(
        status_event.c.window_seq.is_(None), status_event.c.recorded_at > cutoff
    )
    query = select(body_hash.c.sha256, certificate.c.status).join_from(
        body_hash, certificate, body_hash.c.certificate_id == certificate.c.id
    )
    with reading(engine) as connection:
        found = connection.execute(query.where(body_hash.c.certificate_id.in_(after)))
        return {sha256: Status(status) for sha256, status in found}


def find_window(engine: Engine, business_date: date) -> Window:
    """The closed window of that day. Raises WindowError when there is none yet, NotOwedError when there never will."""
    with reading(engine) as connection:
        row = connection.execute(
            select(delta_window).where(delta_window.c.business_date == business_date)
        ).one_or_none()
        first = connection.execute(select(func.min(delta_window.c.business_date))).scalar_one()
        oldest: datetime | None = None
        if row is None and first is None:
            oldest = connection.execute(select(func.min(status_event.c.recorded_at))).scalar_one()
    if row is None and first is not None and business_date < first:
        raise NotOwedError(f"window of {business_date}", f"the first window is that of {first}.")
    if oldest is not None and business_date < (begun := oldest.astimezone(UTC).date()):
        raise NotOwedError(f"window of {business_date}", f"nothing was lodged before {begun}.")
    if row is None:
        raise WindowError(
            f"window of {business_date}",
            "a delta or full extract needs a closed window.",
            next_step=f"run `smki windows close --to {business_date}`; `smki windows list` shows all that are closed.",
        )
    return _window(row)


def list_windows(engine: Engine) -> list[Window]:
    """All closed windows, oldest first."""
    with reading(engine) as connection:
        return [_window(row) for row in connection.execute(select(delta_window).order_by(delta_window.c.seq))]


def in_use_digest(engine: Engine, seq: int) -> SetDigest:
    """Set digest of the certificates with status I as of window `seq`: Σ entered − Σ departed."""
    total = SetDigest()
    for window in list_windows(engine):
        if window.seq <= seq:
            total = total + window.entered - window.departed
    return total


def first_owed_day(connection: Connection) -> date | None:
    """The first day whose files are owed; what was taken over was published before. None while no window is closed."""
    windows = delta_window.c
    taken_over: date | None
    first: date | None
    taken_over, first = connection.execute(
        select(func.max(windows.business_date).filter(windows.taken_over), func.min(windows.business_date))
    ).one()
    return taken_over + timedelta(days=1) if taken_over else first


def first_day_after(begun: datetime, cut_off: CutOff) -> date:
    """The first day whose cut-off, by its time of day, has not come before `begun` (UTC)."""
    day = begun.astimezone(UTC).date()
    return day if begun <= cut_off(day) else day + timedelta(days=1)


def _oldest_event_day(connection: Connection, cut_off: CutOff) -> date:
    oldest: datetime | None = connection.execute(select(func.min(status_event.c.recorded_at))).scalar_one()
    if oldest is None:
        raise WindowError(
            "repository",
            "nothing has ever been lodged in it, and a window of nothing would be published as the truth.",
            next_step="see whether SMKI_DATABASE_URL names the right repository, then lodge certificates.",
        )
    return first_day_after(oldest, cut_off)


def _wait(connection: Connection, cutoff: datetime) -> None:
    """Waits for a cut-off that comes within seconds by the database's clock."""
    ahead = cutoff - _now(connection)
    connection.rollback()  # no transaction stays open meanwhile
    if timedelta() < ahead <= _WAITED_FOR:
        time.sleep(ahead.total_seconds())


def _refuse_future(connection: Connection, day: date, cutoff: datetime) -> None:
    now = _now(connection)
    if cutoff > now:
        kind, next_step = WindowError, "close it after its cut-off, or ask for an earlier day."
        if cutoff - now <= _SOON:
            kind, next_step = EarlyWindowError, ""
        raise kind(
            f"window of {day}",
            f"its cut-off {cutoff:%Y-%m-%d %H:%M:%S} UTC has not come "
            f"(the database's clock says {now:%Y-%m-%d %H:%M:%S}).",
            next_step=next_step,
        )


def _now(connection: Connection) -> datetime:
    now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)


_CLAIM = text("UPDATE status_event SET window_seq = :seq WHERE window_seq IS NULL AND recorded_at <= :cutoff")
_CLAIM_OF_FILE = text("UPDATE status_event SET window_seq = :seq WHERE window_seq IS NULL AND recorded_at = :cutoff")

# What has expired by the cut-off, and is neither E nor R as of the window. A status that is final, with no event that
# waits, leaves out at once what expired long ago.
_EXPIRED = f"""
    SELECT c.id FROM certificate c
    WHERE c.not_after <= :cutoff AND c.not_after < {NEVER_EXPIRES}
    AND (c.status NOT IN ('E', 'R') OR EXISTS (
      SELECT FROM status_event WHERE certificate_id = c.id AND window_seq IS NULL
    )) AND (
      SELECT status FROM status_event WHERE certificate_id = c.id AND window_seq <= :seq ORDER BY id DESC LIMIT 1
    ) IN ('P', 'I', 'N')
    ORDER BY c.id FOR UPDATE
"""  # noqa: S608  # constants of this file and of `tables`
_LOCK_EXPIRED = text(f"SELECT count(*) FROM ({_EXPIRED}) expired")  # noqa: S608
_EXPIRE = text(
    f"""
    WITH expired AS MATERIALIZED ({_EXPIRED}),
    claimed AS (
      UPDATE status_event e SET window_seq = :seq FROM expired
      WHERE e.certificate_id = expired.id AND e.window_seq IS NULL RETURNING 1
    ),
    ended AS (
      UPDATE certificate c SET status = 'E' FROM expired
      WHERE c.id = expired.id AND c.status IN ('P', 'I', 'N') RETURNING c.id
    ),
    written AS (
      INSERT INTO status_event (certificate_id, status, reason, recorded_at, window_seq)
      SELECT id, 'E', 'notAfter has passed', :cutoff, :seq FROM ended RETURNING 1
    )
    SELECT (SELECT count(*) FROM claimed) + (SELECT count(*) FROM written)
    """  # noqa: S608
)

# Of each certificate that the window touches: its status before and after. The last event is the one with the highest
# id: id and status in one number let one aggregate find both, and of earlier events the index has it first. The
# difference of two windows, where a comparison would do, keeps the planner from the index on windows: it would be
# searched once a window for each certificate.
MOVED = """
FROM (
  SELECT certificate_id, sha256, substr('PINER', (earlier.last % 8)::int, 1) AS before,
         substr('PINER', (greatest(changed.last, earlier.last) % 8)::int, 1) AS after
  FROM (
    SELECT certificate_id, max(id * 8 + strpos('PINER', status)) AS last
    FROM status_event WHERE window_seq = {seq} GROUP BY certificate_id
  ) changed
  LEFT JOIN LATERAL (
    SELECT id * 8 + strpos('PINER', status) AS last
    FROM status_event WHERE certificate_id = changed.certificate_id AND window_seq - {seq} < 0
    ORDER BY id DESC LIMIT 1
  ) earlier ON true
  JOIN body_hash USING (certificate_id)
) moved
"""
_MOVES = text(
    f"SELECT before, after, string_agg(sha256, ''::bytea) {MOVED.format(seq=':seq')} "
    f"GROUP BY before, after, certificate_id / {_TOGETHER}"
)


def _expire(connection: Connection, seq: int, cutoff: datetime) -> int:
    """Puts what has expired by the cut-off into the window as E; returns how many events that are."""
    values = {"seq": seq, "cutoff": cutoff}
    if not connection.execute(_LOCK_EXPIRED, values).scalar_one():  # first, so that no change comes between
        return 0
    return int(connection.execute(_EXPIRE, values).scalar_one())


def _close(
    connection: Connection, seq: int, day: date, cutoff: datetime, *, follows_file: bool = False, owed: bool = True
) -> Window:
    if not follows_file:
        revoke_listed(connection)
    # What was lodged by hand before a take-over is in no file: the first window of our own has it.
    claim = _CLAIM if owed else _CLAIM_OF_FILE
    events = connection.execute(claim, {"seq": seq, "cutoff": cutoff}).rowcount
    if not follows_file:
        events += _expire(connection, seq, cutoff)
    changed = entered = departed = SetDigest()
    connection.execute(text("SET LOCAL enable_hashagg = off"))  # it would have all hashes in memory; a sort spills
    for before, after, hashes in connection.execute(_MOVES, {"seq": seq}, execution_options={"yield_per": 1}):
        digest = SetDigest.of_hashes([hashes])
        changed += digest
        if after == Status.IN_USE != before:
            entered += digest
        elif before == Status.IN_USE != after:
            departed += digest
    row = connection.execute(
        insert(delta_window)
        .values(
            seq=seq,
            business_date=day,
            cutoff=cutoff,
            events=events,
            changed=str(changed),
            entered=str(entered),
            departed=str(departed),
            taken_over=not owed,
        )
        .returning(*delta_window.c)
    ).one()
    return _window(row)


def _window(row: Row[tuple[object, ...]]) -> Window:
    return Window(
        seq=row.seq,
        business_date=row.business_date,
        cutoff=row.cutoff,
        closed_at=row.closed_at,
        events=row.events,
        changed=SetDigest.parse(row.changed),
        entered=SetDigest.parse(row.entered),
        departed=SetDigest.parse(row.departed),
    )
