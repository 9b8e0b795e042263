"""Bytes to a server: a windowed writer that goes on where an earlier try stopped, and copies of what the server has.

Rules: every answer is read; a refused write is never overlooked. What has to be sent is sent first and in the file's
order, so that the size of a part that an earlier try left says how far that one came; it is continued if the last sent
bytes in it equal ours, otherwise it is replaced. A hole before them, only reading back finds. What is copied is copied
after that, and anew by each try. Only what is read back says whether the whole file arrived.

Errors of the connection leave these functions as paramiko raises them: call them inside `site_errors`.
"""

import logging
import posixpath
import struct
from collections.abc import Iterator, Sequence

from paramiko import SFTPClient, SFTPFile
from paramiko.sftp import CMD_FSETSTAT, SFTP_PERMISSION_DENIED

from smki.errors import SiteFullError, UploadDamagedError
from smki.processes import Progress
from smki.publish.ranges import Range, last_bytes, pieces, split_at, total_bytes
from smki.publish.readback import handle_of, read_ranges
from smki.publish.wire import (
    CHUNK,
    WINDOW,
    Request,
    RequestRefusedError,
    Wire,
    copy_request,
    text_field,
    write_request,
)
from smki.store.content import Content

log = logging.getLogger(__name__)

_READ = 8 << 20  # bytes of the content that are read at once
_COPY = 16 << 20  # bytes that are copied by one request: its answer may take long on a slow disk
PROGRESS_BYTES = 32_000_000  # at least so far apart are the calls of a Progress on the way
MODE = 0o644  # Parties read

_STATVFS = struct.Struct(">5Q")  # how an answer to statvfs@openssh.com begins
_PERMISSIONS = 0x4  # the flag that says that attributes hold them

# A write that was refused while later ones succeeded leaves a hole no further than this from the end of what was sent.
OVERLAP_BYTES = WINDOW * CHUNK


def upload(sftp: SFTPClient, content: Content, part: str, ranges: Sequence[Range], progress: Progress) -> bool:
    """Sends ascending ranges of `content` into the remote file `part`; whether it went on where an earlier try stopped.

    The first range begins with the first byte, the last one ends with the last. `progress` hears how many bytes the
    server has confirmed: at the start (what was there already), on the way, and at the end. Raises SiteFullError before
    the first byte when the server says that there is no room, and when it runs out of room; UploadDamagedError when it
    refuses a write for another reason; StoreError when `content` cannot be read.
    """
    start = _resume(sftp, content, part, ranges)
    there, to_send = split_at(ranges, start)
    done = total_bytes(there)
    _need_room(sftp, part, content.size - done)
    with sftp.open(part, "r+b" if start else "wxb") as target:
        handle = handle_of(target)
        requests = (write_request(handle, at, data) for at, data in _read_chunks(content, to_send))
        try:
            _exchange(sftp, requests, progress, done, content.size)
        except RequestRefusedError as refused:
            _raise_for_write(sftp, part, content.size, refused)
    return start > 0


def copy(sftp: SFTPClient, source: SFTPFile, part: str, ranges: Sequence[Range], progress: Progress, size: int) -> None:
    """Has the server copy those of a file's ranges that have a source into `part`, whose other ranges are there.

    `size` is the file's. Raises RequestRefusedError when the server refuses one; those that are under way may be done.
    """
    copied = [one for one in ranges if one.source is not None]
    with sftp.open(part, "r+b") as target:
        requests = (
            copy_request(handle_of(source), piece.source or 0, piece.length, handle_of(target), piece.start)
            for piece in pieces(copied, _COPY)
        )
        _exchange(sftp, requests, progress, size - total_bytes(copied), size)


def finish(sftp: SFTPClient, part: str) -> None:
    """Lets everybody read the file, and has the server write it through to its disk.

    What the server cannot do is named in the log: some network filesystems behind a server have no fsync, and it says
    "Failure"; some servers let nobody change a mode.
    """
    mode = struct.pack(">II", _PERMISSIONS, MODE)
    with sftp.open(part, "r+b") as target:
        handle, wire = text_field(handle_of(target)), Wire(sftp)
        try:
            wire.ask(CMD_FSETSTAT, handle + mode)
        except RequestRefusedError as refused:
            log.warning(
                "mode not set part=%s answer=%s: whether Parties may read it is the server's choice", part, refused
            )
        try:
            wire.extended("fsync@openssh.com", handle_of(target))
        except RequestRefusedError as refused:
            log.warning("no fsync part=%s answer=%s: only reading back proves the file", part, refused)


def _exchange(sftp: SFTPClient, requests: Iterator[Request], progress: Progress, done: int, size: int) -> None:
    """Sends requests; `progress` hears of `done` bytes, and of those that are confirmed after them."""
    confirmed = reported = done

    def answered(request: Request, _: memoryview) -> None:
        nonlocal confirmed, reported
        confirmed += request.length
        if confirmed - reported >= PROGRESS_BYTES:
            reported = confirmed
            progress(confirmed, size)

    progress(done, size)
    Wire(sftp).exchange(lambda: next(requests, None), answered)
    progress(confirmed, size)


def _read_chunks(content: Content, ranges: Sequence[Range]) -> Iterator[tuple[int, bytes]]:
    """The bytes of ranges, a request at a time, with their places in the file."""
    batch: list[Range] = []
    held = 0
    for piece in [*pieces(ranges, _READ), None]:
        if batch and (piece is None or held + piece.length > _READ):
            data, at = content.read_ranges([(one.start, one.length) for one in batch]), 0
            for chunk in pieces(batch, CHUNK):
                yield chunk.start, data[at : at + chunk.length]
                at += chunk.length
            batch, held = [], 0
        if piece is not None:
            batch.append(piece)
            held += piece.length


def _resume(sftp: SFTPClient, content: Content, part: str, ranges: Sequence[Range]) -> int:
    """Place in the file to go on from: the size of `part` if the last bytes that were sent to it equal ours.

    Otherwise 0, and `part` is gone.
    """
    try:
        size = sftp.stat(part).st_size or 0
    except FileNotFoundError:
        return 0
    there = bytearray()
    sent = last_bytes(split_at(ranges, size)[0], OVERLAP_BYTES)
    if 0 < size <= content.size:
        with sftp.open(part, "rb") as remote:
            read_ranges(sftp, remote, sent, there.extend)
    if there and there == content.read_ranges([(one.start, one.length) for one in sent]):
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
