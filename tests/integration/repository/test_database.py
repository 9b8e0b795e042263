"""Connections: what is committed when, and that a lost one is told from a wrong statement by its type."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import Engine, func, insert, select, text
from sqlalchemy.exc import IntegrityError

from smki.errors import RepositoryBusyError, RepositoryUnavailableError
from smki.repository.database import LOCK_WAIT_MIN, arrow_connection, libpq_url, open_engine, reading, session, writing
from smki.repository.tables import issuer

ISSUER = {"name": b"name", "comparable": b"name", "display": "an issuer"}


def issuers(engine: Engine) -> int:
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(issuer)).scalar_one()


def test_what_is_written_is_committed_at_the_end(repository: Engine) -> None:
    with writing(repository) as connection:
        connection.execute(insert(issuer).values(ISSUER))
        assert issuers(repository) == 0
    assert issuers(repository) == 1


def test_error_undoes_what_was_written(repository: Engine) -> None:
    with pytest.raises(ZeroDivisionError), writing(repository) as connection:  # noqa: PT012  # what came before it
        connection.execute(insert(issuer).values(ISSUER))
        raise ZeroDivisionError
    assert issuers(repository) == 0


def test_reading_commits_nothing(repository: Engine) -> None:
    with reading(repository) as connection:
        connection.execute(insert(issuer).values(ISSUER))
    assert issuers(repository) == 0


def test_transactions_of_a_session_are_its_callers(repository: Engine) -> None:
    with session(repository) as connection:
        with connection.begin():
            connection.execute(insert(issuer).values(ISSUER))
        assert issuers(repository) == 1


def test_times_are_utc_whatever_the_session_is_told(repository: Engine, monkeypatch) -> None:
    monkeypatch.setenv("PGTZ", "America/New_York")
    repository.dispose()
    query = "SELECT now(), '2026-07-01 00:00'::timestamp AT TIME ZONE current_setting('TimeZone')"
    for _ in range(2):  # what is set has to outlive the transaction that sets it
        with reading(repository) as connection:
            now, local = connection.execute(text(query)).one()
        assert (now.utcoffset(), local) == (timedelta(), datetime(2026, 7, 1, tzinfo=UTC))


@pytest.mark.parametrize("opening", [reading, writing, session])
def test_connection_that_is_lost_is_a_transport_error(repository: Engine, opening) -> None:
    with pytest.raises(RepositoryUnavailableError), opening(repository) as connection:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def test_session_has_a_limit_on_waiting_and_none_on_idling(repository: Engine) -> None:
    with reading(repository) as connection, arrow_connection(libpq_url(repository)) as arrow:
        for setting, value in (("lock_timeout", f"{LOCK_WAIT_MIN}min"), ("idle_session_timeout", "0")):
            with arrow.cursor() as cursor:
                cursor.execute(f"SELECT current_setting('{setting}')")
                assert cursor.fetchone() == (value,)
            assert connection.scalar(text(f"SHOW {setting}")) == value


def test_lock_that_nobody_lets_go_is_named_as_that(repository: Engine) -> None:
    with writing(repository) as holder:
        holder.execute(text("LOCK TABLE issuer"))
        with pytest.raises(RepositoryBusyError), writing(repository) as other:  # noqa: PT012  # what came before it
            other.execute(text("SET LOCAL lock_timeout = '100ms'"))
            other.execute(select(func.count()).select_from(issuer))


def test_of_two_that_wait_for_each_other_one_is_undone_as_busy(repository: Engine) -> None:
    both_wrote = Barrier(2)
    mine, theirs = ISSUER, {"name": b"other", "comparable": b"other", "display": "another issuer"}

    def write(*rows: dict[str, object]) -> None:
        with writing(repository) as connection:
            connection.execute(insert(issuer).values(rows[0]))
            both_wrote.wait(60)
            connection.execute(insert(issuer).values(rows[1]))

    with ThreadPoolExecutor(2) as threads:
        errors = [run.exception() for run in (threads.submit(write, mine, theirs), threads.submit(write, theirs, mine))]
    assert sorted(type(error).__name__ for error in errors) == ["NoneType", "RepositoryBusyError"]
    assert issuers(repository) == 2


def test_vanished_server_is_noticed_unless_the_dsn_says_otherwise() -> None:
    query = open_engine("postgresql://smki@db.example/smki?connect_timeout=3&keepalives_idle=7").url.query
    assert (query["connect_timeout"], query["keepalives_idle"]) == ("3", "7")
    assert {"keepalives_interval", "keepalives_count", "tcp_user_timeout"} < set(query)


def test_wrong_statement_is_none(repository: Engine) -> None:
    with pytest.raises(IntegrityError), writing(repository) as connection:
        connection.execute(insert(issuer), [ISSUER, ISSUER])


def test_server_that_takes_no_changes_is_a_transport_error(repository: Engine) -> None:
    """A standby, or one that is being restored."""
    with pytest.raises(RepositoryUnavailableError, match="takes no changes"), writing(repository) as connection:  # noqa: PT012  # what makes it so
        connection.execute(text("SET TRANSACTION READ ONLY"))
        connection.execute(insert(issuer).values(ISSUER))
