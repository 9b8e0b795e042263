"""Connections to the repository: SQLAlchemy over psycopg 3 for statements, ADBC for Arrow batches.

* Whatever PostgreSQL or the network does to a connection surfaces as RepositoryUnavailableError, so that callers tell
  "try again" from "wrong" by type alone. A lock that others do not let go in time is RepositoryBusyError.
* A session is ours alone: locks on sites, settings and temporary tables live in it. A pooler such as PgBouncer hands
  sessions to others between two transactions: their locks would stay behind with nobody. So it is refused by name.
* A peer that vanished is noticed within a minute by both ends, so that its locks do not outlive it by hours.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import adbc_driver_manager
import adbc_driver_postgresql.dbapi
import psycopg
import sqlalchemy.exc
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from smki.errors import (
    ConfigurationError,
    PoolerRefusedError,
    RepositoryBusyError,
    RepositoryUnavailableError,
    RightsError,
)
from smki.repository import embedded
from smki.settings import EMBEDDED, Settings

LOCK_WAIT_MIN = 15  # minutes that anything waits for a lock

# libpq's, wherever the DSN does not state its own; a server that is there answers within seconds.
_CLIENT_SIDE = {
    "connect_timeout": "20",  # s
    "keepalives_idle": "20",  # s
    "keepalives_interval": "10",  # s
    "keepalives_count": "3",
    "tcp_user_timeout": "45000",  # ms
}
_SESSION = (
    "SET TIME ZONE 'UTC'",  # whatever the server, the role or PGTZ say
    f"SET lock_timeout = '{LOCK_WAIT_MIN}min'",
    "SET idle_session_timeout = 0",  # a site's lock is held by a session that idles while bytes travel
    "SET tcp_keepalives_idle = 20",  # s, as above; the server's own default is two hours
    "SET tcp_keepalives_interval = 10",
    "SET tcp_keepalives_count = 3",
    "SET tcp_user_timeout = '45s'",
)
_ARROW_SESSION = (
    "SET jit = off",  # compiling takes longer than a segment's whole statement
    "SET work_mem = '64MB'",  # so that what full.sql looks up stays a hash, whatever the planner expects
)
_INSUFFICIENT_PRIVILEGE = "42501"
_DENIED = (psycopg.ProgrammingError, sqlalchemy.exc.ProgrammingError)
_LOST = (
    psycopg.OperationalError,
    psycopg.errors.AdminShutdown,
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    adbc_driver_manager.OperationalError,
    adbc_driver_manager.InternalError,
)


def ensure_server(settings: Settings) -> str:
    """The repository's DSN. Starts the embedded PostgreSQL where SMKI_DATABASE_URL asks for it.

    Raises ConfigurationError where it names nothing, RepositoryUnavailableError.
    """
    if not settings.database_url:
        raise ConfigurationError(
            "SMKI_DATABASE_URL",
            "it names no repository.",
            next_step="set it to postgresql://…; for a repository of this machine alone, below SMKI_VAR, use "
            "`smki --embedded …`.",
        )
    if settings.database_url != EMBEDDED:
        return settings.database_url
    url = embedded.start(settings.embedded_postgres)
    ensure_database(url)
    return url


def open_engine(url: str) -> Engine:
    """An engine on the repository; connects at first use. Raises ConfigurationError when the DSN is none."""
    try:
        parsed = make_url(url).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError):  # neither text nor cause: both may show the password
        raise ConfigurationError(
            "SMKI_DATABASE_URL",
            "it is not of the form postgresql://user:password@host:port/database.",
            next_step="correct it.",
        ) from None
    parsed = parsed.update_query_dict({name: value for name, value in _CLIENT_SIDE.items() if name not in parsed.query})
    engine = create_engine(parsed, pool_pre_ping=True)
    event.listen(engine, "connect", _begin_session, insert=True)  # before SQLAlchemy's own first questions
    return engine


def _begin_session(connection: psycopg.Connection[tuple[int]], _record: object) -> None:
    """Settings of a new session. Raises PoolerRefusedError.

    PostgreSQL tells the process that a session belongs to; a pooler has to make that number up.
    """
    connection.autocommit = True  # a pooler may not even know transactions
    (process,) = connection.execute("SELECT pg_backend_pid()").fetchone() or (None,)
    if process != (promised := connection.info.backend_pid):
        connection.close()
        raise PoolerRefusedError(
            "SMKI_DATABASE_URL",
            "it has to name PostgreSQL itself, and between stands a pooler such as PgBouncer "
            f"(server process {process} answers, {promised} was promised).",
        )
    connection.execute("; ".join(_SESSION))
    connection.autocommit = False


def libpq_url(engine: Engine) -> str:
    """The engine's DSN for clients that speak libpq's URL (ADBC, psql)."""
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def ensure_database(url: str) -> None:
    """Makes the database that `url` names, if the server lacks it."""
    target = make_url(url)
    name = psycopg.sql.Identifier(target.database or "smki")
    server = target.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    with _lost_connections(), psycopg.connect(server, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [target.database]).fetchone():
            with suppress(
                psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation
            ):  # another process was first
                connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(name))


@contextmanager
def session(engine: Engine) -> Iterator[Connection]:
    """A connection whose transactions the caller begins and ends. Raises RepositoryUnavailableError."""
    with _lost_connections(), engine.connect() as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that nothing is written in. Raises RepositoryUnavailableError."""
    with session(engine) as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction, committed at the end and undone by an error. Raises RepositoryUnavailableError."""
    with _lost_connections(), engine.begin() as connection:
        yield connection


@contextmanager
def arrow_connection(url: str) -> Iterator[adbc_driver_postgresql.dbapi.Connection]:
    """An ADBC connection; what its statements return is Arrow."""
    with _lost_connections(), adbc_driver_postgresql.dbapi.connect(url) as connection:
        with connection.cursor() as cursor:
            for statement in (*_SESSION, *_ARROW_SESSION):
                cursor.execute(statement)
        yield connection


@contextmanager
def _lost_connections() -> Iterator[None]:
    """Turns a lost connection into RepositoryUnavailableError, and what the login may not do into RightsError."""
    try:
        yield
    except _DENIED as error:
        cause = error.__cause__ or error
        if getattr(cause, "sqlstate", None) != _INSUFFICIENT_PRIVILEGE:
            raise
        raise RightsError("repository", f"the login has no right to do that ({str(cause).splitlines()[0]}).") from error
    except (psycopg.InternalError, sqlalchemy.exc.InternalError) as error:
        if not isinstance(error.__cause__ or error, psycopg.errors.ReadOnlySqlTransaction):
            raise
        raise RepositoryUnavailableError(
            "repository", "PostgreSQL takes no changes: it is a standby, or is being restored."
        ) from error
    except _LOST as error:
        if isinstance(error.__cause__ or error, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected):
            raise RepositoryBusyError(
                "repository", "another process has locked what is needed, and did not let go in time."
            ) from error
        detail = (str(error.__cause__ or error).strip() or type(error).__name__).splitlines()[0]
        raise RepositoryUnavailableError(
            "repository",
            f"PostgreSQL refused or lost the connection ({detail}).",
        ) from error
