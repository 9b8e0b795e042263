"""Small files on this machine's disk: written as a whole or not at all."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from smki.errors import StoreError


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file so that it is either there as a whole or not at all. Raises StoreError."""
    write_chunks(path, [content])


def write_chunks(path: Path, chunks: Iterable[bytes]) -> None:
    """The same with the content in chunks."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as out:
            out.writelines(chunks)
        os.replace(part, path)  # noqa: PTH105  # the atomic one
    except OSError as error:
        raise disk_error(path, error) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def checked_first(folder: Path) -> Iterator[Path]:
    """A folder for files that come into `folder` once they are found right, and leave nothing there otherwise.

    Raises StoreError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".smki-", dir=folder) as name:
            yield Path(name)
            for file in sorted(Path(name).iterdir()):
                os.replace(file, folder / file.name)  # noqa: PTH105  # the atomic one
    except OSError as error:
        raise disk_error(folder, error) from error


def disk_error(path: Path, error: OSError) -> StoreError:
    """The StoreError for an operating system's error on a file."""
    return StoreError(
        str(path),
        f"the disk cannot be used ({error.strerror or error}).",
        "It was not written.",
        f"make room in {path.parent}, or let it be written elsewhere, then try again.",
    )
