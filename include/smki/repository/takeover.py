"""Takes over what another publisher, or this one before its database was lost, has published.

* A full extract is the state of its day: window 0, the baseline. The deltas after it are the windows after that, a day
  each without holes, with the statuses that they state.
* Each status takes effect at its file's cut-off, and each file is one window, so that the state as of every day is the
  one that was published. The set digest of what a window changed has to be that of its file, or it is not closed.
* A take-over needs a repository that holds nothing else, from its beginning to its end; but authorities may be lodged
  before it, as those that are no longer in use are in no full extract. It is resumed by the same call: what is there is
  not lodged again, and a file whose window is closed is compared with it only.
* Days up to the last window that was taken over are owed by nobody: their files have been published.
* A repository that was restored from a backup takes over the deltas that it published since (`take_over_next`): what it
  knows has to be the beginning of what the delta says, and what has happened since may not be in the delta's way. These
  days stay owed, as they were.
"""

import collections
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path

from sqlalchemy import Engine, func, select

from smki.certificates.model import Status
from smki.certificates.set_digest import SetDigest
from smki.errors import TakeOverError
from smki.obligations.catalogue import UserGuide
from smki.repository.authorities import AUTHORITY_CLASSES
from smki.repository.database import reading
from smki.repository.lodging import LodgingReport, lodge
from smki.repository.offers import Lodgement, Refusal, RevocationListOffer
from smki.repository.sources import SCHEMA, offers_of
from smki.repository.tables import certificate, delta_window, revocation_list, status_event
from smki.repository.windows import Window, close_taken_over, list_windows, statuses_after, waiting_hashes
from smki.words import counted

