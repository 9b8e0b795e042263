"""How one file gets its final name on a site: whole, as it was judged, and never over one that it may not replace.

What goes over the wire when nothing has gone wrong before; the two lines around it are the ledger's (`ledger`):

  PostgreSQL: lock the site · history of the name, the gate's word, record the artefact · commit

    STAT final · STAT folder · STAT .part · STATVFS · OPEN .part w,excl · WRITE×n · CLOSE
    OPEN .part r · FSTAT · READ×n · CLOSE
    OPEN .part r+ · FSETSTAT · FSYNC · CLOSE
    STAT final · POSIX-RENAME · STAT final

  PostgreSQL: record the publication · commit · unlock the site

Where the server has pages of it in another file (`copying`), those are not sent:

    STAT final · STAT folder · OPEN old r · FSTAT · STAT .part · STATVFS · OPEN .part w,excl · WRITE×n · CLOSE
    OPEN .part r+ · COPY-DATA×n · CLOSE×n
    OPEN .part r · READ×n · CLOSE
    OPEN .part r+ · FSETSTAT · FSYNC · CLOSE
    STAT final · POSIX-RENAME · STAT final

`publish_file` takes these steps. Below each stands what a crash, or an answer that is lost, leaves behind; the next try
starts at step 1 and comes right from there.

1. Look at the final name. If a file stands there, read it back: with an accepted hash the work is done; with the hash
   of a file that this one replaces, or with content that it follows, it goes on, and so it does with our own file that
   the server copied wrongly; any other refuses the publication.
   → the server is as it was
2. Create the folder if it is missing (one level).
   → an empty folder
3. Send what has to be sent into `.NAME.part` beside the final name; then have the server copy the rest.
   → a part, which the next try goes on with: it sends what is missing, and copies all again
4. Read it back. With other bytes it is removed, and the content's own hash tells who is to blame; where an earlier try
   had begun it, the same call sends everything before it blames anybody.
   → a whole part, of which nothing is sent again, or none
5. Let everybody read it, and have it synced to the server's disk. What the server refuses, the log says.
   → a whole part
6. Look at the final name again: an upload takes minutes.
   → a whole part
7. Rename, atomically; readers see no file (or the replaced one), or the whole file. A server without posix-rename gets
   the plain one, which replaces nothing: enough for a name that nothing has.
   → a whole part, or the file under its final name
8. Look at what has the final name.
   → the file under its final name

Step 4 looks at what the server holds. So nothing has to be trusted: not that the content is still the one that was
judged, not what an earlier try left, not the writer. It reads

* everything, and wants the judged hash. Where that is not found although pages were copied, the copies are not to be
  trusted: the same call sends everything.
* of a file with copies, only what was sent, and holds each page against the manifest: where every page of the file that
  was copied from was known to be right (`readings`), and that file has the size and time that it had then. The auditor
  reads the copies within a day.

Not covered: in the second case, a server that copies wrongly, until the auditor has read the copies. It then opens a
finding; the same artefact, published again, is sent and read back whole, and takes the place of the wrong file.
Nor a power failure of the server: where it refuses fsync, the bytes that step 4 read may have come from its memory. The
rename itself is never synced: SFTP has no fsync of a folder. After such a failure the file may be gone, or be damaged
under its final name; the auditor finds both.
"""

import hashlib
import logging
import posixpath
import stat
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from paramiko import SFTPClient
from paramiko.sftp import CMD_RENAME, SFTP_FAILURE, SFTP_OP_UNSUPPORTED

from smki.errors import (
    ConfigurationError,
    PublicationRefusedError,
    SiteFullError,
    SmkiError,
    TransportError,
    UploadDamagedError,
    VerificationError,
)
from smki.processes import Progress
from smki.publish.copying import CopySource
from smki.publish.page_reading import find_wrong_pages
from smki.publish.part_writer import copy, finish, upload
from smki.publish.ranges import Range, total_bytes
from smki.publish.readback import odd_type, remote_sha256
from smki.publish.site import SftpSession, site_errors
from smki.publish.wire import COPY_DATA, RequestRefusedError, Wire, text_field
from smki.store.content import Content

log = logging.getLogger(__name__)
_RENAME = "posix-rename@openssh.com"


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file under its final name, as read back."""

    path: str  # on the server
    bytes: int
    sha256: str  # hex, of what the server holds
    already_there: bool  # an earlier try had finished the work
    modified_at: int = 0  # s since 1970, as the server states it; 0: it was not asked
    copied: int = 0  # bytes that the server copied from another file
    unread: tuple[int, ...] = ()  # places of pages that nobody has read back


Follows = Callable[[bytes], bool]  # takes what is in a small file

_SMALL = 64 << 20  # bytes; beyond them nobody asks what is in an unknown file


@dataclass(frozen=True, slots=True)
class KnownFiles:
    """What may stand under the final name already, mostly by SHA-256 (hex); anything else there is somebody else's."""

    equal: Collection[str] = ()  # other files with the same content: the work is done
    replaceable: Collection[str] = ()  # files that the new one takes the place of
    follows: Follows | None = None  # whether the new one follows a file that is neither
    copied: tuple[int, int] | None = None  # size and time (s) of our own file that the server made by copying in part


