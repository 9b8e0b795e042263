"""How one file gets its final name on a site: whole, as it was judged, and never over one that it may not replace.

What goes over the wire when nothing has gone wrong before; the two lines around it are the ledger's (`ledger`):

  PostgreSQL: lock the site · history of the name, the gate's word, record the artefact · commit

    STAT final · STAT folder · STAT .part · STATVFS · OPEN .part w,excl · WRITE×n · CLOSE
    OPEN .part r+ · FSYNC · CLOSE
    OPEN .part r · FSTAT · READ×n · CLOSE
    STAT final · POSIX-RENAME · STAT final

  PostgreSQL: record the publication · commit · unlock the site

`publish_file` takes these steps. Below each stands what a crash, or an answer that is lost, leaves behind; the next try
starts at step 1 and comes right from there.

1. Look at the final name. If a file stands there, read it back: with an accepted hash the work is done; with the hash
   of a file that this one replaces, or with content that it follows, it goes on; any other refuses the publication.
   → the server is as it was
2. Create the folder if it is missing (one level).
   → an empty folder
3. Upload into `.NAME.part` beside the final name.
   → a part, which the next try goes on with
4. Have it synced to the server's disk. If the server refuses, the log says so, and step 5 alone proves the file.
   → a whole part, of which nothing is sent again
5. Read it back and hash it. With another hash it is removed, and the content's own hash tells who is to blame.
   → a whole part, or none
6. Look at the final name again: an upload takes minutes.
   → a whole part
7. Rename, atomically; readers see no file (or the replaced one), or the whole file.
   → a whole part, or the file under its final name
8. Look at what has the final name.
   → the file under its final name

Step 5 hashes what the server holds. So nothing has to be trusted: not that the local file is still the one that was
judged, not what an earlier try left, not the writer.

Not covered: a power failure of the server. Where it refuses fsync, the bytes that step 5 read may have come from its
memory. The rename itself is never synced: SFTP has no fsync of a folder.
After such a failure the file may be gone, or be damaged under its final name; the auditor finds both.
"""

import hashlib
import logging
import posixpath
import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass

from paramiko import SFTPClient
from paramiko.sftp import SFTP_FAILURE, SFTP_OP_UNSUPPORTED

from smki.errors import (
    ConfigurationError,
    PublicationRefusedError,
    SiteFullError,
    TransportError,
    UploadDamagedError,
    VerificationError,
)
from smki.processes import Progress
from smki.publish.part_writer import sync, upload
from smki.publish.readback import remote_sha256
from smki.publish.site import SftpSession, site_errors
from smki.publish.wire import RequestRefusedError, Wire
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


Follows = Callable[[bytes], bool]  # takes what is in a small file

_SMALL = 64 << 20  # bytes; beyond them nobody asks what is in an unknown file


@dataclass(frozen=True, slots=True)
class KnownFiles:
    """SHA-256 values (hex) of what may stand under the final name already; anything else there is somebody else's."""

    equal: Collection[str] = ()  # other files with the same content: the work is done
    replaceable: Collection[str] = ()  # files that the new one takes the place of
    follows: Follows | None = None  # whether the new one follows a file that is neither


_NONE_KNOWN = KnownFiles()


def part_path(folder: str, name: str) -> str:
    """Where a file is until it is whole: hidden, and on the filesystem of its final name."""
    return posixpath.join(folder, f".{name}.part")


