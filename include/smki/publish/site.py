"""One SFTP server that is published to: how to log in to it, and what its failures mean.

Rules: only a pinned host key is accepted, and while a server changes its key two may be pinned; only the configured key
is offered (no agent, no password, no other key file); nothing waits longer than the site's timeouts say.
"""

import base64
import binascii
import errno
import logging
import posixpath
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko import AuthenticationException, Message, SFTPClient, SSHException, Transport
from paramiko.pkey import UnknownKeyType
from paramiko.sftp import CMD_VERSION, SFTPError
from paramiko.ssh_exception import IncompatiblePeer

from smki.errors import (
    ConfigurationError,
    SiteLoginError,
    SiteUnavailableError,
    SmkiError,
    TransportError,
    UploadDamagedError,
)
from smki.obligations.catalogue import Index, Obligation

log = logging.getLogger(__name__)
_MOST_HOST_KEYS = 2

# The fastest that paramiko and OpenSSH share; paramiko itself asks for it last.
_CIPHER = "aes128-gcm@openssh.com"


@dataclass(frozen=True, slots=True)
class Site:
    """Where and as whom to log in. Raises ConfigurationError for values that cannot be meant."""

    name: str  # as SMKI_SITES and the ledger have it
    host: str
    port: int
    username: str
    key_file: Path  # private key, OpenSSH or PEM, without a passphrase
    host_key: str  # the only one that is accepted: "ssh-ed25519 AAAA…"; or two, with a comma or a line's end between
    folder: str  # remote folder that is published into
    connect_timeout_s: float = 20.0  # to connect, agree keys and log in, all together
    answer_timeout_s: float = 120.0  # for one answer; the longest wait is for fsync of a full file

    def __post_init__(self) -> None:
        if min(self.connect_timeout_s, self.answer_timeout_s) <= 0:
            raise ConfigurationError(f"site {self.name}", "timeouts are longer than 0 s.")
        try:
            known = all(blob.startswith(_ssh_string(kind)) for kind, blob in self.host_keys)
        except (ValueError, binascii.Error):
            known = False
        if not known or not 1 <= len(self.host_keys) <= _MOST_HOST_KEYS:
            raise ConfigurationError(
                f"site {self.name}",
                f"{self.host_key[:40]!r} is no host key: that is kind, blank, Base64; two have a comma between.",
                next_step="put the server's public host key there, as its operator gives it.",
            )

    @property
    def host_keys(self) -> list[tuple[str, bytes]]:
        """Types and bytes of the pinned keys, as the server sends them. Raises ValueError for a text that is no key."""
        stated = [one.split() for one in re.split(r"[,\n]", self.host_key) if one.strip()]
        return [(kind, base64.b64decode(blob, validate=True)) for kind, blob, *_ in stated]


def folder_on(site: Site, one: Obligation | Index) -> str:
    """Where an obligation's files are, or the index, by the account that `site` logs in with."""
    return posixpath.normpath(posixpath.join(site.folder, one.folder.lstrip("/")))


class SftpSession(SFTPClient):
    """A session that knows which extensions the server lists at its start; paramiko passes over them."""

    offered: frozenset[str] = frozenset()

    def _read_packet(self) -> tuple[int, bytes]:
        kind, fields = super()._read_packet()  # type: ignore[misc]  # the stubs lack it
        if kind == CMD_VERSION:
            message = Message(fields[4:])
            pairs = []
            while message.get_remainder():
                pairs.append((message.get_binary(), message.get_binary()))
            self.offered = frozenset(name.decode(errors="replace") for name, _ in pairs)
        return kind, fields


@contextmanager
def open_sftp(site: Site) -> Iterator[SftpSession]:
    """An SFTP session on the site, closed at the end. Raises SiteUnavailableError, SiteLoginError, ConfigurationError.

    Errors of requests within the session become typed by `site_errors`, which names what the request was about.
    """
    key = _private_key(site)
    item = f"site {site.name} ({site.username}@{site.host}:{site.port})"
    with site_errors(item):
        connection = socket.create_connection((site.host, site.port), timeout=site.connect_timeout_s)
        # Read requests are small: with Nagle's algorithm they wait for the server's delayed acknowledgements, and
        # reading back falls to a quarter of the speed.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # paramiko's sender retries for ever once the socket's buffer is full; the kernel ends the connection instead.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(site.answer_timeout_s * 1000))
        transport = Transport(connection)
    try:
        with site_errors(item):
            sftp = _log_in(transport, site, key, item)
        yield sftp
    finally:
        transport.close()


