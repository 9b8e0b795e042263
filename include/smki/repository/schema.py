"""Whether a repository's schema is the one that this program speaks.

* Only `smki init` changes a schema (`migrate`). Whatever else meets an older or a newer one refuses to work on it: a
  program that migrates as it looks takes the schema away from the others that are still running.
* A database that SMKI_DATABASE_URL names is never initialised by the way, not even an empty one: behind a mistyped URL,
  nothing would be owed and all be in order.
* The embedded server, which somebody has to ask for, belongs to this installation alone: its database is initialised
  at the first start.
"""

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from smki.errors import SchemaError
from smki.repository.database import reading

MIGRATIONS = Path(__file__).parent / "migrations"


def known_revisions() -> list[str]:
    """The schemas that this program knows, oldest first: each is made by the migration whose file has its number."""
    return sorted(file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def find_revision(connection: Connection) -> str | None:
    """The repository's schema; none where there is none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def is_empty(engine: Engine) -> bool:
    """Whether the database has no table. Raises RepositoryUnavailableError."""
    with reading(engine) as connection:
        return not inspect(connection).get_table_names()


def check_known(engine: Engine, found: str | None) -> None:
    """Raises SchemaError for a schema that is newer than this program's."""
    known = known_revisions()
    if found is not None and found not in known:
        raise SchemaError(
            _item(engine),
            f"its schema {found} is newer than this program's, {known[-1]}.",
            next_step="use the release that made it, or restore the backup from before.",
        )


def check_schema(engine: Engine) -> None:
    """Raises SchemaError unless the repository has this program's schema, and RepositoryUnavailableError."""
    with reading(engine) as connection:
        found = find_revision(connection)
    check_known(engine, found)
    newest = known_revisions()[-1]
    if found is None:
        raise SchemaError(
            _item(engine),
            f"it has no schema yet; this program's is {newest}.",
            next_step="run `smki init` if it is a new one; if it is not, correct SMKI_DATABASE_URL.",
        )
    if found != newest:
        raise SchemaError(_item(engine), f"its schema {found} is older than this program's, {newest}.")


def _item(engine: Engine) -> str:
    return f"repository {engine.url.database}"
