"""A pooler between us and PostgreSQL is refused by name: in it, locks of a session stay behind with others."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import Engine

from conftest import Program
from smki.errors import PoolerRefusedError
from smki.repository.database import libpq_url, open_engine, reading, writing


@pytest.fixture
def pool(repository: Engine, program: Program) -> Iterator[Callable[[str], str]]:
    """Starts PgBouncer before the repository; takes its pool_mode, returns the URL."""
    command = program("pgbouncer")
    direct = urlsplit(libpq_url(repository))
    sockets = parse_qs(direct.query)["host"][0]
    started: list[subprocess.Popen[bytes]] = []
    folder = Path(tempfile.mkdtemp(prefix="smki-"))
    folder.chmod(0o755)  # PgBouncer does not run as root, and what is pytest's belongs to one account

    def start(mode: str) -> str:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host={sockets} user=postgres\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n"
        )
        owner = ["setpriv", f"--reuid={Path(sockets).stat().st_uid}", "--clear-groups"] if os.geteuid() == 0 else []
        started.append(subprocess.Popen([*owner, command, "-q", settings]))
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        return f"postgresql://postgres@127.0.0.1:{port}{direct.path}"

    yield start
    for process in started:
        process.terminate()
        process.wait()
    shutil.rmtree(folder)


@pytest.mark.parametrize("mode", ["transaction", "statement", "session"])
def test_pooler_is_refused_at_every_connection(pool: Callable[[str], str], mode: str) -> None:
    engine = open_engine(pool(mode))
    for opening in (reading, writing, reading):
        with pytest.raises(PoolerRefusedError), opening(engine):
            pytest.fail("it is taken for PostgreSQL")
    engine.dispose()
