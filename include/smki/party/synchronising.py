"""Brings a copy to the newest state that a site offers: `smki sync`.

1. What the site offers is read: from its signed index where a signer is pinned (`signed_index`), else from its listing.
   A plan is made (`planning`).
2. Each file of the plan is fetched beside the copy (`fetching`), then applied in one transaction (`copy`), in order. A
   file that is found wrong is thrown away, so that the next call fetches it anew.
3. A file that is found wrong is passed over where another way leads to its day or beyond without it.
4. Where a delta is missing on the server, that is refused at the end: the copy is then as new as it can be.

A copy that is made anew takes the old one's place when all of that is done, and a first one when its full extract is in
it. Where a wrong file stops one that is made anew, it takes that place all the same, with a state that the signed index
states, unless the old one has such a state of a later day. Any call may be interrupted at any place: the next one goes
on. Nothing is written on the site. A copy that is named by a symbolic link is the file that the link leads to.

By a signed index each file is the one that the operator made, and each state that is committed is the repository's. By
names and sizes alone nobody can tell whether a file is the one that its operator made, only that it is whole and
that what it says is consistent; `UNKNOWN` says what remains unknown.
"""

import fcntl
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from cryptography import x509

from smki.certificates.set_digest import SetDigest
from smki.errors import TransportError
from smki.party.copy import Applied, LocalCopy
from smki.party.extract_reading import read_extract
from smki.party.fetching import fetch, fetch_index, fetch_pages, fetch_table, list_extracts
from smki.party.pages import Changed, find_changed, number_pages, read_changed
from smki.party.planning import CopyState, OfferedFile, Plan, plan_sync
from smki.party.refusals import Refusal, SyncRefusedError
from smki.party.signed_index import INDEX, SignedIndex
from smki.processes import Progress
from smki.publish.site import Site
from smki.store.local_files import disk_error

_LOCK = "lock"
_BESIDE = ("-wal", "-shm", "-journal")  # what SQLite has beside a copy that is open
_OF_A_FILE = (Refusal.DAMAGED, Refusal.CONTENT, Refusal.STATE)  # what another file may do without
_CLOCK_SKEW = timedelta(minutes=5)  # that the operator's clock may be ahead of ours
UNKNOWN = (
    "whether the files are those that the operator made: no signer of an index is pinned",
    "whether the state is the repository's: the set digest of what is in use can be compared with the operator's",
)


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears how far a synchronisation is."""

    planned: Callable[[Plan], object] = lambda _plan: None
    progress: Progress = lambda _done, _of: None  # hears the bytes of each file as it is fetched, then as it is applied
    passed_over: Callable[[SyncRefusedError], object] = lambda _error: (
        None
    )  # what is wrong with a file that is not needed


SILENT = Listener()


@dataclass(frozen=True, slots=True)
class Wish:
    """How a copy is brought to the newest state."""

    signers: Sequence[x509.Certificate] = ()  # where there are any, one of them has to have signed the site's index
    anew: bool = False  # another copy, from a full extract, takes the place of the one that is there
    until: date | None = None  # no newer state than that of this day


def plan(site: Site, path: Path, wish: Wish) -> Plan:
    """What `synchronise` would do. Raises SyncRefusedError, and what `open_sftp` raises."""
    return _plan(site, _read_offer(site, wish), None if wish.anew else _real(path), wish).chosen


def synchronise(site: Site, path: Path, wish: Wish, listener: Listener = SILENT) -> list[Applied]:
    """Brings the copy in `path` to the newest state that is wished for.

    Returns the files that were applied. Raises SyncRefusedError, also where a delta is missing on the server, and then
    after what could be applied; TransportError where another call works on the same copy; what `open_sftp` raises.
    """
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own keeps some 40 MB of what is freed
    path = _real(path)
    with _alone(path) as folder:
        is_first = not is_there(path)
        place = _Place(path, folder / "anew.sqlite" if wish.anew or is_first else path, folder, is_first)
        if place.target != path:
            _begin_anew(path, place.target)
        offer = _read_offer(site, wish)
        try:
            prepared, applied = _bring_all(site, offer, place, wish, listener)
        except SyncRefusedError:
            _keep_index_time(place.path, offer)
            raise
        _keep_index_time(place.target, prepared.offer)
        place.take()
        _clear(folder)
        if prepared.chosen.missing is not None:
            raise SyncRefusedError(
                Refusal.HOLE,
                f"delta of {prepared.chosen.missing}",
                "the server has later files and not this one.",
                f"The copy has the state of {prepared.chosen.reaches}, and gets no newer one.",
            )
        return applied


@dataclass(slots=True)
class _Place:
    """Where a copy is, and where it is made."""

    path: Path  # the copy
    target: Path  # what is worked on: the copy, or what will take its place
    folder: Path  # that files are fetched into
    is_first: bool  # there is no copy yet

    def take(self) -> None:
        """What is worked on takes the copy's place. Raises TransportError."""
        if self.target != self.path:
            _replace(self.path, self.target)
            self.target = self.path


