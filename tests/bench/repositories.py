"""The repositories that are measured on: databases of an embedded PostgreSQL below var/bench, with look-alikes."""

import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, text

from bench.measuring import BrokenError, Figure, Measurements, Thing, action, figure, rate
from smki.certificates.set_digest import SetDigest
from smki.obligations.catalogue import Obligation, UserGuide
from smki.obligations.user_guide import load_user_guide
from smki.repository import embedded
from smki.repository.database import ensure_database, libpq_url, open_engine
from smki.repository.migrate import migrate
from smki.repository.windows import Window, close_windows, in_use_digest, list_windows
from smki.settings import Settings
from smki.store.pages import PAGES_2
from smki_demo.generator.filling import fill_with_volume
from smki_demo.generator.volume import volume_bodies

SEED = 1
_LODGE, _GENERATE = "lodge", "volume_bodies"
_DAYS_FOR_DELTAS = 28  # between the first window and now


def user_guide() -> UserGuide:
    return load_user_guide(Settings.from_environment().config)


def last_full_day(now: datetime) -> date:
    """The day of the last cut-off of a full extract at or before `now` (UTC)."""
    full = user_guide().full
    days = (now.date() - timedelta(days=back) for back in range(8))
    return next(day for day in days if full.cut_off.falls_on(day) and full.cut_off.at(day) <= now)


@contextmanager
def embedded_postgres(data: Path) -> Iterator[None]:
    """The embedded server of a data folder; it is stopped at the end."""
    embedded.start(data)
    try:
        yield
    finally:
        embedded.PostgresServer._instances[data.resolve()]._cleanup()


def postgresql_version(data: Path) -> str:
    """Version of the server of a data folder."""
    with open_engine(embedded.dsn(data, "postgres")).connect() as connection:
        return str(connection.execute(text("SHOW server_version")).scalar_one())


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

    @property
    def lodged(self) -> int:
        """Certificates of whatever status."""
        with self.engine.connect() as connection:
            return int(connection.execute(text("SELECT count(*) FROM certificate")).scalar_one())

    def obligation(self, name: str = "full") -> Obligation:
        return user_guide().obligation(name)


def drop_repository(data: Path, name: str) -> None:
    """Makes room."""
    server = open_engine(embedded.dsn(data, "postgres")).execution_options(isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
    server.dispose()


def fresh_repository(data: Path, name: str) -> Repository:
    """An empty, migrated repository; one of that name that an earlier run left is dropped."""
    drop_repository(data, name)
    repository = Repository(open_engine(embedded.dsn(data, name)))
    ensure_database(repository.url)
    migrate(repository.engine)
    settle(repository.engine)
    return repository


def find_repository(data: Path, name: str, certificates: int) -> Repository | None:
    """The repository of that name, if it holds that many certificates and has a closed window."""
    ensure_database(embedded.dsn(data, name))
    repository = Repository(open_engine(embedded.dsn(data, name)))
    migrate(repository.engine)
    return repository if repository.lodged == certificates and list_windows(repository.engine) else None


def first_day() -> date:
    """The day of the first window: a full extract is due on it, and the days of many deltas lie between it and now."""
    return last_full_day(datetime.now(UTC) - timedelta(days=_DAYS_FOR_DELTAS))


def lodged_at(day: date) -> datetime:
    """An instant that a day's window covers."""
    return user_guide().delta.cut_off.at(day) - timedelta(hours=1)


def fill(repository: Repository, certificates: int, day: date) -> None:
    """Lodges look-alikes that a day's window covers, and has the database settle; for what does not measure lodging."""
    fill_with_volume(repository.engine, certificates, seed=SEED, recorded_at=lodged_at(day))
    settle(repository.engine)


def close(repository: Repository, day: date) -> None:
    """Closes a day's window, and has the database settle."""
    close_windows(repository.engine, day, repository.obligation("delta").cut_off.at)
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
    values = {"count": count, "certificates": repository.lodged}
    changed = _change(repository, "id * :count / :certificates > (id - 1) * :count / :certificates", values, day)
    if changed != count:
        raise BrokenError(f"{changed} certificates were changed to measure a delta of {count}")
    settle(repository.engine)


def _change(repository: Repository, which: str, values: dict[str, int], day: date) -> int:
    statement = f"""
        WITH changed AS (
          UPDATE certificate SET status = CASE status WHEN 'I' THEN 'N' ELSE 'I' END
          WHERE {which} RETURNING id, status
        )
        INSERT INTO status_event (certificate_id, status, reason, recorded_at)
        SELECT id, status, 'measured', :at FROM changed ORDER BY id
        """  # noqa: S608  # `which` is this module's own
    with repository.engine.begin() as connection:
        return connection.execute(text(statement), values | {"at": lodged_at(day)}).rowcount


def touch_pages(repository: Repository, percent: int, day: date) -> None:
    """Changes a certificate in each of so many of all pages, spread evenly, on that day, and closes its window."""
    page = PAGES_2.certificates
    _change(
        repository,
        "id % :page = 77 AND (id / :page + :shift) * :percent % 100 < :percent",
        {"page": page, "percent": percent, "shift": day.toordinal()},
        day,
    )
    close(repository, day)


def remove(folder: Path) -> None:
    """Removes a folder and what is in it, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)


def measure_lodging(
    new_repository: Callable[[], Repository], folder: Path, certificates: int, measurements: Measurements
) -> list[Figure]:
    """Measures, and gives the rows; what the last run lodged stays, and its window is closed.

    The bodies are made beforehand and lie in a file as DER, so that nothing but lodging is measured: reading them and
    their fields, COPY, the rows and their indexes, and the statistics at the end.
    """
    measurements.say(f"preparing {certificates:,} bodies")
    bodies = folder / "bodies"  # each behind its length
    with bodies.open("wb") as out:
        for batch in volume_bodies(certificates, seed=SEED):
            out.writelines(struct.pack(">I", len(body)) + body for body in batch.to_pylist())

    def all_of_them(count: int) -> None:
        if count != certificates:
            raise BrokenError(f"{count:,} certificates came of {certificates:,}")

    for _ in range(measurements.runs):
        repository = new_repository()
        generate = action("measured", "generate", count=certificates, seed=SEED)
        lodge = action("measured", "lodge", url=repository.url, bodies=bodies, recorded_at=lodged_at(first_day()))
        measurements.take(Thing(_GENERATE, generate, all_of_them))
        measurements.take(Thing(_LODGE, lodge, all_of_them))
    close(repository, first_day())
    return [
        figure(_LODGE, lambda: Figure("lodge, 1 process, DER from a file", rate(certificates, measurements[_LODGE]))),
        figure(_GENERATE, lambda: Figure("volume_bodies alone", rate(certificates, measurements[_GENERATE]))),
    ]