def publish_file(
    sftp: SftpSession,
    content: Content,
    name: str,
    folder: str,
    sha256: str,
    progress: Progress,
    known: KnownFiles = _NONE_KNOWN,
) -> PublishedFile:
    """Publishes `content`, whose judged SHA-256 (hex) is `sha256`, as `folder/name`.

    A file that stands there already is accepted with that hash, or as `known` says. Raises PublicationRefusedError,
    VerificationError (the content is not the judged one any more), UploadDamagedError, SiteFullError,
    SiteUnavailableError, StoreError, and ConfigurationError when the site lacks a right or an extension.
    """
    final = posixpath.join(folder, name)
    part = part_path(folder, name)
    with site_errors(final):
        if found := _find_published(sftp, final, sha256, known):
            return found
        _need_folder(sftp, folder)
        _upload(sftp, content, part, progress)
        sync(sftp, part)
        _need_hash(sftp, part, content, sha256)
        if found := _find_published(sftp, final, sha256, known):
            sftp.remove(part)
            return found
        _rename(sftp, part, final)
        published = PublishedFile(final, _need_size(sftp, final, content), sha256, already_there=False)
    log.info("file published path=%s bytes=%d sha256=%s", final, published.bytes, sha256)
    return published


def _find_published(sftp: SFTPClient, final: str, sha256: str, known: KnownFiles) -> PublishedFile | None:
    """What has the final name already; none where the upload may go on."""
    try:
        size = sftp.stat(final).st_size or 0
    except FileNotFoundError:
        return None
    found = remote_sha256(sftp, final)
    if found in known.replaceable:
        return None
    if found != sha256 and found not in known.equal and known.follows is not None and size <= _SMALL:
        with sftp.open(final, "rb") as remote:
            content = remote.read(_SMALL)
        if hashlib.sha256(content).hexdigest() == found and known.follows(content):
            log.warning("file unknown to the ledger is replaced by its successor path=%s sha256=%s", final, found)
            return None
    if found != sha256 and found not in known.equal:
        raise PublicationRefusedError(
            final,
            f"the server already has another file under this name (SHA-256 {found}).",
            next_step="find out where it comes from, have it moved away and kept, then try again.",
        )
    log.info("file already there path=%s bytes=%d sha256=%s", final, size, found)
    return PublishedFile(final, size, found, already_there=True)


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


def _upload(sftp: SFTPClient, content: Content, part: str, progress: Progress) -> None:
    try:
        upload(sftp, content, part, progress)
    except SiteFullError:
        # A full disk also stops what others write; our half of a file is not to keep it full.
        _remove_if_there(sftp, part)
        raise


def _need_hash(sftp: SFTPClient, part: str, content: Content, sha256: str) -> None:
    found = remote_sha256(sftp, part)
    if found == sha256:
        return
    sftp.remove(part)
    if content.sha256() != sha256:
        raise VerificationError(
            content.name,
            f"it is not the file that was judged: its SHA-256 is no longer {sha256}.",
            next_step="find out what changed it in the store, then produce and verify it again.",
        )
    raise UploadDamagedError(part, f"what the server gives back (SHA-256 {found}) is not what was sent.")


def _rename(sftp: SftpSession, part: str, final: str) -> None:
    try:
        Wire(sftp).extended(_RENAME, part, final)
    except RequestRefusedError as refused:
        waits = "The whole file waits beside its name."
        if refused.code == SFTP_OP_UNSUPPORTED or _RENAME not in sftp.offered:
            raise ConfigurationError(
                final, f"the server does not offer {_RENAME}.", waits, "have the extension enabled on the server."
            ) from refused
        if refused.code != SFTP_FAILURE:
            raise
        raise TransportError(
            final,
            f"the server refused {_RENAME}, which it offers ({refused}).",
            waits,
            "try again; if it comes back, see in the server's log what keeps it from renaming.",
        ) from refused


def _need_size(sftp: SFTPClient, final: str, content: Content) -> int:
    size = sftp.stat(final).st_size or 0
    if size != (expected := content.size):
        raise UploadDamagedError(
            final,
            f"{expected} bytes have its name, and the server shows {size}.",
            "A damaged file may stand under the final name.",
            "have the file on the server looked at now; others write there.",
        )
    return size


def _remove_if_there(sftp: SFTPClient, part: str) -> None:
    try:
        sftp.remove(part)
    except FileNotFoundError:
        log.debug("nothing to remove path=%s", part)
