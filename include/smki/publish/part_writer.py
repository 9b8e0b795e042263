"""Bytes to a server: a windowed writer that goes on where an earlier try stopped.

Rules: every answer is read; a refused write is never overlooked. A part that an earlier try left is continued if its
end equals ours, otherwise it is replaced. Only the hash of what is read back says whether the whole file arrived.

Errors of the connection leave these functions as paramiko raises them: call them inside `site_errors`.
"""

import hashlib
import logging
import posixpath
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from paramiko import SFTPClient, SFTPFile
from paramiko.sftp import SFTP_PERMISSION_DENIED

from smki.errors import SiteFullError, StagingError, UploadDamagedError
from smki.processes import Progress
from smki.publish.readback import handle_of, read_range
from smki.publish.wire import CHUNK, WINDOW, Request, RequestRefusedError, Wire, write_request

log = logging.getLogger(__name__)

PROGRESS_BYTES = 32_000_000  # at least so far apart are the calls of a Progress on the way

_STATVFS = struct.Struct(">5Q")  # how an answer to statvfs@openssh.com begins

# A write that was refused while later ones succeeded leaves a hole no further from the end than this.
OVERLAP_BYTES = WINDOW * CHUNK


def upload(sftp: SFTPClient, local: Path, part: str, progress: Progress) -> None:
    """Puts the bytes of `local` into the remote file `part`, from where an earlier try stopped.

    `progress` hears how many bytes the server has confirmed: at the start (what was there already), on the way, and at
    the end. Raises SiteFullError
    before the first byte when the server says that there is no room, and when it runs out of room; UploadDamagedError
    when it refuses a write for another reason; StagingError when `local` cannot be read.
    """
    with _open_local(local) as source:
        total = local_bytes(local)
        start = _resume(sftp, local, source, part)
        _need_room(sftp, part, total - start)
        with sftp.open(part, "r+b" if start else "wxb") as target:
            try:
                _write(sftp, local, source, target, start, progress)
            except RequestRefusedError as refused:
                _raise_for_write(sftp, part, total, refused)


def sync(sftp: SFTPClient, part: str) -> None:
    """Has the server write the file through to its disk. One that cannot is named in the log.

    Some network filesystems behind a server have no fsync, and it says "Failure".
    """
    with sftp.open(part, "r+b") as target:
        try:
            Wire(sftp).extended("fsync@openssh.com", handle_of(target))
        except RequestRefusedError as refused:
            log.warning("no fsync part=%s answer=%s: only reading back proves the file", part, refused)


def local_sha256(local: Path) -> str:
    """SHA-256 (hex) of a local file. Raises StagingError."""
    with _open_local(local) as source, _staging_errors(local):
        return hashlib.file_digest(source, "sha256").hexdigest()


def local_bytes(local: Path) -> int:
    """Size of a local file. Raises StagingError."""
    with _staging_errors(local):
        return local.stat().st_size


def _write(sftp: SFTPClient, local: Path, source: FileIO, target: SFTPFile, start: int, progress: Progress) -> None:
    total = local_bytes(local)
    handle = handle_of(target)
    sent = confirmed = reported = start

    def next_request() -> Request | None:
        nonlocal sent
        if not (data := _read_local(local, source, sent, CHUNK)):
            return None
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


def _resume(sftp: SFTPClient, local: Path, source: FileIO, part: str) -> int:
    """Offset to go on from: the size of `part` if its end equals ours. Otherwise 0, and `part` is gone."""
    try:
        size = sftp.stat(part).st_size or 0
    except FileNotFoundError:
        return 0
    start = max(0, size - OVERLAP_BYTES)
    there = bytearray()
    if 0 < size <= local_bytes(local):
        with sftp.open(part, "rb") as remote:
            read_range(sftp, remote, start, size, there.extend)
    if there and there == _read_local(local, source, start, size - start):
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


def _read_local(local: Path, source: FileIO, offset: int, length: int) -> bytes:
    with _staging_errors(local):
        source.seek(offset)
        return source.read(length)


@contextmanager
def _open_local(local: Path) -> Iterator[FileIO]:
    with _staging_errors(local):
        source = FileIO(local)
    with source:
        yield source


@contextmanager
def _staging_errors(local: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StagingError(
            str(local),
            f"it has to be readable until it is published ({error}).",
            next_step="see whether the staging area is mounted; if the file is gone, produce it again.",
        ) from error
