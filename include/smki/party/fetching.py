"""Fetches files from a site into a folder on this machine; what an interruption leaves is gone on with."""

import hashlib
import posixpath
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from cryptography import x509
from paramiko import SFTPClient

from smki.party.pages import Changed, PageTable, read_table
from smki.party.planning import OfferedFile
from smki.party.refusals import Refusal, SyncRefusedError
from smki.party.signed_index import INDEX, SIGNATURE, SignedIndex, read_index
from smki.processes import Progress
from smki.publish.ranges import Range
from smki.publish.readback import list_folder, read_ranges
from smki.publish.site import Site, open_sftp, site_errors
from smki.store.local_files import disk_error

_PAUSES_S = (1.0, 3.0)  # before index and signature are read again
_MOST_SMALL = 64 << 20  # bytes


def fetch_index(site: Site, signers: Sequence[x509.Certificate]) -> SignedIndex:
    """The index that a pinned certificate signed. Raises SyncRefusedError, SiteUnavailableError and the like.

    Index and signature are replaced one after the other: what does not fit is read again.
    """
    for pause in _PAUSES_S:
        try:
            return read_index(_read_signed(site, INDEX), _read_signed(site, SIGNATURE), signers)
        except SyncRefusedError as error:
            if error.refusal is not Refusal.SIGNATURE:
                raise
        time.sleep(pause)
    return read_index(_read_signed(site, INDEX), _read_signed(site, SIGNATURE), signers)


def _read_signed(site: Site, name: str) -> bytes:
    """The index, or its signature. Raises SyncRefusedError where there is none."""
    if (content := _read_small(site, name)) is None:
        rule = f"a signer is pinned, and folder {site.folder} of the server, if it is the right one, has no such file."
        raise SyncRefusedError(Refusal.SIGNATURE, name, rule)
    return content


def _read_small(site: Site, name: str) -> bytes | None:
    """A small file of the site; None where there is none."""
    with open_sftp(site) as sftp, site_errors(f"{name} on site {site.name}"):
        try:
            with sftp.open(posixpath.join(site.folder, name), "rb") as remote:
                return remote.read(_MOST_SMALL)
        except FileNotFoundError:
            return None


def fetch_table(site: Site, file: OfferedFile) -> PageTable | None:
    """The page table of a full extract; None where the index states none, or it is gone or damaged.

    The file is fetched whole then. Raises SyncRefusedError, SiteUnavailableError and the like.
    """
    if file.pages is None or (content := _read_small(site, file.pages.name)) is None:
        return None
    try:
        return read_table(content, file)
    except SyncRefusedError as error:
        if error.refusal is Refusal.DAMAGED:
            return None
        raise


def fetch_pages(site: Site, file: OfferedFile, changed: Changed, folder: Path, progress: Progress) -> Path:
    """Fetches the changed pages of a full extract, one after the other into one file; where it lies.

    Raises SiteUnavailableError and the like, StoreError.
    """
    part = folder / f"{file.name}.changed"
    remote = _path(site, file)
    with (
        open_sftp(site) as sftp,
        _errors(site, file),
        _open(part, "wb") as out,
        sftp.open(remote, "rb") as stream,
    ):
        read_ranges(sftp, stream, changed.ranges(), _keep_in(out, part, changed.bytes, progress))
    return part


def list_extracts(site: Site) -> list[OfferedFile]:
    """The extracts that a site offers, by names and sizes; none where there is no such folder.

    Raises SiteUnavailableError and the like.
    """
    with open_sftp(site) as sftp, site_errors(f"site {site.name}, folder {site.folder}"):
        try:
            listed = list_folder(sftp, site.folder)
        except FileNotFoundError:
            return []
    return [file for entry in listed if not entry.odd and (file := OfferedFile.of(entry.name, entry.bytes))]


def fetch(site: Site, file: OfferedFile, folder: Path, progress: Progress) -> tuple[Path, str]:
    """Fetches a file; where it lies, and its SHA-256 (hex). `progress` hears bytes.

    Raises SyncRefusedError for a file of another size than was listed, SiteUnavailableError and the like, StoreError.
    """
    part = folder / file.name
    with open_sftp(site) as sftp, _errors(site, file):
        _go_on(sftp, _path(site, file), file.bytes, part, progress)
    try:
        with part.open("rb") as stream:
            size, sha256 = part.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise disk_error(part, error) from error
    if size != file.bytes:
        part.unlink()
        rule = f"{file.bytes:,} bytes of it were listed, and {size:,} came."
        raise SyncRefusedError(Refusal.DAMAGED, file.name, rule)
    if file.sha256 not in ("", sha256):
        part.unlink()
        rule = f"the index states SHA-256 {file.sha256}, and {sha256} came."
        raise SyncRefusedError(Refusal.DAMAGED, file.name, rule)
    return part, sha256


@contextmanager
def _errors(site: Site, file: OfferedFile) -> Iterator[None]:
    """Within it, a file that is listed and cannot be had is one that is wrong: others may do without it."""
    with site_errors(f"{file.name} on site {site.name}"):
        try:
            yield
        except FileNotFoundError:
            raise SyncRefusedError(Refusal.DAMAGED, file.name, "it is listed, and is not there.") from None
        except PermissionError:
            rule = "it is there, and this account may not read it."
            raise SyncRefusedError(Refusal.DAMAGED, file.name, rule) from None


def _path(site: Site, file: OfferedFile) -> str:
    return posixpath.normpath(posixpath.join(site.folder, file.folder, file.name))


def _go_on(sftp: SFTPClient, remote: str, size: int, part: Path, progress: Progress) -> None:
    """Fetches what the part lacks. A part that is longer than the file is none of it."""
    begun = part.stat().st_size if part.exists() else 0
    with _open(part, "ab" if begun <= size else "wb") as out, sftp.open(remote, "rb") as stream:
        start, end = out.tell(), min(size, stream.stat().st_size or 0)
        if start < end:
            keep = _keep_in(out, part, size, progress)
            read_ranges(sftp, stream, [Range(start, end - start)], keep)


def _open(part: Path, mode: str) -> BinaryIO:
    try:
        return cast("BinaryIO", part.open(mode))
    except OSError as error:
        raise disk_error(part, error) from error


def _keep_in(out: BinaryIO, part: Path, size: int, progress: Progress) -> Callable[[memoryview], None]:
    """What writes each piece that comes; errors of the disk are not the site's."""

    def keep(piece: memoryview) -> None:
        try:
            out.write(piece)
            out.flush()  # or a full disk is met at closing, and taken for the server's fault
        except OSError as error:
            raise disk_error(part, error) from error
        progress(out.tell(), size)

    return keep
