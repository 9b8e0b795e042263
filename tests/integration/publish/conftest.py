"""Servers to publish to, on loopback: a real OpenSSH sshd as a process, and asyncssh's where faults are wanted."""

import asyncio
import errno
import os
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
import psutil
import pytest

from builders import assembled, store_in
from smki.publish.copying import CopySource
from smki.publish.ranges import find_equal_pages, find_ranges
from smki.publish.recipe import KnownFiles, PublishedFile, publish_file
from smki.publish.site import Site, open_sftp
from smki.store.content import Content, SmallFile
from smki.store.paged_file import PagedFile

HOST = "127.0.0.1"
FILE_BYTES = 5_000_000


Paginate = Callable[..., PagedFile]


@pytest.fixture
def stage() -> Callable[..., SmallFile]:
    """Makes files of random bytes: other bytes with each seed."""

    def make(seed: int = 1, size: int = FILE_BYTES) -> SmallFile:
        return SmallFile(f"staged-{seed}-{size}", random.Random(seed).randbytes(size))

    return make


@pytest.fixture
def staged(stage: Callable[..., SmallFile]) -> SmallFile:
    return stage()


@pytest.fixture
def paginate(tmp_path: Path) -> Paginate:
    """Makes a file of these pages (XML that nobody reads); its segment and its manifest are in a store."""

    def make(pages: Sequence[bytes], name: str = "FULL.xml.gz") -> PagedFile:
        return PagedFile.stored(store_in(tmp_path), assembled(tmp_path, [b"<head>", *pages, b"</tail>"], name)[1])

    return make


@pytest.fixture
def copy_source() -> Callable[..., CopySource]:
    """Puts a file onto a server, whole, and says what a new one has of it; also that all of it is known to be right."""

    def make(server: "Server", old: PagedFile, new: PagedFile, *, known_whole: bool = False) -> CopySource:
        server.published.mkdir(exist_ok=True)
        standing = server.published / old.name
        standing.write_bytes(b"".join(old.chunks()))
        return CopySource(
            f"{server.site.folder}/{old.name}",
            old.size,
            int(standing.stat().st_mtime) if known_whole else None,
            new.manifest,
            find_ranges(new.manifest, old.manifest),
            find_equal_pages(new.manifest, old.manifest) >= 0,
        )

    return make


@pytest.fixture
def publish() -> Callable[..., PublishedFile]:
    """Publishes content in a session of its own; it was judged with its own hash, or with the given one."""

    def run(
        site: Site,
        content: Content,
        name: str = "FULL.xml.gz",
        progress: Callable[[int, int], None] = lambda _done, _total: None,
        judged: str = "",
        known: KnownFiles = KnownFiles(),  # noqa: B008  # it never changes
        source: CopySource | None = None,
    ) -> PublishedFile:
        sha256 = judged or content.sha256()
        with open_sftp(site) as sftp:
            return publish_file(sftp, content, f"{site.folder}/{name}", sha256, progress, known, source)

    return run