_NONE_KNOWN = KnownFiles()


def part_path(final: str) -> str:
    """Where a file is until it is whole: hidden, and on the filesystem of its final name."""
    folder, name = posixpath.split(final)
    return posixpath.join(folder, f".{name}.part")


def publish_file(
    sftp: SftpSession,
    content: Content,
    final: str,
    sha256: str,
    progress: Progress,
    known: KnownFiles = _NONE_KNOWN,
    source: CopySource | None = None,
) -> PublishedFile:
    """Publishes `content`, whose judged SHA-256 (hex) is `sha256`, under the path `final`, with copies of `source`.

    A file that stands there already is accepted with that hash, or as `known` says. Raises PublicationRefusedError,
    VerificationError (the content is not the judged one any more), UploadDamagedError, SiteFullError,
    SiteUnavailableError, StoreError, and ConfigurationError when the site lacks a right or an extension.
    """
    part = part_path(final)
    with site_errors(final):
        if found := _find_published(sftp, final, sha256, known):
            return found
        _need_folder(sftp, posixpath.dirname(final))
        put = _put_with_copies(sftp, content, part, sha256, progress, source) if source else None
        put = put or _put_whole(sftp, content, part, sha256, progress)
        finish(sftp, part)
        if found := _find_published(sftp, final, sha256, known):
            sftp.remove(part)
            return found
        _rename(sftp, part, final)
        modified_at = _look(sftp, final, content.size)
    sent = content.size - put.copied
    log.info("file published path=%s sha256=%s bytes_sent=%d bytes_copied=%d", final, sha256, sent, put.copied)
    return PublishedFile(
        path=final,
        bytes=content.size,
        sha256=sha256,
        already_there=False,
        modified_at=modified_at,
        copied=put.copied,
        unread=put.unread,
    )


def _find_published(sftp: SFTPClient, final: str, sha256: str, known: KnownFiles) -> PublishedFile | None:
    """What has the final name already; none where the upload may go on."""
    try:
        stands = sftp.stat(final)
    except FileNotFoundError:
        return None
    if odd := odd_type(stands.st_mode or 0):
        raise PublicationRefusedError(
            final,
            f"on the server {odd} has this name, no file.",
            next_step="find out where it comes from, have it moved away, then try again.",
        )
    size, modified_at = stands.st_size or 0, stands.st_mtime or 0
    found = remote_sha256(sftp, final)
    if found in known.replaceable:
        return None
    if found == sha256 or found in known.equal:
        log.info("file already there path=%s bytes=%d sha256=%s", final, size, found)
        return PublishedFile(final, size, found, already_there=True, modified_at=modified_at)
    if (size, modified_at) == known.copied:
        log.warning("file that the server copied wrongly is replaced path=%s sha256=%s", final, found)
        return None
    if known.follows is not None and size <= _SMALL:
        with sftp.open(final, "rb") as remote:
            content = remote.read(_SMALL)
        if hashlib.sha256(content).hexdigest() == found and known.follows(content):
            log.warning("file unknown to the ledger is replaced by its successor path=%s sha256=%s", final, found)
            return None
    raise PublicationRefusedError(
        final,
        f"the server already has another file under this name (SHA-256 {found}).",
        next_step="find out where it comes from, have it moved away and kept, then try again.",
    )


def _need_folder(sftp: SFTPClient, folder: str) -> None:
    try:
        if stat.S_ISDIR(sftp.stat(folder).st_mode or 0):
            return
        found = "something else has its name"
    except FileNotFoundError:
        try:
            sftp.mkdir(folder)
        except FileNotFoundError:
            found = "the folder above it is missing too"
        else:
            log.info("folder created path=%s", folder)
            return
    raise ConfigurationError(
        folder,
        f"the site's folder has to exist, and {found}.",
        next_step="have the folder made on the server, or correct it in user_guide.toml.",
    )


@dataclass(frozen=True, slots=True)
class _Put:
    """How the part came to be right."""

    copied: int = 0  # bytes
    unread: tuple[int, ...] = ()


def _put_whole(sftp: SFTPClient, content: Content, part: str, sha256: str, progress: Progress) -> _Put:
    resumed = _upload(sftp, content, part, [Range(0, content.size)], progress)
    found = remote_sha256(sftp, part)
    if resumed and found != sha256:
        _remove_resumed(sftp, part)
        _upload(sftp, content, part, [Range(0, content.size)], progress)
        found = remote_sha256(sftp, part)
    if found != sha256:
        raise _damaged(sftp, part, content, sha256, f"SHA-256 {found}")
    return _Put()


