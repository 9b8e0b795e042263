"""What each role may do, tried on a real PostgreSQL by logins of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Column, Engine, Identity, Table, text

from builders import cut_off, day, during, lodge_bodies, look_alikes
from conftest import NewRepository
from smki.errors import RightsError
from smki.repository.database import libpq_url, open_engine, reading, writing
from smki.repository.migrate import migrate
from smki.repository.rights import MAY, PUBLISHER, READER, ROLES, grant_rights
from smki.repository.tables import metadata
from smki.repository.windows import close_windows, list_windows
from smki.watch.findings import Finding, Kind
from smki.watch.findings_ledger import list_open_findings, open_finding

LEDGER = ("delta_window", "artefact", "publication", "gate_run", "gate_decision")
REPOSITORY = ("issuer", "certificate", "body_hash", "status_event", "revocation_list", "rejected_lodgement")
As = Callable[[Engine, str], Engine]


def login_of(role: str) -> str:
    return f"test_{role}"


@pytest.fixture
def as_login(server: Engine) -> Iterator[As]:
    """The repository as a login of a role sees it."""
    engines: list[Engine] = []

    def opened(repository: Engine, role: str) -> Engine:
        assert grant_rights(repository) == ()
        with server.connect() as connection:
            if not connection.scalar(text("SELECT count(*) FROM pg_roles WHERE rolname = :n"), {"n": login_of(role)}):
                connection.execute(text(f"CREATE ROLE {login_of(role)} LOGIN IN ROLE {role}"))
        engines.append(open_engine(libpq_url(repository).replace("//postgres@", f"//{login_of(role)}@")))
        return engines[-1]

    yield opened
    for engine in engines:
        engine.dispose()


def allowed(engine: Engine, statement: str) -> bool:
    try:
        with writing(engine) as connection:
            connection.execute(text(statement))
    except RightsError:
        return False
    return True


def columns_of(table: Table) -> list[Column[object]]:
    """Those that are written."""
    return [column for column in table.columns if not isinstance(column.identity, Identity)]


@pytest.mark.parametrize("role", ROLES)
def test_role_may_what_the_table_of_rights_says_and_nothing_else(repository: Engine, as_login: As, role: str) -> None:
    login = as_login(repository, role)
    for name, table in metadata.tables.items():
        may = MAY[role].get(name)
        names = ", ".join(f'"{column.name}"' for column in columns_of(table))
        assert allowed(login, f"SELECT * FROM {name} WHERE false"), name  # noqa: S608
        insert = f"INSERT INTO {name} ({names}) SELECT {names} FROM {name} WHERE false"  # noqa: S608
        assert allowed(login, insert) is bool(may and may.insert), name
        assert allowed(login, f"DELETE FROM {name} WHERE false") is bool(may and may.delete), name  # noqa: S608
        updated = {
            column.name
            for column in columns_of(table)
            if allowed(login, f'UPDATE {name} SET "{column.name}" = "{column.name}" WHERE false')  # noqa: S608
        }
        assert updated == set(may.update if may else ()), name
        for never in (f"TRUNCATE {name}", f"ALTER TABLE {name} ADD COLUMN mine int", f"DROP TABLE {name}"):
            assert not allowed(login, never), never
    assert not allowed(login, "CREATE TABLE mine (id int)")
    assert not allowed(login, "UPDATE alembic_version SET version_num = 'mine'")


def test_every_table_has_its_line_for_the_publisher() -> None:
    assert set(MAY[PUBLISHER]) == set(metadata.tables)


@pytest.mark.parametrize("table", [*LEDGER, *REPOSITORY])
def test_nobody_but_the_owner_takes_anything_out_of_ledger_and_repository(
    repository: Engine, as_login: As, table: str
) -> None:
    for role in ROLES:
        assert not allowed(as_login(repository, role), f"DELETE FROM {table}")  # noqa: S608


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("publication", "first_published_at"),
        ("publication", "name"),
        ("artefact", "sha256"),
        ("artefact", "content_digest"),
        ("gate_run", "verdict"),
        ("gate_decision", "decided_by"),
        ("delta_window", "changed"),
        ("certificate", "body"),
        ("status_event", "status"),
        ("status_event", "recorded_at"),
    ],
)
def test_publisher_rewrites_no_history(repository: Engine, as_login: As, table: str, column: str) -> None:
    assert not allowed(as_login(repository, PUBLISHER), f"UPDATE {table} SET {column} = {column}")  # noqa: S608


def test_publisher_lodges_and_closes_windows_auditor_finds_and_reader_reads(
    repository: Engine, as_login: As, signed: list[bytes]
) -> None:
    publisher, auditor, reader = (as_login(repository, role) for role in ROLES)
    lodge_bodies(publisher, [*signed[:8], *look_alikes(3)], during(2))
    close_windows(publisher, day(2), cut_off)
    assert len(list_windows(reader)) == 1
    finding = Finding(Kind.MISSING, "primary", "a", "it is not there.", "put it there.")
    open_finding(auditor, finding, datetime.now(UTC))
    assert [known.finding for known in list_open_findings(reader)] == [finding]
    with pytest.raises(RightsError):
        open_finding(reader, finding, datetime.now(UTC))
    with pytest.raises(RightsError):
        close_windows(auditor, day(3), cut_off)


def test_command_of_a_login_without_the_right_ends_with_3_and_names_the_way_out(
    repository: Engine, as_login: As
) -> None:
    url = libpq_url(as_login(repository, READER))
    lodge_bodies(repository, look_alikes(1), during(2))
    done = subprocess.run(
        [sys.executable, "-m", "smki", "windows", "close", "--to", str(day(2)), "--json"],
        env=os.environ | {"SMKI_DATABASE_URL": url},
        capture_output=True,
        check=False,
    )
    error = json.loads(done.stdout)
    assert (done.returncode, error["error"]) == (3, "RightsError")
    assert "docs/deployment.md" in error["next_step"]
    with reading(repository) as connection:
        assert connection.scalar(text("SELECT count(*) FROM delta_window")) == 0


def test_owner_who_may_make_no_roles_is_told_which_are_missing(new_repository: NewRepository, server: Engine) -> None:
    """A database of its own, whose owner is a plain login, on a server that lacks a role."""
    repository = new_repository()
    with server.connect() as connection:
        connection.execute(text("CREATE ROLE plain_owner LOGIN"))
        connection.execute(text("CREATE DATABASE plain OWNER plain_owner"))
        others = connection.scalar(text("SELECT count(*) FROM pg_roles WHERE rolname = ANY(:r)"), {"r": list(ROLES)})
        for role in ROLES if others else ():
            connection.execute(text(f"ALTER ROLE {role} RENAME TO {role}_away"))
    url = (
        libpq_url(repository)
        .replace("//postgres@", "//plain_owner@")
        .replace(f"/{repository.url.database}?", "/plain?")
    )
    owner = open_engine(url)
    try:
        migrate(owner)
        assert grant_rights(owner) == ROLES
        done = subprocess.run(
            [sys.executable, "-m", "smki", "init"],
            env=os.environ | {"SMKI_DATABASE_URL": url},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0
        assert all(f"CREATE ROLE {role} NOLOGIN;" in " ".join(done.stderr.split()) for role in ROLES)
        with server.connect() as connection:
            for role in ROLES:
                connection.execute(text(f"CREATE ROLE {role} NOLOGIN"))
        assert grant_rights(owner) == ()
    finally:
        owner.dispose()
        with server.connect() as connection:
            connection.execute(text("DROP DATABASE plain"))
            connection.execute(text("DROP ROLE plain_owner"))
            for role in ROLES:
                connection.execute(text(f"DROP ROLE {role}"))
                if others:
                    connection.execute(text(f"ALTER ROLE {role}_away RENAME TO {role}"))