_ELSEWHERE = (
    "make a new database, `smki init` it, state the trusted roots, take over into that, and lodge the newest "
    "revocation lists then."
)
_BATCH = 10_000  # certificates whose hashes are summed at once
Progress = Callable[[str, int], None]  # hears a file's name, and how many of its certificates are dealt with


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A file that was taken over."""

    name: str
    window: Window
    lodged: int  # certificates that no file before it has
    changed: int  # certificates of files before it whose status it states


def take_over(
    engine: Engine,
    guide: UserGuide,
    full: Path,
    deltas: Sequence[Path],
    progress: Progress = lambda _name, _done: None,
    *,
    schema: Path = SCHEMA,
) -> Iterator[TakenOver]:
    """Takes over a full extract and the deltas after it, in any order; yields each file once its window is closed.

    `schema` is the XSD of V1. Raises TakeOverError for files that do not follow each other, what cannot be lodged and a
    repository with other content; RepositoryUnavailableError.
    """
    days = _order(guide, full, deltas)
    closed = {window.business_date: window for window in list_windows(engine)}
    left = [day for day in days if day not in closed]
    if closed and left and (days[left[0]] == full or max(closed) != left[0] - timedelta(days=1)):
        rule = f"the repository's newest window is that of {max(closed)}."
        raise TakeOverError(days[left[0]].name, rule, next_step=_ELSEWHERE)
    by_hand = bool(left) and _need_nothing_but_authorities(engine, days[left[0]], guide.delta.cut_off.at(left[0]))
    for day, file in days.items():
        read = _Reading(file, guide.delta.cut_off.at(day), schema)
        if (window := closed.get(day)) is not None:
            collections.deque(read.offers(), 0)
            read.compare(window)
            yield TakenOver(file.name, window, 0, 0)
        else:
            # What is there by hand is in the file's window, too, if it is in the file.
            report = read.lodge(engine, partial(progress, file.name), later=file != full or by_hand)
            window = close_taken_over(engine, day, read.cut_off, read.compare)
            yield TakenOver(file.name, window, report.lodged, report.changed)


def take_over_next(
    engine: Engine,
    guide: UserGuide,
    delta: Path,
    day: date,
    progress: Callable[[int], object] = lambda _done: None,
    *,
    schema: Path = SCHEMA,
) -> TakenOver:
    """Takes over the delta of the day after the newest window, which this publisher published and has forgotten.

    `schema` is the XSD of V1. Raises TakeOverError where it does not begin with what waits for that day's window, where
    it has another status for what was changed after it, or cannot be lodged: nothing is closed then. WindowError for
    another day, RepositoryUnavailableError.
    """
    read = _Reading(delta, guide.delta.cut_off.at(day), schema)
    read.need_to_follow(waiting_hashes(engine, read.cut_off), statuses_after(engine, read.cut_off))
    report = read.lodge(engine, progress, later=True)
    window = close_taken_over(engine, day, read.cut_off, read.compare, owed=True)
    return TakenOver(delta.name, window, report.lodged, report.changed)


@dataclass(slots=True)
class _Reading:
    """An extract while it is read."""

    file: Path
    cut_off: datetime  # UTC
    schema: Path  # the XSD of V1
    digest: SetDigest = field(default_factory=SetDigest)  # of the certificates that have been read

    def offers(self) -> Iterator[Lodgement | Refusal]:
        """What it holds, each with the instant at which its status takes effect."""
        offers = offers_of([self.file], schema=self.schema)
        while batch := list(islice(offers, _BATCH)):
            lodgements = [offer for offer in batch if isinstance(offer, Lodgement)]
            self.digest += SetDigest.of(offer.body for offer in lodgements)
            for offer in batch:
                if isinstance(offer, RevocationListOffer):
                    raise TakeOverError(self.file.name, "it is a revocation list.")
                yield replace(offer, recorded_at=self.cut_off) if isinstance(offer, Lodgement) else offer

    def lodge(self, engine: Engine, progress: Callable[[int], object], *, later: bool) -> LodgingReport:
        """Lodges what it holds. Raises TakeOverError where something of it is refused."""
        self.digest = SetDigest()
        report = lodge(engine, self.offers(), later=later, progress=progress)
        if report.refused:
            raise TakeOverError(
                self.file.name,
                f"{report.refused:,} of its {report.offered:,} certificates cannot be lodged. The first: "
                f"{report.refusals[0].error}",
            )
        return report

    def need_to_follow(self, before: Iterable[bytes], after: Mapping[bytes, Status]) -> None:
        """Raises TakeOverError unless it holds all that changed before its cut-off and is in the way of nothing after.

        Both by the SHA-256 of certificates, and with the statuses that those changed after it have now.
        """
        missing, changed = set(before), list[tuple[bytes, Status | None, Status]]()
        for offer in self.offers():
            sha256 = hashlib.sha256(offer.body).digest()
            missing.discard(sha256)
            if isinstance(offer, Lodgement) and after.get(sha256, offer.status) != offer.status:
                changed.append((sha256, offer.status, after[sha256]))
        if missing:
            raise TakeOverError(
                self.file.name,
                f"{len(missing):,} certificates that changed before its cut-off are not in it. The first has the "
                f"SHA-256 {min(missing).hex()}.",
                next_step="see whether the repository is the one that it was published from.",
            )
        if changed:
            sha256, published, now = min(changed)
            raise TakeOverError(
                self.file.name,
                f"{len(changed):,} of its certificates have got another status since, and would lose it. The first has "
                f"the SHA-256 {sha256.hex()}: {published} in the file, {now} now.",
                next_step="restore the backup once more, take over what is on the server before anything is lodged, "
                "then lodge again what has come since.",
            )

    def compare(self, window: Window) -> None:
        """Raises TakeOverError unless the window is what the file, read to its end, says."""
        if window.changed != self.digest:
            raise TakeOverError(
                self.file.name,
                f"it has {self.digest.count:,} certificates with set digest {self.digest} and window {window.seq} has "
                f"{window.changed.count:,} with {window.changed}.",
            )


def _order(guide: UserGuide, full: Path, deltas: Sequence[Path]) -> dict[date, Path]:
    """The files by day, the full extract first. Raises TakeOverError unless they follow each other."""
    first = guide.full.day_of(full.name)
    if first is None:
        raise TakeOverError(full.name, f"its name is not that of a full extract ({guide.full.file}).")
    days = {first: full}
    by_day: dict[date, Path] = {}
    for file in deltas:
        if (day := guide.delta.day_of(file.name)) is None:
            raise TakeOverError(file.name, f"its name is not that of a delta ({guide.delta.file}).")
        if day in by_day:
            raise TakeOverError(file.name, f"{by_day[day]} is of the same day.")
        by_day[day] = file
    for day in sorted(day for day in by_day if day > first):
        before = max(days)
        if day != before + timedelta(days=1):
            missing = guide.delta.file_name(before + timedelta(days=1))
            raise TakeOverError(by_day[day].name, f"{missing} has to be taken over before it.")
        days[day] = by_day[day]
    return days


def _need_nothing_but_authorities(engine: Engine, file: Path, cut_off: datetime) -> bool:
    """Whether authorities were lodged by hand. Raises TakeOverError where anything else was, which no file says."""
    events = (
        select(func.count(), func.count().filter(certificate.c["class"].in_(AUTHORITY_CLASSES)))
        .join_from(status_event, certificate, status_event.c.certificate_id == certificate.c.id)
        .where(status_event.c.window_seq.is_(None), status_event.c.recorded_at != cut_off)
    )
    with reading(engine) as connection:
        of_all, of_authorities = connection.execute(events).one()
        lists = connection.execute(select(func.count()).select_from(revocation_list)).scalar_one()
        own = select(func.count()).select_from(delta_window).where(~delta_window.c.taken_over)
        windows = connection.execute(own).scalar_one()
    if of_all > of_authorities or lists or windows:
        raise TakeOverError(
            file.name,
            f"a take-over needs a repository with nothing else but authorities, and this one has "
            f"{counted(of_all - of_authorities, 'other change')} of status, {counted(lists, 'revocation list')} and "
            f"{counted(windows, 'window')} of its own.",
            next_step=_ELSEWHERE,
        )
    return bool(of_authorities)