@dataclass(frozen=True, slots=True)
class _Offer:
    """What a site offers."""

    files: Sequence[OfferedFile]
    index: SignedIndex | None = None  # by which; none: by its listing

    @property
    def states(self) -> dict[date, SetDigest]:
        """What is in use after each day, by the signed index."""
        return {file.day: file.state for file in self.files if file.state is not None}

    def dated(self, chosen: Plan) -> Plan:
        """A plan, with what is known of the age of its index."""
        if self.index is None:
            return chosen
        return replace(chosen, written_at=self.index.written_at, overdue=self.index.overdue(datetime.now(UTC)))

    @property
    def seen_at(self) -> datetime | None:
        """When the index was written (UTC), as a copy keeps it: a date far ahead keeps no later index out."""
        return None if self.index is None else min(self.index.written_at, datetime.now(UTC) + _CLOCK_SKEW)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A plan, and what it needs to be carried out."""

    chosen: Plan
    changed: Changed | None  # the pages that the copy lacks of a full extract in it
    offer: _Offer


def _bring_all(
    site: Site, offer: _Offer, place: _Place, wish: Wish, listener: Listener
) -> tuple[_Prepared, list[Applied]]:
    """Fetches and applies the files of a plan, or of another one where one of them is wrong."""
    prepared = _plan(site, offer, place.target, wish)
    applied: list[Applied] = []
    wrong: set[str] = set()
    while True:
        listener.planned(prepared.chosen)
        try:
            for file in prepared.chosen.files:
                applied.append(_bring(site, file, place, prepared, listener))
                if place.is_first:
                    place.take()
        except SyncRefusedError as error:
            if error.refusal not in _OF_A_FILE:
                raise
            wrong.add(file.name)
            if (other := _other_way(site, place.target, wish, wrong, file)) is None:
                if place.target != place.path and _is_better(place.target, place.path, prepared.offer.states):
                    place.take()
                    raise _stopped_anew(error, place.path) from error
                raise
            listener.passed_over(error)
            prepared = other
        else:
            return prepared, applied


def _bring(site: Site, file: OfferedFile, place: _Place, prepared: _Prepared, listener: Listener) -> Applied:
    """Fetches a file of the plan and applies it. One that is found wrong is thrown away."""
    changed = prepared.changed if file.is_full else None
    by_pages = changed is not None and prepared.chosen.by_pages is not None
    if by_pages and changed is not None:
        fetched, sha256 = fetch_pages(site, file, changed, place.folder, listener.progress), file.sha256
        batches = read_changed(fetched, changed, file.name)
    else:
        fetched, sha256 = fetch(site, file, place.folder, listener.progress)
        batches = read_extract(fetched, listener.progress)
        if changed is not None:
            batches = number_pages(batches, changed.table, file.name)
    pages = changed.table.pages if changed is not None else []
    kept = changed.kept if by_pages and changed is not None else None
    try:
        with LocalCopy(place.target) as copy:
            done = copy.apply(file, sha256, batches, pages, kept, prepared.offer.seen_at)
    except SyncRefusedError as error:
        if error.refusal in _OF_A_FILE:
            fetched.unlink()
        raise
    fetched.unlink()
    return done


def _other_way(site: Site, target: Path, wish: Wish, wrong: Collection[str], file: OfferedFile) -> _Prepared | None:
    """A plan without the files that are wrong, to the day of the last of them or beyond; none where there is none."""
    try:
        other = _plan(site, _read_offer(site, wish), target, wish, wrong)
    except SyncRefusedError:
        return None
    return other if other.chosen.reaches >= file.day else None


def _read_offer(site: Site, wish: Wish) -> _Offer:
    if not wish.signers:
        return _Offer(list_extracts(site))
    index = fetch_index(site, wish.signers)
    return _Offer(index.extracts, index)


def _plan(site: Site, offer: _Offer, path: Path | None, wish: Wish, wrong: Collection[str] = ()) -> _Prepared:
    """What is to be done for the copy in `path`, without the files of these names; without a path there is no copy."""
    wanted = [file for file in offer.files if file.name not in wrong]
    until = wish.until or date.max
    if path is None or not is_there(path):
        chosen = plan_sync(CopyState(), [file for file in wanted if file.day <= until])
        return _Prepared(*_by_pages(site, offer.dated(chosen), {}), offer)
    with LocalCopy(path, read_only=True) as copy:
        state = copy.state
        _refuse_old_index(offer, state.day, copy.index_at)
        until = max(until, state.day or date.min)  # a copy that is newer stays as it is
        chosen = plan_sync(state, [file for file in wanted if file.day <= until])
        return _Prepared(*_by_pages(site, offer.dated(chosen), copy.pages()), offer)


def _refuse_old_index(offer: _Offer, day: date | None, seen_at: datetime | None) -> None:
    """One that is older and leads to the copy's state or beyond takes nothing back: another site's may be so."""
    if offer.index is None or day is None or seen_at is None or offer.index.written_at >= seen_at:
        return
    newest = max((file.day for file in offer.files), default=None)
    if newest is None or newest < day:
        rule = (
            f"it was written at {offer.index.written_at:%Y-%m-%d %H:%M:%S} UTC, that one at "
            f"{seen_at:%Y-%m-%d %H:%M:%S}; it offers {newest or 'no extract'} at the most, and the copy has {day}."
        )
        raise SyncRefusedError(Refusal.OLD_INDEX, INDEX, rule)


def _keep_index_time(path: Path, offer: _Offer) -> None:
    """Whatever became of the synchronisation: an index that was seen stays seen."""
    if offer.seen_at is None or not is_there(path):
        return
    with suppress(SyncRefusedError), LocalCopy(path) as copy:  # a damaged copy keeps nothing
        copy.keep_index_time(offer.seen_at)


def is_there(path: Path) -> bool:
    """Whether there is a file that has something in it. Raises TransportError where nobody can tell."""
    try:
        return path.exists() and path.stat().st_size > 0
    except OSError as error:
        raise disk_error(path, error) from error


def _real(path: Path) -> Path:
    """Where the copy itself is: one lock, and one place beside it, whatever links lead there."""
    return Path(os.path.realpath(path))


def _clear(folder: Path) -> None:
    """Removes what was fetched for plans that were given up; the next call makes what it needs."""
    for left in folder.iterdir():
        if left.name != _LOCK:
            with suppress(OSError):  # it only takes room
                left.unlink()


def _by_pages(site: Site, chosen: Plan, known: Mapping[int, bytes]) -> tuple[Plan, Changed | None]:
    """The plan with its full extract by changed pages, where the copy has others of it."""
    if not chosen.files or not chosen.files[0].is_full or (table := fetch_table(site, chosen.files[0])) is None:
        return chosen, None
    changed = find_changed(table, known)
    return (replace(chosen, by_pages=changed.bytes) if changed.kept else chosen), changed


def _begin_anew(path: Path, aside: Path) -> None:
    """Makes room for a copy aside, and sees to it that nothing of the one that is there stands beside it.

    Raises SyncRefusedError where what is to be replaced is somebody else's file, TransportError.
    """
    if is_there(path):
        try:
            with LocalCopy(path) as copy:
                copy.settle()
        except SyncRefusedError as error:
            if error.refusal not in (Refusal.COPY_DAMAGED, Refusal.OLD_COPY):
                raise
    for ending in ("", *_BESIDE):
        aside.with_name(aside.name + ending).unlink(missing_ok=True)


def _is_better(aside: Path, path: Path, states: Mapping[date, SetDigest]) -> bool:
    """Whether a copy aside has a state by the index, and the one in its place none of a later day."""
    if not is_there(aside):
        return False
    with LocalCopy(aside, read_only=True) as copy:
        new = copy.state
    if new.day is None or states.get(new.day) != new.in_use:
        return False
    try:
        with LocalCopy(path, read_only=True) as copy:
            old = copy.state
    except SyncRefusedError:
        return True
    return old.day is None or old.day <= new.day or states.get(old.day) != old.in_use


def _stopped_anew(error: SyncRefusedError, path: Path) -> SyncRefusedError:
    """The refusal that stopped a copy, which has taken its place."""
    with LocalCopy(path, read_only=True) as copy:
        consequence = f"The copy was made anew, to the state of {copy.day}, and gets no newer one."
    return SyncRefusedError(error.refusal, error.item.removeprefix(f"{error.refusal.code} "), error.rule, consequence)


def _replace(path: Path, aside: Path) -> None:
    """Puts a whole copy in the place of the one that is there; whoever reads that goes on reading it.

    Raises TransportError where it does not get whole, as on a full disk: then the old one stays.
    """
    with LocalCopy(aside) as copy:
        copy.settle()
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
        lock = (folder / _LOCK).open("w")
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