@contextmanager
def site_errors(item: str) -> Iterator[None]:
    """Turns what paramiko, the socket or the server raises into a typed error that names `item`.

    The one place that knows these exceptions. Typed errors pass through. OSErrors of local files do not belong inside:
    a server's "no such file" and a local one are the same exception.
    """
    try:
        yield
    except SmkiError:
        raise
    except TimeoutError as error:
        raise SiteUnavailableError(item, "the server gave no answer in time.") from error
    except (EOFError, SSHException, SFTPError, ConnectionError, socket.gaierror) as error:
        raise SiteUnavailableError(item, f"the connection failed ({type(error).__name__}: {error}).") from error
    except OSError as error:
        raise _typed_error(error, item) from error


def _typed_error(error: OSError, item: str) -> SmkiError:
    consequence = SiteUnavailableError.CONSEQUENCE
    if error.errno == errno.EACCES:
        return ConfigurationError(
            item,
            f"the server's account may not do this ({error}).",
            consequence,
            "give the publisher's account the right to write into the site's folder.",
        )
    if error.errno == errno.ENOENT:
        return UploadDamagedError(
            item, "it vanished while it was worked on.", consequence, "find out who removes files there, and try again."
        )
    # paramiko has no errno for a closed channel, nor for the server's general "Failure".
    if error.errno is None and "closed" not in str(error):
        return TransportError(
            item, f"the server refused a request ({error}).", consequence, "try again; see the server's log."
        )
    return SiteUnavailableError(item, f"the connection failed ({error}).")


def _log_in(transport: Transport, site: Site, key: paramiko.PKey, item: str) -> SftpSession:
    options = transport.get_security_options()
    options.ciphers = (_CIPHER, *(cipher for cipher in options.ciphers if cipher != _CIPHER))
    # A server may have several host keys; it has to show a pinned one.
    kinds = dict.fromkeys(kind for kind, _ in site.host_keys)
    rsa = ("rsa-sha2-512", "rsa-sha2-256")
    options.key_types = tuple(name for kind in kinds for name in (rsa if kind == "ssh-rsa" else (kind,)))
    # Some of paramiko's waits have no timeout of their own; closing the transport ends them all.
    deadline = threading.Timer(site.connect_timeout_s, transport.close)
    deadline.daemon = True
    deadline.start()
    try:
        _check_server(transport, site, item)
        _offer_key(transport, site, key, item)
        channel = transport.open_session(timeout=site.connect_timeout_s)
        channel.settimeout(site.answer_timeout_s)
        channel.invoke_subsystem("sftp")
        return SftpSession(channel)
    finally:
        deadline.cancel()


def _check_server(transport: Transport, site: Site, item: str) -> None:
    shown = "another type of key"
    try:
        transport.start_client()
        server_key = transport.get_remote_server_key()
        if server_key.asbytes() in {blob for _, blob in site.host_keys}:
            if len(site.host_keys) > 1:
                log.info("of two pinned host keys the server shows site=%s key=%s", site.name, server_key.fingerprint)
            return
        shown = f"{server_key.get_name()} {server_key.fingerprint}"
    except IncompatiblePeer as error:
        shown = f"no key that can be used ({error})"
    raise SiteLoginError(item, f"the server has to show the pinned host key, and showed {shown}.")


def _offer_key(transport: Transport, site: Site, key: paramiko.PKey, item: str) -> None:
    try:
        transport.auth_publickey(site.username, key)
    except AuthenticationException as error:
        # paramiko says the same when the server goes away meanwhile.
        if not transport.is_active():
            raise EOFError("the server closed the connection during login") from error
        raise SiteLoginError(
            item,
            f"the server refuses the key {key.fingerprint} for {site.username!r}.",
            next_step="have the key put into the account's authorized keys.",
        ) from error


def _private_key(site: Site) -> paramiko.PKey:
    try:
        return paramiko.PKey.from_path(site.key_file)
    except (OSError, ValueError, TypeError, SSHException, UnknownKeyType) as error:  # TypeError: it has a passphrase
        raise ConfigurationError(
            f"site {site.name}, key file {site.key_file}",
            f"it has to hold a private key without a passphrase ({type(error).__name__}: {error}).",
            next_step="put the key into place, readable for the account that this runs as.",
        ) from error


def _ssh_string(text: str) -> bytes:
    return len(text).to_bytes(4, "big") + text.encode()
