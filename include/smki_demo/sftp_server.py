"""The demo's SFTP server: a site on loopback with two accounts that log in by key.

* `publisher` reads and writes below the root folder.
* `party` reads only, and does not see files that are still being uploaded (`.NAME.part`).

Host key and users' keys are made at the first start and kept. Started as a module it prints one line of JSON with what
a client needs once it accepts connections, and ends on SIGTERM or SIGINT:

    python -m smki_demo.sftp_server --root FOLDER --keys FOLDER --port 2222
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import asyncssh
from asyncssh import SFTPAttrs, SFTPName

from smki.errors import ConfigurationError

HOST = "127.0.0.1"
PUBLISHER = "publisher"
PARTY = "party"

_WRITING = asyncssh.FXF_WRITE | asyncssh.FXF_APPEND | asyncssh.FXF_CREAT | asyncssh.FXF_TRUNC


@dataclass(frozen=True, slots=True)
class RunningServer:
    """What a client needs to log in."""

    port: int  # on HOST
    host_key: str  # public: "ssh-ed25519 AAAA…"
    publisher_key: Path  # private key file
    party_key: Path  # private key file
    acceptor: asyncssh.SSHAcceptor


async def start(root: Path, keys: Path, port: int = 0) -> RunningServer:
    """Starts the server on `port` (0: any free one) in the running event loop.

    `root` and `keys` are made where missing. Raises ConfigurationError when the port is taken.
    """
    root.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  # once, before anybody is served
    host_key = _open_key(keys / "host_key")
    accounts = {PUBLISHER: keys / "publisher_key", PARTY: keys / "party_key"}
    authorized = {name: _open_key(file).public_data for name, file in accounts.items()}
    try:
        acceptor = await asyncssh.listen(
            HOST,
            port,
            server_host_keys=[host_key],
            server_factory=lambda: _KeyLogin(authorized),
            sftp_factory=lambda channel: _session(channel, root),
            encryption_algs=["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr"],
        )
    except OSError as error:
        raise ConfigurationError(
            f"SFTP server of the demo, port {port}",
            f"it needs a port of its own on {HOST} ({error.strerror or error}).",
            "It was not started.",
            "stop what uses the port, or choose another one.",
        ) from error
    public = " ".join(host_key.export_public_key().decode().split()[:2])
    return RunningServer(acceptor.get_port(), public, accounts[PUBLISHER], accounts[PARTY], acceptor)


class _KeyLogin(asyncssh.SSHServer):
    """Each account logs in with its own key, and with nothing else."""

    def __init__(self, authorized: dict[str, bytes]) -> None:
        self._authorized = authorized

    def begin_auth(self, _username: str) -> bool:
        return True  # authentication is required

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._authorized.get(username) == key.public_data


def _refuse(*_: object, **__: object) -> NoReturn:
    raise asyncssh.SFTPPermissionDenied("This account may not do that")


class PublisherSession(asyncssh.SFTPServer):
    """What the publisher may do below the root: everything but links, which could point out of it."""

    symlink = link = _refuse


class PartySession(asyncssh.SFTPServer):
    """What a Party may do: list and read whole files."""

    symlink = link = _refuse
    write = remove = rename = posix_rename = mkdir = rmdir = _refuse
    setstat = lsetstat = fsetstat = _refuse
    open56 = _refuse  # the way in of protocol versions that this server does not speak

    def map_path(self, path: bytes) -> bytes:
        """The local path. Raises SFTPNoSuchFile for a file that is still being uploaded."""
        if _is_part(path.rpartition(b"/")[2]):
            raise asyncssh.SFTPNoSuchFile("No such file")
        return super().map_path(path)

    async def scandir(self, path: bytes) -> AsyncIterator[SFTPName]:
        """The entries of a folder, without files that are still being uploaded."""
        async for entry in super().scandir(path):
            if not _is_part(os.fsencode(entry.filename)):
                yield entry

    def open(self, path: bytes, pflags: int, attrs: SFTPAttrs) -> object:
        if pflags & _WRITING:
            _refuse()
        return super().open(path, pflags, attrs)


def _session(channel: asyncssh.SSHServerChannel[bytes], root: Path) -> asyncssh.SFTPServer:
    party = channel.get_extra_info("username") == PARTY
    return (PartySession if party else PublisherSession)(channel, chroot=os.fsencode(root))


def _is_part(name: bytes) -> bool:
    return name.startswith(b".") and name.endswith(b".part")


def _open_key(file: Path) -> asyncssh.SSHKey:
    """The private key in the file; where there is none, one is made, readable for its owner only."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = asyncssh.generate_private_key("ssh-ed25519")
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:  # noqa: PTH123
            stream.write(key.export_private_key())
    return asyncssh.read_private_key(file)


async def _serve(root: Path, keys: Path, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await start(root, keys, port)
    ready = {
        "host": HOST,
        "port": server.port,
        "host_key": server.host_key,
        "root": str(root),
        "keys": {PUBLISHER: str(server.publisher_key), PARTY: str(server.party_key)},
    }
    print(json.dumps(ready), flush=True)
    await stop.wait()
    server.acceptor.close()


def main() -> int:
    """Serves until a signal ends it; 2 when it cannot be started."""
    parser = argparse.ArgumentParser(description="The SFTP server of the demo, on loopback.")
    parser.add_argument("--root", type=Path, required=True, help="folder that is served")
    parser.add_argument("--keys", type=Path, required=True, help="folder of the host key and the accounts' keys")
    parser.add_argument("--port", type=int, default=0, help="0 (default): any free one")
    arguments = parser.parse_args()
    try:
        asyncio.run(_serve(arguments.root, arguments.keys, arguments.port))
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
