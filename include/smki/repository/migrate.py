"""Brings a repository's schema up to date (Alembic), safely from several processes at once."""

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from smki.repository.database import writing
from smki.repository.schema import MIGRATIONS, check_known, find_revision

MIGRATION_LOCK = 0x534D4B49  # "SMKI": the advisory lock of who changes the schema


def alembic_config(connection: Connection) -> Config:
    """Alembic's settings for the repository's migrations on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def migrate(engine: Engine) -> str | None:
    """Applies all migrations that the repository lacks; returns the schema that it had before.

    Raises SchemaError for a schema that is newer than this program's, RepositoryBusyError, RepositoryUnavailableError.
    """
    with writing(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        found = find_revision(connection)
        check_known(engine, found)
        connection.execute(text("SET LOCAL lock_timeout = '30s'"))  # all others wait behind a migration that waits
        command.upgrade(alembic_config(connection), "head")
    return found
