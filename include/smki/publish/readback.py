"""What a server really holds: a windowed reader, and the SHA-256 over it.

SFTP has no hash on the server's side that OpenSSH knows, so the bytes come back.
"""

import hashlib
from collections.abc import Callable
from typing import cast

from paramiko import SFTPClient, SFTPFile

from smki.publish.wire import CHUNK, Request, Wire, read_request


def remote_sha256(sftp: SFTPClient, path: str) -> str:
    """SHA-256 (hex) of a remote file. Call it inside `site_errors`."""
    digest = hashlib.sha256()
    with sftp.open(path, "rb") as remote:
        read_range(sftp, remote, 0, remote.stat().st_size or 0, digest.update)
    return digest.hexdigest()


def read_range(
    sftp: SFTPClient, remote: SFTPFile, start: int, end: int, consume: Callable[[memoryview], object]
) -> None:
    """Hands the bytes from `start` to `end` to `consume`, in order, whatever the order and the sizes of the answers."""
    handle = handle_of(remote)
    asked = consumed = start
    left_out: list[Request] = []  # the rest of what an answer gave only a part of
    early: dict[int, memoryview] = {}  # offset → bytes that came before their turn

    def next_request() -> Request | None:
        nonlocal asked
        if left_out:
            return left_out.pop()
        if asked >= end:
            return None
        request = read_request(handle, asked, min(CHUNK, end - asked))
        asked += request.length
        return request

    def answered(request: Request, fields: memoryview) -> None:
        nonlocal consumed
        data = fields[4:]  # after the length of the string
        if len(data) < request.length:
            left_out.append(read_request(handle, request.offset + len(data), request.length - len(data)))
        early[request.offset] = data
        while (turn := early.pop(consumed, None)) is not None:
            consume(turn)
            consumed += len(turn)

    Wire(sftp).exchange(next_request, answered)


def handle_of(remote: SFTPFile) -> bytes:
    """The server's handle of an open file; the stubs of paramiko have another type for it."""
    return cast("bytes", remote.handle)
