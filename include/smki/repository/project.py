"""One installation of the publisher, as its environment describes it: settings, repository and user guide."""

from functools import cached_property

from sqlalchemy import Engine

from smki.obligations.catalogue import UserGuide
from smki.obligations.user_guide import load_user_guide
from smki.repository.database import ensure_server, open_engine
from smki.repository.schema import check_schema, is_empty
from smki.settings import EMBEDDED, Settings
from smki.store.objects import Store


class Project:
    """Settings of an installation, and what they name; each thing is opened at its first use and then kept."""

    def __init__(self, settings: Settings, engine: Engine | None = None) -> None:
        self.settings = settings
        if engine is not None:
            self.engine = engine

    @cached_property
    def engine(self) -> Engine:
        """The repository. Starts the embedded PostgreSQL if that is asked for, and gives it its schema the first time.

        Raises ConfigurationError, SchemaError, RepositoryUnavailableError.
        """
        engine = self.open_engine()
        if self.settings.database_url == EMBEDDED and is_empty(engine):
            from smki.repository.migrate import migrate  # noqa: PLC0415  # Alembic takes a fifth of a second to load

            migrate(engine)
        check_schema(engine)
        return engine

    def open_engine(self) -> Engine:
        """The repository, whatever its schema is. Raises ConfigurationError, RepositoryUnavailableError."""
        return open_engine(ensure_server(self.settings))

    def close(self) -> None:
        """Closes the connections that were opened."""
        if "engine" in self.__dict__:
            self.engine.dispose()

    @cached_property
    def store(self) -> Store:
        """Where what is produced lies. Raises ConfigurationError, StoreError."""
        return Store(self.settings.store)

    @cached_property
    def guide(self) -> UserGuide:
        """What user_guide.toml states. Raises ObligationError."""
        return load_user_guide(self.settings.config)


def open_project() -> Project:
    """The installation that the environment describes."""
    return Project(Settings.from_environment())
