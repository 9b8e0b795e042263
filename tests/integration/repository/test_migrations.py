import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Engine, inspect, text
from sqlalchemy.exc import IntegrityError

from conftest import NewRepository
from smki.repository.migrate import alembic_config, migrate
from smki.repository.tables import metadata


def test_migrations_make_the_tables_that_the_code_names(repository: Engine) -> None:
    with repository.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_migrations_make_the_check_constraints_that_the_code_names(repository: Engine) -> None:
    def letters(rule: str) -> list[str]:
        return sorted(re.findall(r"'(\w+)'|\b(\d+)\b", rule))

    inspector = inspect(repository)
    for table in metadata.sorted_tables:
        constraints = table.constraints.union(*(column.constraints for column in table.columns))
        stated = {c.name: letters(str(c.sqltext)) for c in constraints if isinstance(c, CheckConstraint)}
        made = {c["name"]: letters(c["sqltext"]) for c in inspector.get_check_constraints(table.name)}
        assert made == stated


@pytest.mark.parametrize("column", ["class", "status", "usage", "eui64"])
def test_store_itself_refuses_a_value_outside_the_domain(repository: Engine, column: str) -> None:
    values = {"class": "'DEVICE'", "status": "'I'", "usage": "'DS'", "eui64": "'\\x0102030405060708'::bytea"}
    insert = "INSERT INTO certificate (issuer_id, serial_number, not_after, body, {}) VALUES (1, '1', now(), '1', {})"
    with repository.begin() as connection:
        connection.execute(text(insert.format(", ".join(values), ", ".join(values.values()))))
    wrong = values | {column: "'X'"}
    with pytest.raises(IntegrityError, match=f"certificate_{column}_check"), repository.begin() as connection:
        connection.execute(text(insert.format(", ".join(wrong), ", ".join(wrong.values()))))


def test_migrations_can_be_taken_back_and_made_again(repository: Engine) -> None:
    with repository.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
    assert inspect(repository).get_table_names() == ["alembic_version"]
    migrate(repository)
    assert set(metadata.tables) < set(inspect(repository).get_table_names())


def test_several_processes_may_migrate_at_once(new_repository: NewRepository) -> None:
    engine = new_repository()
    with engine.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, [engine] * 4))
    assert "certificate" in inspect(engine).get_table_names()
