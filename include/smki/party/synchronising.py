"""Brings a copy to the newest state that a site offers: `smki sync`.

1. The site's extracts are listed, and a plan is made (`planning`).
2. Each file of the plan is fetched beside the copy (`fetching`), then applied in one transaction (`copy`), in order. A
   file that is found wrong is thrown away, so that the next call fetches it anew.
3. Where a delta is missing on the server, that is refused at the end: the copy is then as new as it can be.

Any call may be interrupted at any place: the next one goes on. Nothing is written on the site.

By names and sizes alone nobody can tell whether a file is the one that its operator made, only that it is whole and
that what it says is consistent; `UNKNOWN` says what remains unknown.
"""

import fcntl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from smki.errors import TransportError
from smki.party.copy import Applied, LocalCopy
from smki.party.extract_reading import Batch, read_extract
from smki.party.fetching import fetch, list_extracts
from smki.party.planning import OfferedFile, Plan, plan_sync
from smki.party.refusals import Refusal, SyncRefusedError
from smki.processes import Progress
from smki.publish.site import Site
from smki.store.local_files import disk_error

_BESIDE = ("-wal", "-shm")  # what SQLite has beside a copy that is open
UNKNOWN = (
    "whether the files are those that the operator made: the server has no signed index",
    "whether the state is the repository's: the set digest of what is in use can be compared with the operator's",
)


def _silent(_file: OfferedFile) -> Progress:
    return lambda _done, _of: None


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears how far a synchronisation is."""

    planned: Callable[[Plan], object] = lambda _plan: None
    fetching: Callable[[OfferedFile], Progress] = _silent  # what hears the bytes of a file
    applying: Callable[[OfferedFile], Progress] = _silent


SILENT = Listener()


def plan(site: Site, path: Path, *, anew: bool = False) -> Plan:
    """What `synchronise` would do. Raises SyncRefusedError, and what `open_sftp` raises."""
    offered = list_extracts(site)
    if anew or not path.exists():
        return plan_sync(None, {}, offered)
    with LocalCopy(path, read_only=True) as copy:
        return plan_sync(copy.day, {file.name: file.bytes for file in copy.list_applied()}, offered)


def synchronise(site: Site, path: Path, *, anew: bool = False, listener: Listener = SILENT) -> list[Applied]:
    """Brings the copy in `path` to the newest state; `anew` makes another from a full extract, to take its place.

    Returns the files that were applied. Raises SyncRefusedError, also where a delta is missing on the server, and then
    after what could be applied; TransportError where another call works on the same copy; what `open_sftp` raises.
    """
    with _alone(path) as folder:
        chosen = plan(site, path, anew=anew)
        listener.planned(chosen)
        applied: list[Applied] = []
        for file in chosen.files:
            fetched, sha256 = fetch(site, file, folder, listener.fetching(file))
            batches = read_extract(fetched, listener.applying(file))
            try:
                if anew and not applied:
                    applied.append(_make_anew(path, folder / "anew.sqlite", file, sha256, batches))
                else:
                    with LocalCopy(path) as copy:
                        applied.append(copy.apply(file, sha256, batches))
            except SyncRefusedError as error:
                if error.refusal in (Refusal.DAMAGED, Refusal.CONTENT):
                    fetched.unlink()
                raise
            fetched.unlink()
        if chosen.missing is not None:
            raise SyncRefusedError(
                Refusal.HOLE,
                f"delta of {chosen.missing}",
                "the server has later files and not this one.",
                f"The copy has the state of {chosen.reaches}, and gets no newer one.",
            )
        return applied


def _make_anew(path: Path, aside: Path, full: OfferedFile, sha256: str, batches: Iterable[Batch]) -> Applied:
    """Makes a copy aside and puts it in the place of the one that is there; whoever reads that goes on reading it."""
    if path.exists():
        try:
            LocalCopy(path, read_only=True).close()
        except SyncRefusedError as error:
            if error.refusal is not Refusal.COPY_DAMAGED:  # it is somebody's file
                raise
    _remove(aside)
    with LocalCopy(aside) as copy:
        applied = copy.apply(full, sha256, batches)
    try:
        for ending in _BESIDE:
            path.with_name(path.name + ending).unlink(missing_ok=True)
        aside.replace(path)
    except OSError as error:
        raise disk_error(path, error) from error
    return applied


@contextmanager
def _alone(path: Path) -> Iterator[Path]:
    """Keeps other calls off the copy; the folder beside it that files are fetched into."""
    folder = path.with_name(f"{path.name}.fetched")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise disk_error(folder, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TransportError(
                str(path),
                "another `smki sync` is at work on it.",
                SyncRefusedError.CONSEQUENCE,
                "wait until it has ended.",
            ) from None
        yield folder


def _remove(copy: Path) -> None:
    for ending in ("", *_BESIDE):
        copy.with_name(copy.name + ending).unlink(missing_ok=True)
