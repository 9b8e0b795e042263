"""Connections: what is committed when, and that a lost one is told from a wrong statement by its type."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, func, insert, select, text
from sqlalchemy.exc import IntegrityError

from smki.errors import RepositoryUnavailableError
from smki.repository.database import reading, session, writing
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


def test_wrong_statement_is_none(repository: Engine) -> None:
    with pytest.raises(IntegrityError), writing(repository) as connection:
        connection.execute(insert(issuer), [ISSUER, ISSUER])
