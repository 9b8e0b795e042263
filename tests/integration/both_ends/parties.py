"""The Parties' end: what a copy has, and what `smki sync` has to make of it, by days alone."""

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from cryptography import x509

from smki.certificates.set_digest import SetDigest
from smki.party.copy import LocalCopy
from smki.party.planning import Plan
from smki.party.refusals import Refusal
from smki.party.synchronising import Listener, Wish, synchronise
from smki.publish.site import Site

from .model import Statuses, in_use

_BESIDE = ("-wal", "-shm")


@dataclass
class Party:
    """Keeps a copy by `smki sync`, and copies of the copy."""

    path: Path
    signers: Sequence[x509.Certificate] = ()  # none: it goes by names and sizes
    kept: list[bytes | None] = field(default_factory=lambda: [None])  # the copy as it was; none: there was none yet
    plans: list[Plan] = field(default_factory=list)

    def sync(self, site: Site, *, anew: bool = False) -> None:
        synchronise(site, self.path, Wish(self.signers, anew), Listener(self.plans.append))

    def keep(self) -> None:
        content = self.path.read_bytes() if self.path.exists() else None
        if content not in self.kept:
            self.kept.append(content)

    def bring_back(self, number: int) -> None:
        """The copy is as it was; what was half fetched is still there."""
        for ending in ("", *_BESIDE):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        if (content := self.kept[number % len(self.kept)]) is not None:
            self.path.write_bytes(content)

    def begin(self) -> None:
        shutil.rmtree(self.path.parent, ignore_errors=True)
        self.path.parent.mkdir(parents=True)
        self.kept, self.plans = [None], []

    @property
    def day(self) -> date | None:
        return self._read()[0]

    @property
    def index_at(self) -> datetime | None:
        return self._read()[1]

    def _read(self) -> tuple[date | None, datetime | None]:
        if not self.path.exists():
            return None, None
        with LocalCopy(self.path, read_only=True) as copy:
            return copy.day, copy.index_at

    def check(self, truth: Statuses, revoked: Collection[bytes]) -> None:
        """The copy is the repository of its day, certificate by certificate."""
        with LocalCopy(self.path, read_only=True) as copy:
            copy.check()
            has: Statuses = dict(copy.read("SELECT body, status FROM certificate", ()))
            assert copy.in_use == SetDigest.of(in_use(truth))
        assert in_use(has) == in_use(truth)
        assert not in_use(has) & set(revoked)
        assert {body: truth.get(body, status) for body, status in has.items()} == has


@dataclass(frozen=True)
class Outcome:
    """Of a synchronisation: the day of the copy, and the refusal, if there is one."""

    day: date | None
    refusal: Refusal | None = None


def foretell(day: date | None, fulls: Collection[date], deltas: Collection[date]) -> Outcome:
    """What becomes of a copy of that day where these full extracts and deltas are offered."""
    newest = max((*fulls, *deltas), default=None)
    if day is None and not fulls:
        return Outcome(None, Refusal.NO_START)
    if day is not None and (newest is None or newest < day):
        return Outcome(day, Refusal.BEHIND)
    assert newest is not None
    ends = []
    for start in (*fulls, *([] if day is None else [day])):
        end = start.toordinal()
        while date.fromordinal(end + 1) in deltas:
            end += 1
        ends.append(date.fromordinal(end))
    return Outcome(max(ends), None if max(ends) == newest else Refusal.HOLE)
