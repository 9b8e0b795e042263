"""Brings a copy to the newest state that a site offers: `smki sync`.

1. What the site offers is read: from its signed index where a signer is pinned (`signed_index`), else from its listing.
   A plan is made (`planning`).
2. Each file of the plan is fetched beside the copy (`fetching`), then applied in one transaction (`copy`), in order. A
   file that is found wrong is thrown away, so that the next call fetches it anew.
3. Where a delta is missing on the server, that is refused at the end: the copy is then as new as it can be.

Any call may be interrupted at any place: the next one goes on. Nothing is written on the site.

By a signed index each file is the one that the operator made, and each state that is committed is the repository's. By
names and sizes alone nobody can tell whether a file is the one that its operator made, only that it is whole and
that what it says is consistent; `UNKNOWN` says what remains unknown.
"""

import fcntl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

from cryptography import x509

from smki.errors import TransportError
from smki.party.copy import Applied, LocalCopy
from smki.party.extract_reading import read_extract
from smki.party.fetching import fetch, fetch_index, fetch_pages, fetch_table, list_extracts
from smki.party.pages import Changed, find_changed, number_pages, read_changed
from smki.party.planning import CopyState, OfferedFile, Plan, plan_sync
from smki.party.refusals import Refusal, SyncRefusedError
from smki.party.signed_index import INDEX
from smki.processes import Progress
from smki.publish.site import Site
from smki.store.local_files import disk_error

_BESIDE = ("-wal", "-shm")  # what SQLite has beside a copy that is open
UNKNOWN = (
    "whether the files are those that the operator made: no signer of an index is pinned",
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


@dataclass(frozen=True, slots=True)
class Wish:
    """How a copy is brought to the newest state."""

    signers: Sequence[x509.Certificate] = ()  # where there are any, one of them has to have signed the site's index
    anew: bool = False  # another copy, from a full extract, takes the place of the one that is there
    until: date | None = None  # no newer state than that of this day


def plan(site: Site, path: Path, wish: Wish) -> Plan:
    """What `synchronise` would do. Raises SyncRefusedError, and what `open_sftp` raises."""
    return _plan(site, path, wish)[0]


def synchronise(site: Site, path: Path, wish: Wish, listener: Listener = SILENT) -> list[Applied]:
    """Brings the copy in `path` to the newest state that is wished for.

    Returns the files that were applied. Raises SyncRefusedError, also where a delta is missing on the server, and then
    after what could be applied; TransportError where another call works on the same copy; what `open_sftp` raises.
    """
    with _alone(path) as folder:
        chosen, changed, index_at = _plan(site, path, wish)
        listener.planned(chosen)
        applied: list[Applied] = []
        for file in chosen.files:
            target = folder / "anew.sqlite" if wish.anew and not applied else path
            if target != path:
                _begin_anew(path, target)
            hears = listener.fetching(file)
            by_pages = chosen.by_pages is not None and file.is_full
            if by_pages and changed is not None:
                fetched, sha256 = fetch_pages(site, file, changed, folder, hears), file.sha256
                batches = read_changed(fetched, changed, file.name)
            else:
                fetched, sha256 = fetch(site, file, folder, hears)
                batches = read_extract(fetched, listener.applying(file))
                if changed is not None and file.is_full:
                    batches = number_pages(batches, changed.table, file.name)
            pages = changed.table.pages if changed is not None and file.is_full else []
            kept = changed.kept if by_pages and changed is not None else None
            try:
                with LocalCopy(target) as copy:
                    applied.append(copy.apply(file, sha256, batches, pages, kept))
            except SyncRefusedError as error:
                if error.refusal in (Refusal.DAMAGED, Refusal.CONTENT):
                    fetched.unlink()
                raise
            if target != path:
                _replace(path, target)
            fetched.unlink()
        if index_at is not None:
            with LocalCopy(path) as copy:
                copy.keep_index_time(index_at)
        if chosen.missing is not None:
            raise SyncRefusedError(
                Refusal.HOLE,
                f"delta of {chosen.missing}",
                "the server has later files and not this one.",
                f"The copy has the state of {chosen.reaches}, and gets no newer one.",
            )
        return applied


def _plan(site: Site, path: Path, wish: Wish) -> tuple[Plan, Changed | None, datetime | None]:
    """The plan, the pages that the copy lacks of a full extract in it, and when the index was written (UTC)."""
    index = fetch_index(site, wish.signers) if wish.signers else None
    offered, index_at = (index.extracts, index.written_at) if index else (list_extracts(site), None)
    until = wish.until or date.max
    if wish.anew or not path.exists():
        wanted = [file for file in offered if file.day <= until]
        return (*_by_pages(site, plan_sync(CopyState(), wanted), {}), index_at)
    with LocalCopy(path, read_only=True) as copy:
        if index_at and copy.index_at and index_at < copy.index_at:
            rule = f"it was written at {index_at:%Y-%m-%d %H:%M:%S} UTC, that one at {copy.index_at:%Y-%m-%d %H:%M:%S}."
            raise SyncRefusedError(Refusal.OLD_INDEX, INDEX, rule)
        until = max(until, copy.state.day or date.min)  # a copy that is newer stays as it is
        wanted = [file for file in offered if file.day <= until]
        return (*_by_pages(site, plan_sync(copy.state, wanted), copy.pages()), index_at)


def _by_pages(site: Site, chosen: Plan, known: Mapping[int, bytes]) -> tuple[Plan, Changed | None]:
    """The plan with its full extract by changed pages, where the copy has others of it."""
    if not chosen.files or not chosen.files[0].is_full or (table := fetch_table(site, chosen.files[0])) is None:
        return chosen, None
    changed = find_changed(table, known)
    return (replace(chosen, by_pages=changed.bytes) if changed.kept else chosen), changed


def _begin_anew(path: Path, aside: Path) -> None:
    """Makes room for a copy aside. Raises SyncRefusedError where what is to be replaced is somebody else's file."""
    if path.exists():
        try:
            LocalCopy(path, read_only=True).close()
        except SyncRefusedError as error:
            if error.refusal is not Refusal.COPY_DAMAGED:
                raise
    for ending in ("", *_BESIDE):
        aside.with_name(aside.name + ending).unlink(missing_ok=True)


def _replace(path: Path, aside: Path) -> None:
    """Puts a copy in the place of the one that is there; whoever reads that goes on reading it."""
    try:
        for ending in _BESIDE:
            path.with_name(path.name + ending).unlink(missing_ok=True)
        aside.replace(path)
    except OSError as error:
        raise disk_error(path, error) from error


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
