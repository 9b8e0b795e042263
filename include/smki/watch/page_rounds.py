"""Reads the pages of published files, so that each has been read within a day, and remembers what it has read.

* Of files whose publication names a manifest. What the publisher has read back is not read at once again; what the
  server copied is.
* What was wrong is read first, at each look, so that its finding closes once it is right.
* Then what nobody has read, beginning with the file that has waited for longest.
* With what is left of a look's share of the day's bytes, each file is read again piece by piece, one piece a look,
  beginning with the file that was read longest ago: what was changed with size and time kept is found in its turn.
* Of a file whose size or time is another one than when it was read, nothing has been read.
* Where many pages of a file are wrong, all of it is in question, and no more of it is read until they are right.
* Of a file that the server fails to give no more is read in this look.
* A file whose manifest cannot be had has no pages here: `read_back` reads it whole.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from smki.errors import MissingObjectError, StoreError
from smki.publish.artefact import Publication
from smki.publish.page_reading import find_wrong_pages
from smki.publish.readings import PageReading
from smki.retention.rules import SeenFile
from smki.store.manifest import Manifest, get_manifest
from smki.store.objects import Store
from smki.watch.party_session import PartySession

log = logging.getLogger(__name__)
_AT_ONCE = 32 << 20  # bytes; what is read is remembered so often
_MANY = 64  # wrong pages


class OfferedFile(NamedTuple):
    """A file that stands on the site, and that the ledger offers."""

    file: SeenFile
    publication: Publication

    @property
    def has_pages(self) -> bool:
        return bool(self.publication.artefact.manifest)

    @property
    def has_its_length(self) -> bool:
        """Whether it is as long as what was published."""
        return self.file.bytes == self.publication.artefact.bytes


class PagesRead(NamedTuple):
    """That some pages of a file have been read."""

    name: str
    pages: int  # how many
    reading: PageReading  # what is known of all of them now
    before: PageReading  # what was known, and remembered, before


def reading_of(file: SeenFile, known: PageReading | None) -> PageReading | None:
    """What is known of a file's pages as it stands now; none where it has changed since."""
    if known is None or (known.bytes, known.modified_at) != (file.bytes, file.modified_at):
        return None
    return known


def read_pages(
    session: PartySession,
    store: Store,
    files: Sequence[OfferedFile],
    known: Mapping[str, PageReading],
    budget: int,
    without_manifest: Callable[[OfferedFile], None] = lambda _one: None,
) -> Iterator[PagesRead]:
    """Reads what was wrong before, and of the other pages as many as `budget` bytes hold; tells of each piece.

    The files have pages and the length that was published; `known` is what is known of them, by name. Of a file whose
    manifest cannot be had when its turn comes `without_manifest` hears. Raises OutOfTimeError, SiteUnavailableError.
    """
    look = _Look(session, store, files, known, without_manifest)
    yield from look.read_wrong()
    yield from look.read_on(budget)


class _Look:
    """The files of one look, by their place, and what is known of them."""

    def __init__(
        self,
        session: PartySession,
        store: Store,
        files: Sequence[OfferedFile],
        known: Mapping[str, PageReading],
        without_manifest: Callable[[OfferedFile], None],
    ) -> None:
        self._session, self._store, self._files, self._now = session, store, files, session.now
        self._without_manifest = without_manifest
        self._remembered = dict(enumerate(known.get(publication.name) for _, publication in files))
        self._readings: dict[int, PageReading] = {}

    def read_wrong(self) -> Iterator[PagesRead]:
        """Takes all files up, and reads what was wrong of them."""
        for number, (file, _) in enumerate(self._files):
            before = self._remembered[number]
            reading = reading_of(file, before)
            if reading is not None and not reading.wrong:
                self._readings[number] = reading
            elif manifest := self._find_manifest(number):
                self._readings[number] = reading or _nothing_read(file, manifest, before, self._now)
                again = np.array(self._readings[number].wrong, np.intp)
                if len(again):
                    yield from self._read(number, manifest, again[(again >= 0) & (again < len(manifest.pages))])

    def read_on(self, budget: int) -> Iterator[PagesRead]:
        """Reads as many pages as `budget` bytes hold."""
        while (number := choose_next(self._readings, self._now)) is not None:
            manifest = self._find_manifest(number)
            if manifest is None:
                del self._readings[number]
                continue
            if not len(manifest.pages):  # nothing of it is read, and the others' turn comes
                self._readings[number] = replace(self._readings[number], read_at=self._now)
                continue
            places = choose_places(self._readings[number], manifest, min(budget, _AT_ONCE))
            if not len(places):
                return
            budget -= int(manifest.pages["deflate_bytes"][places].sum())
            yield from self._read(number, manifest, places)

    def _read(self, number: int, manifest: Manifest, places: NDArray[np.intp]) -> Iterator[PagesRead]:
        file, publication = self._files[number]
        before = self._readings.pop(number)
        with self._session.each_file(file.path):
            wrong = find_wrong_pages(self._session.sftp, file.path, manifest, places, self._session.check_time)
            reading = reading_after(before, places, len(manifest.pages), wrong, self._now)
            yield PagesRead(publication.name, len(places), reading, self._remembered[number] or before)
            self._readings[number] = self._remembered[number] = reading

    def _find_manifest(self, number: int) -> Manifest | None:
        file, publication = self._files[number]
        try:
            return get_manifest(self._store, publication.artefact.manifest)
        except (MissingObjectError, StoreError) as error:
            log.warning("pages cannot be read path=%s error=%s", file.path, error)
            self._without_manifest(self._files[number])
            return None


def choose_next(readings: Mapping[int, PageReading], now: datetime) -> int | None:
    """Of which file pages are read next; none where each has been read, and read again in the look of this time."""
    whole = {number: reading for number, reading in readings.items() if len(reading.wrong) < _MANY}
    unread = {number: reading.since for number, reading in whole.items() if len(reading.unread)}
    again = {number: reading.read_at for number, reading in whole.items() if reading.read_at < now}
    candidates = unread or again
    return min(candidates, key=lambda number: candidates[number], default=None)


def choose_places(reading: PageReading, manifest: Manifest, budget: int) -> NDArray[np.intp]:
    """Which pages of a file are read next, ascending: as many as `budget` bytes hold."""
    waiting = reading.unread if len(reading.unread) else np.arange(reading.again, len(manifest.pages))
    ends = np.cumsum(manifest.pages["deflate_bytes"][waiting], dtype=np.int64)
    return waiting[: int(np.searchsorted(ends, budget, "right"))]


def reading_after(
    reading: PageReading, places: NDArray[np.intp], pages: int, wrong: Sequence[int], now: datetime
) -> PageReading:
    """What is known of a file's pages once some have been read, and what is around them; `wrong` of it is not right."""
    right = {*places.tolist(), -1, pages}.difference(wrong)
    again = reading.again
    if not len(reading.unread) and len(places):
        again = (int(places[-1]) + 1) % pages
    return replace(
        reading,
        unread=np.setdiff1d(reading.unread, places, assume_unique=True),
        wrong=tuple(sorted({*reading.wrong, *wrong} - right)),
        again=again,
        read_at=now,
    )


def _nothing_read(file: SeenFile, manifest: Manifest, before: PageReading | None, now: datetime) -> PageReading:
    """Of a file that has changed; what was wrong before is still to be looked at."""
    return PageReading(
        bytes=file.bytes,
        modified_at=file.modified_at,
        as_published=False,
        since=now,
        unread=np.arange(len(manifest.pages)),
        wrong=before.wrong if before else (),
        again=0,
        read_at=now,
    )