def _put_with_copies(
    sftp: SftpSession, content: Content, part: str, sha256: str, progress: Progress, source: CopySource
) -> _Put | None:
    """None, and no part, where the server cannot copy from that file or has copied wrongly, or resuming went wrong."""
    if COPY_DATA not in sftp.offered:
        return None
    try:
        old = sftp.open(source.path, "rb")
    except (FileNotFoundError, PermissionError) as error:
        log.warning("nothing is copied part=%s source=%s error=%s", part, source.path, error)
        return None
    with old:
        stands = old.stat()
        if stands.st_size != source.bytes:
            log.warning("nothing is copied part=%s source=%s bytes=%s", part, source.path, stands.st_size)
            return None
        resumed = _upload(sftp, content, part, source.sent, progress)
        try:
            copy(sftp, old, part, source.ranges, progress, content.size)
        except RequestRefusedError as refused:
            log.warning("copying refused part=%s source=%s answer=%s: all is sent", part, source.path, refused)
            sftp.remove(part)
            return None
    copied = content.size - total_bytes(source.sent)
    if stands.st_mtime == source.whole_at:
        if wrong := find_wrong_pages(sftp, part, source.manifest, np.flatnonzero(~source.copied)):
            if resumed:
                _remove_resumed(sftp, part)
                return None
            raise _damaged(sftp, part, content, sha256, f"{len(wrong)} wrong pages")
        return _Put(copied, tuple(np.flatnonzero(source.copied).tolist()))
    if remote_sha256(sftp, part) == sha256:
        return _Put(copied)
    log.warning("copied wrongly part=%s source=%s: all is sent", part, source.path)
    sftp.remove(part)
    return None


def _remove_resumed(sftp: SFTPClient, part: str) -> None:
    log.warning("what an earlier try left is damaged part=%s: all is sent", part)
    sftp.remove(part)


def _upload(sftp: SFTPClient, content: Content, part: str, ranges: Sequence[Range], progress: Progress) -> bool:
    try:
        return upload(sftp, content, part, ranges, progress)
    except SiteFullError:
        # A full disk also stops what others write; our half of a file is not to keep it full.
        with suppress(FileNotFoundError):
            sftp.remove(part)
        raise


def _damaged(sftp: SFTPClient, part: str, content: Content, sha256: str, found: str) -> SmkiError:
    """The error of a part that is not what was judged; the part is removed."""
    sftp.remove(part)
    if content.sha256() != sha256:
        return VerificationError(
            content.name,
            f"it is not the file that was judged: its SHA-256 is no longer {sha256}.",
            next_step="find out what changed it in the store, then produce and verify it again.",
        )
    return UploadDamagedError(part, f"what the server gives back ({found}) is not what was sent.")


def _rename(sftp: SftpSession, part: str, final: str) -> None:
    try:
        Wire(sftp).extended(_RENAME, part, final)
    except RequestRefusedError as refused:
        if _rename_to_free_name(sftp, part, final):
            log.warning("no %s path=%s answer=%s: renamed plainly, as nothing had the name", _RENAME, final, refused)
            return
        waits = "The whole file waits beside its name."
        if refused.code == SFTP_OP_UNSUPPORTED or _RENAME not in sftp.offered:
            raise ConfigurationError(
                final,
                f"the server does not offer {_RENAME}, without which no file replaces another.",
                waits,
                "have the extension enabled on the server.",
            ) from refused
        if refused.code != SFTP_FAILURE:
            raise
        raise TransportError(
            final,
            f"the server refused {_RENAME}, which it offers ({refused}).",
            waits,
            "try again; if it comes back, see in the server's log what keeps it from renaming.",
        ) from refused


def _rename_to_free_name(sftp: SFTPClient, part: str, final: str) -> bool:
    try:
        sftp.lstat(final)
    except FileNotFoundError:
        pass
    else:
        return False
    try:
        Wire(sftp).ask(CMD_RENAME, text_field(part) + text_field(final))
    except RequestRefusedError as refused:
        log.info("rename refused path=%s answer=%s", final, refused)
        return False
    return True


def _look(sftp: SFTPClient, final: str, expected: int) -> int:
    """The time (s since 1970) of what has the final name, which has to be as long as expected.

    The log says where its mode keeps Parties from reading it; the auditor looks as one of them.
    """
    stands = sftp.stat(final)
    if stands.st_mode and not stands.st_mode & stat.S_IROTH:
        log.warning("Parties may not read it path=%s mode=%o", final, stat.S_IMODE(stands.st_mode))
    if stands.st_size != expected:
        raise UploadDamagedError(
            final,
            f"{expected} bytes have its name, and the server shows {stands.st_size}.",
            "A damaged file may stand under the final name.",
            "have the file on the server looked at now; others write there.",
        )
    return stands.st_mtime or 0
