"""Bytes to a server: a windowed writer that goes on where an earlier try stopped.

Rules: every answer is read; a refused write is never overlooked. A part that an earlier try left is continued if its
end equals ours, otherwise it is replaced. Only the hash of what is read back says whether the whole file arrived.

Errors of the connection leave these functions as paramiko raises them: call them inside `site_errors`.
"""

import logging
import posixpath
import struct

from paramiko import SFTPClient, SFTPFile
from paramiko.sftp import SFTP_PERMISSION_DENIED

from smki.errors import SiteFullError, UploadDamagedError
from smki.processes import Progress
from smki.publish.readback import handle_of, read_range
from smki.publish.wire import CHUNK, WINDOW, Request, RequestRefusedError, Wire, write_request
from smki.store.content import Content

log = logging.getLogger(__name__)

_READ = 8 << 20  # bytes of the content that are read at once
PROGRESS_BYTES = 32_000_000  # at least so far apart are the calls of a Progress on the way

_STATVFS = struct.Struct(">5Q")  # how an answer to statvfs@openssh.com begins

# A write that was refused while later ones succeeded leaves a hole no further from the end than this.
OVERLAP_BYTES = WINDOW * CHUNK


def upload(sftp: SFTPClient, content: Content, part: str, progress: Progress) -> None:
    """Puts the bytes of `content` into the remote file `part`, from where an earlier try stopped.

    `progress` hears how many bytes the server has confirmed: at the start (what was there already), on the way, and at
    the end. Raises SiteFullError
    before the first byte when the server says that there is no room, and when it runs out of room; UploadDamagedError
    when it refuses a write for another reason; StoreError when `content` cannot be read.
    """
    start = _resume(sftp, content, part)
    _need_room(sftp, part, content.size - start)
    with sftp.open(part, "r+b" if start else "wxb") as target:
        try:
            _write(sftp, content, target, start, progress)
        except RequestRefusedError as refused:
            _raise_for_write(sftp, part, content.size, refused)


def sync(sftp: SFTPClient, part: str) -> None:
    """Has the server write the file through to its disk. One that cannot is named in the log.

    Some network filesystems behind a server have no fsync, and it says "Failure".
    """
    with sftp.open(part, "r+b") as target:
        try:
            Wire(sftp).extended("fsync@openssh.com", handle_of(target))
        except RequestRefusedError as refused:
            log.warning("no fsync part=%s answer=%s: only reading back proves the file", part, refused)


def _write(sftp: SFTPClient, content: Content, target: SFTPFile, start: int, progress: Progress) -> None:
    total = content.size
    handle = handle_of(target)
    sent = confirmed = reported = start
    buffer, used = b"", 0

    def next_request() -> Request | None:
        nonlocal sent, buffer, used
        if used == len(buffer):
            buffer, used = content.read(sent, _READ), 0
        if not (data := buffer[used : used + CHUNK]):
            return None
        used += len(data)
        request = write_request(handle, sent, data)
        sent += len(data)
        return request

    def answered(request: Request, _: memoryview) -> None:
        nonlocal confirmed, reported
        confirmed += request.length
        if confirmed - reported >= PROGRESS_BYTES:
            reported = confirmed
            progress(confirmed, total)

    progress(start, total)
    Wire(sftp).exchange(next_request, answered)
    progress(confirmed, total)


def _resume(sftp: SFTPClient, content: Content, part: str) -> int:
    """Offset to go on from: the size of `part` if its end equals ours. Otherwise 0, and `part` is gone."""
    try:
        size = sftp.stat(part).st_size or 0
    except FileNotFoundError:
        return 0
    start = max(0, size - OVERLAP_BYTES)
    there = bytearray()
    if 0 < size <= content.size:
        with sftp.open(part, "rb") as remote:
            read_range(sftp, remote, start, size, there.extend)
    if there and there == content.read(start, size - start):
        log.info("upload resumed part=%s from=%d", part, size)
        return size
    log.info("upload started over part=%s bytes=%d", part, size)
    sftp.remove(part)
    return 0


def _need_room(sftp: SFTPClient, part: str, needed: int) -> None:
    free = _free_bytes(sftp, part)
    if free is not None and free < needed:
        raise SiteFullError(part, f"{needed} bytes have to fit, and the server has room for {free}.")


def _raise_for_write(sftp: SFTPClient, part: str, total: int, refused: RequestRefusedError) -> None:
    if refused.code == SFTP_PERMISSION_DENIED:
        raise refused
    free = _free_bytes(sftp, part)
    words = refused.strerror or "no reason given"
    # OpenSSH says "Failure" for everything, so its room decides; of a quota only the words of other servers tell.
    full = (free is not None and free < total - refused.offset) or "space" in words.lower() or "quota" in words.lower()
    if full:
        raise SiteFullError(
            part, f"{total} bytes have to fit; the server refused those at {refused.offset} ({words})."
        ) from refused
    raise UploadDamagedError(
        part,
        f"the server refused the bytes at {refused.offset} of {total} ({words}), though it has room ({free} bytes).",
    ) from refused


def _free_bytes(sftp: SFTPClient, part: str) -> int | None:
    """Room for an ordinary user in the folder of `part`; None when the server does not tell."""
    try:
        answer = Wire(sftp).extended("statvfs@openssh.com", posixpath.dirname(part) or ".")
    except RequestRefusedError:
        return None
    if len(answer) < _STATVFS.size:
        return None
    _, fragment_bytes, fragments, _, available = _STATVFS.unpack_from(answer)
    if not fragments and not available:  # a filesystem without a size, as object storage has none
        return None
    return int(fragment_bytes * available)
