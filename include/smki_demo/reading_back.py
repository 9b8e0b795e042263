"""Logs in to a site as a Party does, reads every file back and rebuilds the repository's state from the extracts."""

import hashlib
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from sqlalchemy import Engine

from smki.annex_b.gzip_reader import read_gzip
from smki.annex_b.reading import Record, read_records
from smki.errors import VerificationError
from smki.obligations.catalogue import UserGuide
from smki.publish.site import Site, open_sftp, site_errors
from smki.repository.windows import find_window, in_use_digest
from smki.verify.frame import read_single
from smki.verify.verification import Verification, verify_file
from smki_demo.synchronised_copy import SynchronisedCopy, deltas_after


@dataclass(frozen=True, slots=True)
class OfferedFile:
    """An extract as the Party found it on the site."""

    obligation: str  # its name
    business_date: date
    modified_at: datetime  # UTC, as the server states it
    local: Path
    verification: Verification


@dataclass(frozen=True, slots=True)
class CurrentFile:
    """A file that is replaced in place, as the Party found it on the site."""

    obligation: str  # its name
    local: Path
    sha256: str  # hex


@dataclass(frozen=True, slots=True)
class CheckedState:
    """The Party's copy after one more file, which agreed with the repository's state as of that day's window."""

    name: str
    business_date: date
    in_use: int


def fetch_extracts(site: Site, guide: UserGuide, schema: Path, folder: Path) -> list[OfferedFile]:
    """Downloads every extract of the site into `folder` and verifies it.

    Raises VerificationError for the first file that is not right, SiteUnavailableError and the like for the site.
    """
    folder.mkdir(parents=True, exist_ok=True)
    offered = []
    for obligation in (guide.full, guide.delta):
        remote = posixpath.join(site.folder, obligation.folder.lstrip("/"))
        with open_sftp(site) as sftp, site_errors(f"site {site.name}"):
            for entry in sorted(sftp.listdir_attr(remote), key=lambda entry: entry.filename):
                if not (match := obligation.pattern.fullmatch(entry.filename)):
                    continue
                local = folder / entry.filename
                sftp.get(posixpath.join(remote, entry.filename), str(local))
                offered.append(
                    OfferedFile(
                        obligation.name,
                        date.fromisoformat(match[1]),
                        datetime.fromtimestamp(entry.st_mtime or 0, UTC),
                        local,
                        verify_file(local, schema),
                    )
                )
    return offered


def fetch_current_files(site: Site, guide: UserGuide, schema: Path, folder: Path) -> list[CurrentFile]:
    """Downloads the files that are replaced in place: revocation lists, anchor files, their document.

    What is compressed has to be intact, anchor files valid by the schema. Raises VerificationError for the first that
    is not right, UploadDamagedError for one that is missing, SiteUnavailableError and the like for the site.
    """
    folder.mkdir(parents=True, exist_ok=True)
    current = []
    for obligation in (obligation for obligation in guide.all if obligation.replaced_in_place):
        local = folder / obligation.file
        with open_sftp(site) as sftp, site_errors(f"site {site.name}, {obligation.file}"):
            sftp.get(posixpath.join(site.folder, obligation.folder.lstrip("/"), obligation.file), str(local))
        if obligation.file.endswith(".xml.gz"):
            verify_file(local, schema)
        elif obligation.file.endswith(".gz"):
            read_single(local)
        with local.open("rb") as stream:
            current.append(CurrentFile(obligation.name, local, hashlib.file_digest(stream, "sha256").hexdigest()))
    return current


def check_against_repository(engine: Engine, guide: UserGuide, offered: list[OfferedFile]) -> list[list[CheckedState]]:
    """Rebuilds the state from each FULL and the deltas after it, and compares it with the repository's windows.

    Returns the states of each FULL's chain, oldest FULL first. Raises VerificationError for a gap, or the first file
    after which the Party's copy is not the repository's state.
    """
    files = {(file.obligation, file.business_date): file for file in offered}
    deltas = [day for obligation, day in files if obligation == guide.delta.name]
    chains = []
    for full in sorted(day for obligation, day in files if obligation == guide.full.name):
        copy = SynchronisedCopy()
        copy.load_full(_records(files[guide.full.name, full].local))
        states = [_check_state(engine, files[guide.full.name, full], copy)]
        for day in deltas_after(full, deltas):
            copy.apply_delta(_records(files[guide.delta.name, day].local))
            states.append(_check_state(engine, files[guide.delta.name, day], copy))
        chains.append(states)
    return chains


def _check_state(engine: Engine, file: OfferedFile, copy: SynchronisedCopy) -> CheckedState:
    expected, reached = in_use_digest(engine, find_window(engine, file.business_date).seq), copy.in_use()
    if reached != expected:
        raise VerificationError(
            file.local.name,
            f"after it a Party has {reached} in use and the repository had {expected}.",
            "A Party's copy is wrong.",
            "compare the day's window with the file.",
        )
    return CheckedState(file.local.name, file.business_date, reached.count)


def _records(file: Path) -> Iterator[Record]:
    with file.open("rb") as stream:
        yield from read_records(read_gzip(stream, file.name), file.name)