class OpenSshServer:
    """A real sshd; `root` is what its sessions start in. Stopped and started again it keeps its keys and its port."""

    def __init__(self, folder: Path, program: str) -> None:
        self.root = folder / "root"
        self.root.mkdir()
        self._program = program
        self._config = folder / "sshd_config"
        port = _free_port()
        self.site = Site(
            name="primary",
            host=HOST,
            port=port,
            username=psutil.Process().username(),
            key_file=folder / "user_key",
            host_key=_new_key(folder / "host_key"),
            folder="outgoing",
            connect_timeout_s=10,
            answer_timeout_s=10,
        )
        (folder / "authorized").write_text(_new_key(self.site.key_file) + "\n")
        self._config.write_text(
            f"Port {port}\nListenAddress {HOST}\nHostKey {folder}/host_key\nAuthorizedKeysFile {folder}/authorized\n"
            "PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\n"
            f"Subsystem sftp internal-sftp -d {self.root}\n"
        )
        self._log = (folder / "sshd.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def published(self) -> Path:
        return self.root / self.site.folder

    def start(self, limits: str = "") -> None:
        """Starts it; `limits` are shell commands that its sessions inherit the effect of."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd's own rule for root
        command = f"{limits} exec {self._program} -D -e -f '{self._config}'"
        self._process = subprocess.Popen(["sh", "-c", command], stdout=self._log, stderr=self._log)
        _wait_for_port(self.site.port)

    def sessions(self) -> list[psutil.Process]:
        assert self._process is not None
        return psutil.Process(self._process.pid).children(recursive=True)

    def kill_sessions(self) -> None:
        for session in self.sessions():
            with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                session.kill()

    def freeze_sessions(self) -> None:
        for session in self.sessions():
            session.suspend()

    def stop(self) -> None:
        """Stops it at once, sessions included."""
        if self._process is not None:
            self.kill_sessions()
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[OpenSshServer]:
    program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        missing = "needs OpenSSH's sshd: install openssh-server (apt-get install openssh-server)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    server = OpenSshServer(tmp_path, program)
    server.start()
    yield server
    server.stop()


@dataclass
class Faults:
    """What a FaultyServer does wrong; all of it may be changed while it runs."""

    refuse_write_at: set[int] = field(default_factory=set)  # offsets; each is refused once
    disk_bytes: int | None = None  # a write beyond this finds no space
    free_bytes: int | None = None  # what statvfs tells
    no_size: bool = False  # statvfs tells of zero blocks
    flip_read: bool = False  # reading gives a wrong byte
    lie_about: set[str] = field(default_factory=set)  # names of files of which reading, and copying, gives a wrong byte
    refuse_read_of: set[str] = field(default_factory=set)  # names of files that cannot be read, nor copied from
    refuse_open_of: set[str] = field(default_factory=set)  # names of files that cannot be opened
    silent_at: set[str] = field(default_factory=set)  # names of files of which no reading is ever answered
    short_reads: bool = False  # reading gives half of what was asked for
    drop_at: int | None = None  # the connection breaks before the write at this offset or beyond; once
    drop_after_rename: bool = False  # the connection breaks before the rename is answered; once
    refuse_removal: set[str] = field(default_factory=set)  # names of files that the account may not remove
    drop_after_removal: bool = False  # the connection breaks before the removal is answered; once
    drop_at_request: int | None = None  # the connection breaks at its start (0) or at this opening of a file; once
    dropped: int = 0  # how often that has happened
    answers: dict[str, Exception] = field(default_factory=dict)  # to fsync, statvfs or posix_rename


class _FaultySession(asyncssh.SFTPServer):
    def __init__(self, channel: asyncssh.SSHServerChannel[bytes], root: Path, faults: Faults) -> None:
        super().__init__(channel, chroot=os.fsencode(root))
        self._faults = faults
        self._dropped = False
        self._count_request()

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        if os.fsdecode(path).rpartition("/")[2] in self._faults.refuse_open_of:
            raise asyncssh.SFTPFailure("Failure")
        self._count_request()
        return super().open(path, pflags, attrs)

    def _count_request(self) -> None:
        faults = self._faults
        if faults.drop_at_request is None:
            return
        faults.drop_at_request -= 1
        if faults.drop_at_request < 0:
            faults.drop_at_request = None
            faults.dropped += 1
            self.connection.abort()

    def write(self, file_obj: object, offset: int, data: bytes) -> object:
        faults = self._faults
        if faults.drop_at is not None and offset >= faults.drop_at:
            faults.drop_at = None
            self._dropped = True
            self.connection.abort()
        if self._dropped:
            raise asyncssh.SFTPConnectionLost("what had arrived is not written either")
        if faults.disk_bytes is not None and offset + len(data) > faults.disk_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if any(offset <= wrong < offset + len(data) for wrong in faults.refuse_write_at):
            faults.refuse_write_at.clear()
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().write(file_obj, offset, data)

    def read(self, file_obj: object, offset: int, size: int) -> object:
        name = os.fsdecode(getattr(file_obj, "name", b"")).rpartition("/")[2]
        if name in self._faults.refuse_read_of:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if name in self._faults.silent_at:
            return asyncio.get_running_loop().create_future()
        data = super().read(file_obj, offset, max(1, size // 2) if self._faults.short_reads else size)
        assert isinstance(data, bytes)
        wrong = self._faults.flip_read or name in self._faults.lie_about
        return bytes((data[0] ^ 1,)) + data[1:] if wrong else data

    def statvfs(self, path: bytes) -> object:
        self._answer("statvfs")
        found = super().statvfs(path)
        if self._faults.no_size:
            return asyncssh.SFTPVFSAttrs(bsize=1, frsize=1)
        if self._faults.free_bytes is None:
            return found
        return asyncssh.SFTPVFSAttrs(bsize=1, frsize=1, bavail=self._faults.free_bytes, bfree=self._faults.free_bytes)

    def fsync(self, file_obj: object) -> object:
        self._answer("fsync")
        return super().fsync(file_obj)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> object:
        self._answer("posix_rename")
        done = super().posix_rename(oldpath, newpath)
        if self._faults.drop_after_rename:
            self._faults.drop_after_rename = False
            self.connection.abort()
        return done

    def remove(self, path: bytes) -> object:
        if os.fsdecode(path).rpartition("/")[2] in self._faults.refuse_removal:
            raise asyncssh.SFTPPermissionDenied("Permission denied")
        done = super().remove(path)
        if self._faults.drop_after_removal:
            self._faults.drop_after_removal = False
            self.connection.abort()
        return done

    def _answer(self, name: str) -> None:
        if name in self._faults.answers:
            raise self._faults.answers[name]


class FaultyServer:
    """asyncssh's server in a thread of the test, with faults on demand."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.root.mkdir()
        self.faults = Faults()
        host_key = _new_key(folder / "faulty_host_key")
        (folder / "faulty_authorized").write_text(_new_key(folder / "faulty_user_key") + "\n")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

        async def listen() -> asyncssh.SSHAcceptor:
            return await asyncssh.listen(
                HOST,
                0,
                server_host_keys=[str(folder / "faulty_host_key")],
                authorized_client_keys=str(folder / "faulty_authorized"),
                sftp_factory=lambda channel: _FaultySession(channel, self.root, self.faults),
            )

        self._acceptor = asyncio.run_coroutine_threadsafe(listen(), self._loop).result()
        self.site = Site(
            name="primary",
            host=HOST,
            port=self._acceptor.get_port(),
            username="publisher",
            key_file=folder / "faulty_user_key",
            host_key=host_key,
            folder="outgoing",
            connect_timeout_s=10,
            answer_timeout_s=10,
        )

    @property
    def published(self) -> Path:
        return self.root / self.site.folder

    def stop(self) -> None:
        async def end() -> None:
            self._acceptor.close()
            await self._acceptor.wait_closed()
            sessions = asyncio.all_tasks() - {asyncio.current_task()}
            for session in sessions:
                session.cancel()
            await asyncio.gather(*sessions, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[FaultyServer]:
    folder = tmp_path / "faulty"
    folder.mkdir()
    server = FaultyServer(folder)
    yield server
    server.stop()


Server = OpenSshServer | FaultyServer


@pytest.fixture(params=["sshd", "faulty"])
def site_server(request: pytest.FixtureRequest) -> Server:
    """Each of the two servers, with nothing wrong."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, OpenSshServer | FaultyServer)
    return found


def _new_key(file: Path) -> str:
    """Makes a private key in `file`; returns the public one as a site pins it."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(file)
    file.chmod(0o600)
    return key.export_public_key().decode().strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection((HOST, port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
