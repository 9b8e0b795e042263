"""What a server really holds: its folders, a windowed reader, and the SHA-256 over what it reads.

SFTP has no hash on the server's side that OpenSSH knows, so the bytes come back.
"""

import hashlib
import stat
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from paramiko import Message, SFTPClient, SFTPError, SFTPFile
from paramiko.sftp import CMD_CLOSE, CMD_OPENDIR, CMD_READDIR, SFTP_EOF

from smki.publish.ranges import Range, pieces
from smki.publish.wire import CHUNK, Request, RequestRefusedError, Wire, read_request, text_field

_ODD = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def remote_sha256(
    sftp: SFTPClient, path: str, on_the_way: Callable[[], None] = lambda: None, size: int | None = None
) -> str:
    """SHA-256 (hex) of a remote file, or of its first `size` bytes. Call it inside `site_errors`.

    `on_the_way` is called after each piece; what it raises ends the reading, and the session.
    """
    digest = hashlib.sha256()

    def consume(piece: memoryview) -> None:
        digest.update(piece)
        on_the_way()

    with sftp.open(path, "rb") as remote:
        read_ranges(sftp, remote, [Range(0, remote.stat().st_size or 0 if size is None else size)], consume)
    return digest.hexdigest()


def read_file(sftp: SFTPClient, path: str, size: int) -> bytes:
    """The first `size` bytes of a remote file, which has them. Call it inside `site_errors`."""
    content = bytearray()
    with sftp.open(path, "rb") as remote:
        read_ranges(sftp, remote, [Range(0, size)], content.extend)
    return bytes(content)


def read_ranges(
    sftp: SFTPClient, remote: SFTPFile, ranges: Sequence[Range], consume: Callable[[memoryview], object]
) -> None:
    """Hands the bytes of ascending ranges to `consume`, in order, whatever the order and the sizes of the answers."""
    handle = handle_of(remote)
    asked = pieces(ranges, CHUNK)
    left_out: list[Request] = []  # the rest of what an answer gave only a part of
    early: dict[int, memoryview] = {}  # offset → bytes that came before their turn
    turns = deque(one for one in ranges if one.length)
    turn = turns[0].start if turns else 0  # offset of the bytes that are consumed next

    def next_request() -> Request | None:
        if left_out:
            return left_out.pop()
        piece = next(asked, None)
        return piece and read_request(handle, piece.start, piece.length)

    def answered(request: Request, fields: memoryview) -> None:
        nonlocal turn
        data = fields[4:]  # after the length of the string
        if len(fields) < 4 or int.from_bytes(fields[:4]) != len(data) or not 0 < len(data) <= request.length:
            raise SFTPError(f"{len(data)} bytes came for a request of {request.length}")
        if len(data) < request.length:
            left_out.append(read_request(handle, request.offset + len(data), request.length - len(data)))
        early[request.offset] = data
        while (here := early.pop(turn, None)) is not None:
            consume(here)
            turn += len(here)
            if turn == turns[0].end:
                turns.popleft()
                turn = turns[0].start if turns else 0

    Wire(sftp).exchange(next_request, answered)


def handle_of(remote: SFTPFile) -> bytes:
    """The server's handle of an open file; the stubs of paramiko have another type for it."""
    return cast("bytes", remote.handle)


@dataclass(frozen=True, slots=True)
class RemoteEntry:
    """What a folder lists under one name."""

    name: str  # as it is; bytes that are not UTF-8 are escaped, so such a name shows and matches nothing of ours
    bytes: int
    mode: int  # type and rights, as `stat` has them
    modified_at: int  # s since 1970

    @property
    def odd(self) -> str:
        """What it is, where it is no file; opening a named pipe would wait for its writer."""
        return odd_type(self.mode)


def odd_type(mode: int) -> str:
    """What has this mode, where it is no file; empty where the server does not tell."""
    return _ODD.get(stat.S_IFMT(mode), "")


def list_folder(sftp: SFTPClient, folder: str) -> list[RemoteEntry]:
    """All entries of a remote folder but `.` and `..`. Call it inside `site_errors`.

    paramiko's own listing fails for the whole folder when one name is not UTF-8.
    """
    wire, found = Wire(sftp), list[RemoteEntry]()
    try:
        handle = Message(wire.ask(CMD_OPENDIR, text_field(folder))).get_binary()
    except RequestRefusedError as refused:
        raise OSError(refused.errno, refused.strerror) from refused  # of the subclass that the number has
    try:
        while True:
            answer = Message(wire.ask(CMD_READDIR, text_field(handle)))
            for _ in range(answer.get_int()):
                entry = _read_entry(answer)
                if not entry.name:
                    raise SFTPError("an answer states more names than it has")
                if entry.name not in (".", ".."):
                    found.append(entry)
    except RequestRefusedError as refused:
        if refused.code != SFTP_EOF:
            raise
    wire.ask(CMD_CLOSE, text_field(handle))
    return found


def _read_entry(answer: Message) -> RemoteEntry:
    """One entry of an answer (draft-ietf-secsh-filexfer-02, 5 and 7)."""
    name = answer.get_binary().decode("utf-8", "backslashreplace")
    answer.get_binary()  # the line that `ls -l` would print
    flags = answer.get_int()
    size = answer.get_int64() if flags & 0x1 else 0
    if flags & 0x2:  # user and group
        answer.get_bytes(8)
    mode = answer.get_int() if flags & 0x4 else 0
    modified_at = [answer.get_int(), answer.get_int()][1] if flags & 0x8 else 0
    if flags & 0x80000000:
        for _ in range(2 * answer.get_int()):
            answer.get_binary()
    return RemoteEntry(name, size, mode, modified_at)
