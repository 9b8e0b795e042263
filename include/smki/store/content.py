"""What is published, wherever its bytes lie: an extract in pages, a small file as one object."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from smki.store.local_files import disk_error, write_whole
from smki.store.manifest import get_manifest
from smki.store.objects import Store
from smki.store.paged_file import PagedFile


class Content(Protocol):
    """The bytes of one file."""

    @property
    def name(self) -> str:
        """For errors and logs."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def read(self, start: int, length: int) -> bytes:
        """A range, shorter only at the end. Raises MissingObjectError, StoreError."""

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> bytes:
        """Some ranges (start, length), one after the other. Raises MissingObjectError, StoreError."""

    def sha256(self) -> str:
        """Of the whole, hex. Raises MissingObjectError, StoreError."""


@dataclass(frozen=True, slots=True)
class SmallFile:
    """A file that is in memory as a whole."""

    name: str
    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, start: int, length: int) -> bytes:
        return self.content[start : start + length]

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> bytes:
        return b"".join(self.read(start, length) for start, length in ranges)

    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def put_small_file(store: Store, file: Path) -> str:
    """Puts a file of this machine's disk into the store; its SHA-256 (hex). Raises StoreError."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise disk_error(file, error) from error
    return store.put_content("files", content)


def fetch_small_file(store: Store, sha256: str, file: Path) -> Path:
    """Writes what `put_small_file` took as `file`. Raises MissingObjectError, StoreError."""
    write_whole(file, store.get_content("files", sha256))
    return file


def stored_content(store: Store, name: str, sha256: str, manifest: str = "") -> Content:
    """A file by its manifest's SHA-256 (hex), or by its own where it has none.

    Raises MissingObjectError, StoreError.
    """
    if manifest:
        return PagedFile.stored(store, get_manifest(store, manifest))
    return SmallFile(name, store.get_content("files", sha256))
