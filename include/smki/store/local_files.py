"""Small files on this machine's disk: written as a whole or not at all."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from smki.errors import StoreError


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file so that it is either there as a whole or not at all. Raises StoreError."""
    write_chunks(path, [content])


def write_chunks(path: Path, chunks: Iterable[bytes]) -> None:
    """The same with the content in chunks."""
    part = path.with_name(f".{path.name}.part")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as out:
                out.writelines(chunks)
            part.replace(path)
        except BaseException:
            with suppress(OSError):  # which comes after the one that matters
                part.unlink(missing_ok=True)
            raise


@contextmanager
def checked_first(folder: Path) -> Iterator[Path]:
    """A folder for files that come into `folder` once they are found right, and leave nothing there otherwise.

    Raises StoreError.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".smki-", dir=folder) as name:
            yield Path(name)
            for file in sorted(Path(name).iterdir()):
                file.replace(folder / file.name)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Within it, the operating system's errors are those of the disk that `path` is on. Raises StoreError for them."""
    try:
        yield
    except OSError as error:
        raise disk_error(path, error) from error


def disk_error(path: Path, error: OSError) -> StoreError:
    """The StoreError for an operating system's error on a file."""
    return StoreError(
        str(path),
        f"the disk cannot be used ({error.strerror or error}).",
        "It was not written.",
        f"make room in {path.parent}, or let it be written elsewhere, then try again.",
    )
