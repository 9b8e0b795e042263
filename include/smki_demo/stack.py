"""Starts and ends the stack's processes: the SFTP server, a mail server and Airflow's four services.

Each process leads a group of its own, and ending it ends the group: Airflow's services start children that outlive them
otherwise. A log file a process lies in `var/log/`.
"""

import json
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from smki.errors import ConfigurationError, TransportError
from smki.publish.site import Site
from smki.repository import embedded
from smki.repository.database import ensure_database, open_engine
from smki.repository.migrate import migrate
from smki_airflow.names import audit_connection_id, connection_id, lane_pool
from smki_demo.airflow_api import AirflowApi
from smki_demo.environment import USERS, airflow_environment, mail_connection, site_connection
from smki_demo.generator.index_signer import make_signer
from smki_demo.sftp_server import HOST, PARTY, PUBLISHER

PRIMARY = "primary"
_SERVICES = ("api-server", "scheduler", "dag-processor", "triggerer")
_STOP_S = 10
_HEALTHY_S = 240


@dataclass(frozen=True, slots=True)
class RunningSite:
    """An SFTP server that is a site of the publisher."""

    process: subprocess.Popen[bytes]
    port: int  # on HOST
    host_key: str  # public: "ssh-ed25519 AAAA…"
    key_files: Mapping[str, Path]  # private keys, by account
    known_hosts: Path  # for OpenSSH's programs


