"""Fetches files from a site into a folder on this machine; what an interruption leaves is gone on with."""

import hashlib
import posixpath
from pathlib import Path

from paramiko import SFTPClient

from smki.party.planning import OfferedFile
from smki.party.refusals import Refusal, SyncRefusedError
from smki.processes import Progress
from smki.publish.ranges import Range
from smki.publish.readback import list_folder, read_ranges
from smki.publish.site import Site, open_sftp, site_errors
from smki.store.local_files import disk_error


def list_extracts(site: Site) -> list[OfferedFile]:
    """The extracts that a site offers, by names and sizes. Raises SiteUnavailableError and the like."""
    with open_sftp(site) as sftp, site_errors(f"site {site.name}, folder {site.folder}"):
        listed = list_folder(sftp, site.folder)
    return [file for entry in listed if (file := OfferedFile.of(entry.name, entry.bytes))]


def fetch(site: Site, file: OfferedFile, folder: Path, progress: Progress) -> tuple[Path, str]:
    """Fetches a file; where it lies, and its SHA-256 (hex). `progress` hears bytes.

    Raises SyncRefusedError for a file of another size than was listed, SiteUnavailableError and the like, StoreError.
    """
    part = folder / file.name
    with open_sftp(site) as sftp, site_errors(f"{file.name} on site {site.name}"):
        _go_on(sftp, posixpath.join(site.folder, file.name), file.bytes, part, progress)
    try:
        with part.open("rb") as stream:
            size, sha256 = part.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise disk_error(part, error) from error
    if size != file.bytes:
        part.unlink()
        rule = f"{file.bytes:,} bytes of it were listed, and {size:,} came."
        raise SyncRefusedError(Refusal.DAMAGED, file.name, rule)
    return part, sha256


def _go_on(sftp: SFTPClient, remote: str, size: int, part: Path, progress: Progress) -> None:
    """Fetches what the part lacks. A part that is longer than the file is none of it."""
    try:
        begun = part.stat().st_size if part.exists() else 0
        out = part.open("ab" if begun <= size else "wb")
    except OSError as error:
        raise disk_error(part, error) from error
    with out:

        def keep(piece: memoryview) -> None:
            try:
                out.write(piece)
            except OSError as error:
                raise disk_error(part, error) from error
            progress(out.tell(), size)

        with sftp.open(remote, "rb") as stream:
            start = out.tell()
            end = min(size, stream.stat().st_size or 0)
            if start < end:
                read_ranges(sftp, stream, [Range(start, end - start)], keep)
