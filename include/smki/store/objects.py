"""The store: objects that are written once under their SHA-256, in a folder or in object storage.

* `SMKI_STORE` is a folder or a URL (`s3://…`, `gs://…`, `az://…`); what logs in to it is read from the environment, as
  the makers of that storage have it. All machines that work for one installation share it, and nothing else.
* An object is there as a whole or not at all. One that is there already is compared and not written again, unless it
  is a day old or older: what somebody puts is new, for what looks at its age. Other bytes under its name are a damaged
  object, and are replaced.
* What a key begins with says what lies there: `segments/`, `manifests/`, `files/` (small files), `plans/`, `checked/`.
"""

import hashlib
import logging
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, from_url

from smki.errors import ConfigurationError, MissingObjectError, StoreError

log = logging.getLogger(__name__)
_NEW = timedelta(days=1)
_LEFTOVER = re.compile(r"#[0-9]+$")
_GAP = 1 << 20  # bytes between two ranges that are read rather than asked for apart
_DENIED = ("Permission denied", "403 Forbidden", "401 Unauthorized")  # no type of error says it of all storages


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as a listing names it."""

    key: str
    bytes: int
    changed_at: datetime  # UTC


class Store:
    """One store. It holds nothing that is left open; another process opens it again by its name."""

    def __init__(self, name: str) -> None:
        """Opens the folder or URL of that name; a folder that is missing is made.

        Raises ConfigurationError for a URL that nobody can read, StoreError.
        """
        self.name = name
        self._objects: Any = _open_url(name) if "://" in name else _open_folder(name)

    @classmethod
    def folder(cls, path: Path) -> "Store":
        """The store in a folder of this machine."""
        return cls(str(path.absolute()))

    def __reduce__(self) -> tuple[type["Store"], tuple[str]]:
        return Store, (self.name,)

    def put_content(self, kind: str, content: bytes) -> str:
        """Writes an object under its own SHA-256 below `kind/`; returns it (hex). Raises StoreError."""
        sha256 = hashlib.sha256(content).hexdigest()
        self.put(f"{kind}/{sha256}", content)
        return sha256

    def put(self, key: str, content: bytes) -> None:
        """Writes an object, unless it is there with these bytes and new. Raises StoreError."""
        with _errors(key):
            try:
                obstore.put(self._objects, key, content, mode="create")
            except AlreadyExistsError:
                self._put_again(key, content)

    def _put_again(self, key: str, content: bytes) -> None:
        try:
            there = obstore.get(self._objects, key)
            is_new = _is_new(there.meta["last_modified"])
            is_damaged = there.bytes().to_bytes() != content
        except FileNotFoundError:  # it was removed a moment ago
            is_new = is_damaged = False
        if is_damaged:
            log.warning("damaged object replaced key=%s bytes=%d", key, len(content))
        if is_damaged or not is_new:
            self.replace(key, content)

    def replace(self, key: str, content: bytes) -> None:
        """Writes an object in place of any that is there. Raises StoreError."""
        with _errors(key):
            obstore.put(self._objects, key, content)

    def get(self, key: str) -> bytes:
        """An object's bytes. Raises MissingObjectError, StoreError."""
        with _errors(key):
            return obstore.get(self._objects, key).bytes().to_bytes()

    def get_content(self, kind: str, sha256: str) -> bytes:
        """What `put_content` wrote. Raises MissingObjectError, StoreError also where other bytes have its name."""
        content = self.get(f"{kind}/{sha256}")
        if hashlib.sha256(content).hexdigest() != sha256:
            raise damaged(f"{kind}/{sha256}", "its bytes are not those that its name says.")
        return content

    def get_ranges(self, key: str, starts: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
        """Some ranges of an object, each whole. Raises MissingObjectError, StoreError."""
        runs = _runs([(start, start + length) for start, length in zip(starts, lengths, strict=True)])
        try:
            with _errors(key):
                parts = obstore.get_ranges(
                    self._objects, key, starts=[start for start, _ in runs], ends=[end for _, end in runs]
                )
        except StoreError as error:
            there = self.find(key)
            if there is not None and there.bytes < runs[-1][1]:
                raise _ends_early(key) from error
            raise
        contents = [(start, part.to_bytes()) for (start, _), part in zip(runs, parts, strict=True)]
        found = []
        for start, length in zip(starts, lengths, strict=True):
            first, content = contents[bisect_right(runs, start, key=itemgetter(0)) - 1]
            found.append(content[start - first : start - first + length])
        if any(len(part) != length for part, length in zip(found, lengths, strict=True)):
            raise _ends_early(key)
        return found

    def holds(self, key: str) -> bool:
        """Whether there is such an object. Raises StoreError."""
        return self.find(key) is not None

    def holds_as_new(self, key: str, is_right: Callable[[bytes], bool]) -> bool:
        """Whether there is such an object, and its bytes are right; it is as new then as one that somebody puts.

        Raises StoreError.
        """
        with _errors(key):
            try:
                there = obstore.get(self._objects, key)
                content = there.bytes().to_bytes()
            except FileNotFoundError:
                return False
        if not is_right(content):
            log.warning("damaged object key=%s bytes=%d", key, len(content))
            return False
        if not _is_new(there.meta["last_modified"]):
            self.replace(key, content)
        return True

    def find(self, key: str) -> StoredObject | None:
        """The object as a listing names it; none where there is none. Raises StoreError."""
        with _errors(key):
            try:
                found = obstore.head(self._objects, key)
            except FileNotFoundError:
                return None
            return StoredObject(found["path"], found["size"], found["last_modified"])

    def list_objects(self, prefix: str) -> Iterator[StoredObject]:
        """All objects whose keys begin so, in no particular order. Raises StoreError."""
        with _errors(prefix):
            for batch in obstore.list(self._objects, prefix=prefix):
                for found in batch:
                    yield StoredObject(found["path"], found["size"], found["last_modified"])

    def list_leftovers(self) -> Iterator[StoredObject]:
        """What writers that were killed have left in a folder: files beside objects, such as `segments/SHA-256#1`.

        No listing of objects shows them. Object storage keeps nothing of what was not written to its end. Raises
        StoreError.
        """
        if "://" in self.name:
            return
        with _errors(self.name):
            for file in Path(self.name).rglob("*#*"):
                with suppress(FileNotFoundError):  # its writer is done
                    stated = file.stat()
                    if _LEFTOVER.search(file.name):
                        changed_at = datetime.fromtimestamp(stated.st_mtime, UTC)
                        yield StoredObject(str(file.relative_to(self.name)), stated.st_size, changed_at)

    def remove_leftover(self, found: StoredObject) -> None:
        """Removes what `list_leftovers` named. Raises StoreError."""
        with _errors(found.key):
            Path(self.name, found.key).unlink(missing_ok=True)

    def remove(self, keys: Iterable[str]) -> None:
        """Removes objects; one that is gone is none the worse. Raises StoreError."""
        for key in keys:
            with _errors(key), suppress(FileNotFoundError):
                obstore.delete(self._objects, key)


def damaged(item: str, rule: str) -> StoreError:
    """The error of an object whose bytes are not what they were."""
    return StoreError(
        item,
        rule,
        next_step="have the storage looked at, then produce the file from scratch: the object is written anew.",
    )


def _is_new(changed_at: datetime) -> bool:
    return datetime.now(UTC) - changed_at < _NEW


def _ends_early(key: str) -> StoreError:
    return damaged(key, "it ends before what has to be read of it.")


def _open_url(url: str) -> Any:
    try:
        return from_url(url)
    except (BaseError, ValueError) as error:
        raise ConfigurationError(
            url, f"no store can be opened by that ({_first_line(error)}).", next_step="correct SMKI_STORE."
        ) from error


def _open_folder(name: str) -> Any:
    with _errors(name):
        return LocalStore(name, mkdir=True)


def _runs(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """First and end of what is read at once: ascending, ranges that are near each other together.

    obstore joins them, too, but panics where a joined range is shorter than asked for.
    """
    runs: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if runs and start <= runs[-1][1] + _GAP:
            runs[-1] = runs[-1][0], max(end, runs[-1][1])
        else:
            runs.append((start, end))
    return runs


@contextmanager
def _errors(item: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise MissingObjectError(item, "the store has no such object.") from error
    except (BaseError, OSError) as error:
        if any(words in str(error) for words in _DENIED):
            raise ConfigurationError(
                item,
                f"the store denies it ({_first_line(error)}).",
                "Nothing was published.",
                "give the publisher's account the right to read, write, list and delete there (SMKI_STORE).",
            ) from error
        raise StoreError(item, f"the store cannot be used ({_first_line(error)}).") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