@dataclass(slots=True)
class Stack:
    """A running stack."""

    var: Path
    environment: dict[str, str]
    repository_url: str
    api: AirflowApi
    sites: dict[str, "RunningSite"] = field(default_factory=dict)  # by name
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def mail(self) -> Path:
        """Where messages to people land, one .eml file each."""
        return self.var / "mail"

    def site(self, name: str, account: str = PARTY) -> Site:
        """A site as an account logs in to it."""
        running = self.sites[name]
        return Site(name, HOST, running.port, account, running.key_files[account], running.host_key, "/")

    def airflow(self, *arguments: str) -> str:
        """Runs an Airflow command to its end and returns what it printed. Raises TransportError when it fails."""
        command = [sys.executable, "-m", "airflow", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise TransportError(
                f"airflow {' '.join(arguments)}",
                f"it ended with {done.returncode}: {done.stderr.strip()[-300:]}",
                "The stack is not complete.",
                f"read {self.var / 'log'}.",
            )
        return done.stdout

    def start(
        self, name: str, *command: str, answers: bool = False, environment: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.Popen[bytes]:
        """Starts a Python module whose output goes to `var/log/NAME.log`; its stdout is ours where it `answers`.

        `environment` is beside the stack's own.
        """
        log = self.var / "log" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env=self.environment | dict(environment),
                stdout=subprocess.PIPE if answers else out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Ends a process and all that it started."""
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, sign)
            except ProcessLookupError:
                break
            try:
                process.wait(_STOP_S if sign is not signal.SIGKILL else None)
            except subprocess.TimeoutExpired:
                continue
        self.processes.remove(process)


def free_port(wanted: int, what: str) -> int:
    """The wanted port of loopback, or any free one for 0. Raises ConfigurationError when it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError as error:
            raise ConfigurationError(
                f"port {wanted} on {HOST}",
                f"the {what} needs it and something else has it ({error.strerror}).",
                "Nothing was started.",
                "end that program, or choose another port: DEMO_PORT=8181 DEMO_SFTP_PORT=2223 make demo.",
            ) from error
        return int(probe.getsockname()[1])


@contextmanager
def running_stack(
    var: Path, *, port: int = 0, sftp_port: int = 0, sites: Sequence[str] = (PRIMARY,)
) -> Iterator[Stack]:
    """Starts all below `var` but Airflow's services, which `start_airflow` starts; every process ends with the block.

    Both databases are migrated, each site's pools are made, mail server and SFTP servers run: the first site's on
    `sftp_port`, the others' on the ports after it; all on free ones for 0.
    Raises ConfigurationError for a port that is taken, TransportError for a process that does not come up.
    """
    port = free_port(port, "Airflow UI")
    ports = [free_port(sftp_port and sftp_port + place, "SFTP server") for place in range(len(sites))]
    repository_url = embedded.start(var / "postgres")
    home = var / "airflow"
    home.mkdir(exist_ok=True)
    ensure_database(repository_url)
    metadata_url = embedded.dsn(var / "postgres", "airflow")
    ensure_database(metadata_url)
    migrate(open_engine(repository_url))
    passwords = _read_or_write(home / "passwords.json", {user: secrets.token_urlsafe(9) for user in USERS})
    secret = _read_or_write(home / "secret.json", {"secret": secrets.token_hex(32)})["secret"]
    environment = dict(os.environ) | airflow_environment(
        home=home,
        repository_url=repository_url,
        metadata_url=metadata_url.replace("postgresql://", "postgresql+psycopg2://"),
        var=var,
        port=port,
        secret=secret,
    )
    api = AirflowApi(environment["AIRFLOW__API__BASE_URL"], "admin", passwords["admin"])
    stack = Stack(var, environment, repository_url, api)
    try:
        stack.environment["SMKI_SITES"] = ",".join(sites)
        stack.environment |= make_signer(var, "index-signer")
        for name, site_port in zip(sites, ports, strict=True):
            start_site(stack, name, site_port)
        start_mail(stack)
        stack.airflow("db", "migrate")
        for pool in (lane_pool(site, in_place=in_place) for site in sites for in_place in (False, True)):
            stack.airflow("pools", "set", pool, "1", "one publisher at a time")
        yield stack
    finally:
        for process in reversed(stack.processes.copy()):
            stack.stop(process)


def start_site(stack: Stack, name: str, port: int) -> None:
    """Starts a site's SFTP server and gives Airflow its two connections: the publisher's and the auditor's.

    A site that was ended comes back with its files, keys and, on the same port, connections.
    """
    suffix = "" if name == PRIMARY else f"-{name}"
    keys = stack.var / f"sftp-keys{suffix}"
    root = stack.var / f"sftp{suffix}"
    process, ready = _start_server(
        stack, f"sftp{suffix}", "sftp_server", "--root", str(root), "--keys", str(keys), "--port", str(port)
    )
    known_hosts = keys / "known_hosts"
    known_hosts.write_text(f"[{HOST}]:{ready['port']} {ready['host_key']}\n")
    key_files = {account: Path(file) for account, file in ready["keys"].items()}
    stack.sites[name] = RunningSite(process, ready["port"], ready["host_key"], key_files, known_hosts)
    for conn_id, account in ((connection_id(name), PUBLISHER), (audit_connection_id(name), PARTY)):
        stack.environment |= site_connection(
            conn_id, HOST, ready["port"], account, key_files[account], ready["host_key"]
        )


def start_mail(stack: Stack) -> None:
    """Starts the mail server and gives Airflow its connection."""
    _, ready = _start_server(stack, "mail", "mail_server", "--folder", str(stack.mail))
    stack.environment |= mail_connection(ready["host"], ready["port"])


def _start_server(
    stack: Stack, name: str, module: str, *arguments: str
) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    """Starts a server of the demo; returns what it prints once it accepts connections, too. Raises TransportError."""
    process = stack.start(name, f"smki_demo.{module}", *arguments, answers=True)
    assert process.stdout is not None  # noqa: S101  # it answers
    ready = process.stdout.readline()
    if not ready:
        raise TransportError(
            f"{name} server",
            "it ended at start.",
            "The stack is not complete.",
            f"read {stack.var / 'log' / name}.log.",
        )
    return process, json.loads(ready)


def start_airflow(stack: Stack) -> None:
    """Starts Airflow's services and waits until all of them are healthy. Raises TransportError."""
    services = {name: stack.start(name, "airflow", name) for name in _SERVICES}
    deadline = time.monotonic() + _HEALTHY_S
    while not stack.api.healthy():
        dead = [name for name, process in services.items() if process.poll() is not None]
        if dead or time.monotonic() > deadline:
            raise TransportError(
                f"Airflow {', '.join(dead) or 'services'}",
                "it ended at start." if dead else f"they are not healthy after {_HEALTHY_S} s.",
                "No DAG runs.",
                f"read {stack.var / 'log'}.",
            )
        time.sleep(0.5)


def write_terminal(stack: Stack) -> Path:
    """Writes var/terminal.sh, with which `smki` and `airflow` work on the running stack in another shell.

    It is readable for its owner only: passwords are among the variables.
    """
    variables = {name: value for name, value in stack.environment.items() if os.environ.get(name) != value}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items())]
    file = stack.var / "terminal.sh"
    file.touch(mode=0o600)
    programs = shlex.quote(str(Path(sys.executable).parent))
    file.write_text("\n".join([*lines, f'export PATH={programs}:"$PATH"', ""]))
    return file


def _read_or_write(path: Path, made: dict[str, str]) -> dict[str, str]:
    """What the JSON file holds; where there is none, it is made with `made` in it, readable for its owner only."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(json.dumps(made))
    held: dict[str, str] = json.loads(path.read_text())
    return held
