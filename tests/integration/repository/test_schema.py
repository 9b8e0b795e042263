"""Only `smki init` changes a schema; every other process refuses one that is not its own, and leaves it as it is."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.command import downgrade
from sqlalchemy import Engine, inspect, text

from builders import lodge_bodies
from conftest import NewRepository
from smki.errors import SchemaError
from smki.repository.database import libpq_url, reading, writing
from smki.repository.migrate import alembic_config, migrate
from smki.repository.project import open_project
from smki.repository.schema import find_revision, known_revisions


def smki(url: str, *arguments: str, var: Path | None = None) -> tuple[int, dict[str, object]]:
    """Exit code and JSON of a command."""
    environment = os.environ | {"SMKI_DATABASE_URL": url, "SMKI_VAR": str(var or "")}
    command = [sys.executable, "-m", "smki", *arguments, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    found = json.loads(done.stdout)
    return done.returncode, found if isinstance(found, dict) else {}


def revision(engine: Engine) -> str | None:
    with reading(engine) as connection:
        return find_revision(connection)


@pytest.fixture
def filled(repository: Engine, signed: list[bytes]) -> Iterator[Engine]:
    """A repository with certificates; afterwards other tests find its database with its schema again."""
    lodge_bodies(repository, signed[:8])
    yield repository
    if revision(repository) not in known_revisions():
        set_revision(repository, known_revisions()[-1])
    migrate(repository)


def set_revision(engine: Engine, number: str) -> None:
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :number"), {"number": number})


@pytest.mark.parametrize("arguments", [("status",), ("windows", "list"), ("lodge", ".")])
def test_command_refuses_an_older_schema_and_init_brings_it_up_to_date(
    filled: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    *_, older, newest = known_revisions()
    with filled.begin() as connection:
        downgrade(alembic_config(connection), older)
    code, error = smki(libpq_url(filled), *arguments)
    assert (code, error["error"], revision(filled)) == (3, "SchemaError", older)
    assert older in str(error["rule"])
    assert newest in str(error["rule"])

    code, done = smki(libpq_url(filled), "init")
    assert (code, done["schema_before"], done["schema"], revision(filled)) == (0, older, newest, newest)
    with reading(filled) as connection:
        assert connection.execute(text("SELECT count(*) FROM certificate")).scalar_one() == 8


@pytest.mark.parametrize("arguments", [("status",), ("init",)])
def test_every_command_refuses_a_newer_schema(filled: Engine, arguments: tuple[str, ...]) -> None:
    set_revision(filled, "9999")
    code, error = smki(libpq_url(filled), *arguments)
    assert (code, error["error"], revision(filled)) == (3, "SchemaError", "9999")


def test_init_of_what_is_up_to_date_changes_nothing(filled: Engine) -> None:
    newest = known_revisions()[-1]
    assert smki(libpq_url(filled), "init") == (
        0,
        {"repository": filled.url.database, "schema_before": newest, "schema": newest, "roles_missing": []},
    )


def test_database_that_is_named_is_not_initialised_by_the_way(
    new_repository: NewRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = new_repository()
    with engine.begin() as connection:
        downgrade(alembic_config(connection), "base")
    monkeypatch.setenv("SMKI_DATABASE_URL", libpq_url(engine))
    with pytest.raises(SchemaError):
        _ = open_project().engine
    assert inspect(engine).get_table_names() == ["alembic_version"]
    migrate(engine)


def test_embedded_repository_has_its_schema_from_the_first_command_on(tmp_path: Path) -> None:
    assert smki("embedded", "windows", "list", var=tmp_path)[0] == 0
    assert smki("embedded", "init", var=tmp_path)[1]["schema_before"] == known_revisions()[-1]
