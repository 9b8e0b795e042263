"""The operator of the machine (`test_both_ends`): what happens to a repository and its files, and what always holds."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import asyncssh
import pytest
from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from builders import change as change_in
from builders import contents_of, day, document, during, lodge_bodies, record_of, zipped
from smki.certificates.model import Status
from smki.certificates.set_digest import SetDigest
from smki.errors import LedgerBehindError, PublicationRefusedError, TransportError
from smki.repository.takeover import take_over

from ..publish.conftest import Faults
from .model import Expected, Statuses, in_use
from .parties import foretell
from .publisher import Backup, Publisher

NAME = re.compile(r"SMKIKR_(FULL|DELT)_(\d{4}-\d\d-\d\d)\.xml\.gz")
_PAGE = 128  # ids
NEVER = datetime.max.replace(tzinfo=UTC)


def _fault(**wrong: object) -> st.SearchStrategy[Faults]:
    return st.builds(Faults, **{name: st.just(value) for name, value in wrong.items()})


_WRONG = st.one_of(
    st.builds(Faults, drop_at_request=st.integers(0, 7)),
    _fault(drop_at=0),
    _fault(drop_after_rename=True),
    _fault(disk_bytes=100),
    _fault(flip_read=True),
    st.builds(lambda: Faults(answers={"posix_rename": asyncssh.SFTPFailure("Failure")})),
)
FAULTS = st.sampled_from([False, False, True]).flatmap(lambda is_wrong: _WRONG if is_wrong else st.builds(Faults))
_PICKS = st.lists(st.integers(0, 29), min_size=1, max_size=4)
_RIGHT = (0, 12)
_CLOCKS = st.tuples(st.integers(-2, 2), st.integers(1, 23))  # days that a clock is wrong by, and the hour that it shows


class Day(NamedTuple):
    """A day of an operator, or some in one."""

    lodged: list[int]  # picks
    as_status: str
    apart: bool  # whether what is lodged begins a page
    changed: list[int]  # picks
    to_status: str
    clock: tuple[int, int]
    closes: int  # windows
    files: list[str]  # that go out
    from_scratch: bool
    faults: Faults  # of one of the files, or of the index
    index_after: int | None  # hours by the operator's clock; none: it is not published
    parties: str  # that synchronise at its end: s, who goes by the signed index, and u, who goes by names


DAYS = st.builds(
    Day,
    lodged=_PICKS | st.just([]),
    as_status=st.sampled_from("IIIPN"),
    apart=st.booleans(),
    changed=_PICKS,
    to_status=st.sampled_from("IINNRRRE"),
    clock=st.sampled_from([True, True, False]).flatmap(lambda is_right: st.just(_RIGHT) if is_right else _CLOCKS),
    closes=st.sampled_from([1, 1, 1, 0, 2]),
    files=st.sampled_from([["delta"], ["delta", "full"], ["full"], []]),
    from_scratch=st.booleans(),
    faults=FAULTS,
    index_after=st.sampled_from([24, 24, 1, -5, None]),
    parties=st.sampled_from(["su", "s", "u", ""]),
)


def number_of(of_day: date) -> int:
    return (of_day - day(0)).days


def number_in(name: str) -> int:
    """The day of a dated file."""
    found = NAME.fullmatch(name)
    assert found is not None
    return number_of(date.fromisoformat(found[2]))


def dated(names: Iterable[str]) -> tuple[set[date], set[date]]:
    """Days of the full extracts and of the deltas among files."""
    found = [match for name in names if (match := NAME.fullmatch(name))]
    fulls, deltas = ({date.fromisoformat(one[2]) for one in found if one[1] == kind} for kind in ("FULL", "DELT"))
    return fulls, deltas


def check_corrections(index: Mapping[str, Any]) -> None:
    """A day without its delta, between others, is named, and what leads a copy of the day before over it."""
    fulls, deltas = dated(one["name"] for one in index["files"])
    by = {date.fromisoformat(one["business_date"]): one["by"] for one in index["corrections"]}
    for missing, full in by.items():
        event(f"a delta is missing, corrected: {bool(full)}")
        reached = foretell(missing - timedelta(days=1), fulls, deltas).day
        assert reached is not None
        assert (reached >= missing) == bool(full)
    first = min([*deltas, *([max(fulls) + timedelta(days=1)] if fulls else [])], default=date.max)
    days = range(first.toordinal(), max(fulls | deltas).toordinal()) if deltas else ()
    assert {date.fromordinal(one) for one in days} - deltas == by.keys()


@contextmanager
def may_fail(faults: Faults) -> Iterator[None]:
    """What goes wrong with these faults is left for another try."""
    is_well = faults == Faults()
    try:
        yield
    except (TransportError, PublicationRefusedError):
        if is_well:
            raise


class Operator(RuleBasedStateMachine):
    def __init__(self, publisher: Publisher, pool: Mapping[bytes, datetime]) -> None:
        super().__init__()
        self.publisher, self.pool = publisher, list(pool)
        self.revocable = {body for body, end in pool.items() if end != NEVER}  # Organisations', and no Device's
        self.model = Expected(pool)
        self.published: dict[str, bytes] = {}  # all that ever stood on the server under a dated name
        self.contents: dict[str, Statuses] = {}  # of these
        self.truth: dict[int, Statuses] = {}  # the repository of each day of which something was published
        self.follower: tuple[int, Statuses] = (0, {})  # a Party that follows deltas only
        self.retired: set[str] = set()  # names that retention has removed
        self.backups: list[tuple[Backup, Expected]] = []
        self.server_backups: list[dict[str, bytes]] = []
        publisher.begin()

    @initialize(taken_over=st.booleans())
    def begin(self, taken_over: bool) -> None:
        """The first day, in pages of few certificates, or what another publisher published on it."""
        first = self.pool[:12]
        if taken_over:
            xml = document([record_of(body) for body in first])
            file = zipped(self.publisher.folder, xml, f"SMKIKR_FULL_{day(1)}.xml.gz")
            list(take_over(self.publisher.engine, self.publisher.guide, file, []))
            self.model.takes_over(1, dict.fromkeys(first, "I"))
            self.model.first = 2
            self.follower = (1, self.model.as_of(1))
        else:
            for place in range(0, len(first), 2):
                self._lodge(first[place : place + 2], "I", during(1), apart=True)

    @rule(days=st.lists(DAYS, min_size=1, max_size=3))
    def live(self, days: list[Day]) -> None:
        """Something changes, a window closes, its delta goes out, and now and then a full extract; or some of that."""
        for one in days:
            self._keep_backups()
            self.lodge(one.lodged, one.as_status, one.clock, apart=one.apart)
            self.change(one.changed, one.to_status, one.clock)
            self.close(one.closes)
            for kind in one.files:
                if self.model.closed in self._due(kind):
                    self._publish(kind, self.model.closed, one.faults, from_scratch=one.from_scratch)
            if one.index_after is not None:
                self.publish_index(one.index_after, one.faults)
            self.agree()
            self.end_day(one)

    def end_day(self, one: Day) -> None:
        """What Parties do: here there are none."""

    def _keep_backups(self) -> None:
        self.backups.append((self.publisher.back_up(), self.model.copy()))
        self.server_backups.append(self.publisher.standing)

    def lodge(self, picks: list[int], status: str, clock: tuple[int, int], *, apart: bool) -> None:
        known = self.model.now().keys() | {body for content in self.contents.values() for body in content}
        free = [body for body in self.pool if body not in known]
        bodies = list(dict.fromkeys(free[pick % len(free)] for pick in picks)) if free else []
        self._lodge(bodies, status, self._at(clock), apart=apart)

    def _lodge(self, bodies: list[bytes], status: str, at: datetime, *, apart: bool) -> None:
        if not bodies:
            return
        if apart:
            self.publisher.pass_numbers(_PAGE)
        assert lodge_bodies(self.publisher.engine, bodies, at, Status(status)).lodged == len(bodies)
        self.model.happens(bodies, status, at)

    def change(self, picks: list[int], status: str, clock: tuple[int, int]) -> None:
        able = [
            body
            for body in self.model.now()
            if self.model.may_become(body, status) and (status != "R" or body in self.revocable)
        ]
        bodies = list(dict.fromkeys(able[pick % len(able)] for pick in picks)) if able else []
        assert change_in(self.publisher.engine, bodies, Status(status), self._at(clock)) == len(bodies)
        self.model.happens(bodies, status, self._at(clock))

    def _at(self, clock: tuple[int, int]) -> datetime:
        days, hour = clock
        return during(max(self.model.first, self.model.closed + 1 + days), hour)

    def close(self, days: int) -> None:
        for _ in range(days):
            self.model.close()
        if days:
            self.publisher.close(self.model.closed)

    @precondition(lambda self: self.model.closed >= self.model.first)
    @rule(
        kind=st.sampled_from(["delta", "delta", "full"]),
        back=st.integers(0, 3),
        from_scratch=st.booleans(),
        faults=FAULTS,
        then_index=st.booleans(),
    )
    def publish(self, kind: str, back: int, from_scratch: bool, faults: Faults, then_index: bool) -> None:
        """The oldest delta that is due, mostly, or the newest full extract; a run that failed is repeated some time."""
        due = self._due(kind)
        if not due:
            return
        number = due[back // 3 % len(due)] if kind == "delta" else due[-1 - back % len(due)]
        self._publish(kind, number, faults, from_scratch=from_scratch)
        if then_index:
            self.publish_index(1, Faults())

    def _due(self, kind: str) -> list[int]:
        obligation = self.publisher.guide.obligation(kind)
        names = {number: obligation.file_name(day(number)) for number in range(self.model.first, self.model.closed + 1)}
        return [number for number, name in names.items() if not self.publisher.has_published(name)]

    def _publish(self, kind: str, number: int, faults: Faults, *, from_scratch: bool = False) -> None:
        obligation = self.publisher.guide.obligation(kind)
        with may_fail(faults):
            self.publisher.publish(obligation, number, faults, from_scratch=from_scratch)

    def publish_index(self, hours: int, faults: Faults) -> None:
        self.publisher.clock += timedelta(hours=hours)
        with may_fail(faults):
            self.publisher.publish_index(faults)

    @precondition(lambda self: self.published)
    @rule(days=st.sampled_from([1, 3, 8]), then_index=st.booleans())
    def retire(self, days: int, then_index: bool) -> None:
        gone = self.publisher.retire(days)
        self.retired |= gone
        event(f"retention removed something: {bool(gone)}")
        if then_index:
            self.publish_index(1, Faults())

    # Disasters of the operator.

    @precondition(lambda self: self.published and self.backups)
    @rule(which=st.integers(0, 5))
    def restore_database(self, which: int) -> None:
        """The database is as it was; what the server has and the ledger does not know is adopted.

        Where that cannot be, a copy that is as new as the server is brought back.
        """
        if not self._is_server_whole():
            return
        newest, lived = self.publisher.back_up(), self.model
        backup, known = self.backups[which % len(self.backups)]
        self.publisher.restore(backup)
        self.model = known.copy()
        if not self.publisher.is_behind:
            return
        with pytest.raises(LedgerBehindError):
            self.publisher.publish_index()
        seen = self.publisher.adopt()
        event(f"adopted: {not any(one.error for one in seen)}")
        days = {number_in(one.file.name) for one in seen}
        deltas = {number_in(one.file.name) for one in seen if one.file.obligation.name == "delta"}
        if any(one.error for one in seen):
            lost = range(known.closed + 1, max(days) + 1)
            assert not known.closed or not lived.is_orderly or not deltas.issuperset(lost), seen
            self.publisher.restore(newest)
            self.model = lived
            return
        for number in sorted(deltas - set(range(known.closed + 1))):
            self.model.takes_over(number, self.contents[f"SMKIKR_DELT_{day(number)}.xml.gz"])
        assert not self.publisher.is_behind

    @precondition(lambda self: self.published)
    @rule()
    def rebuild_database(self) -> None:
        """The database is lost without a backup, and made again from what it published."""
        fulls, deltas = dated(self.publisher.standing)
        if not fulls or not self._is_server_whole():
            return
        reached = foretell(max(fulls), (), deltas)
        if reached.day is None or reached.refusal or reached.day < max((*fulls, *deltas)):
            return
        start, end = number_of(max(fulls)), number_of(reached.day)
        names = [f"SMKIKR_FULL_{day(start)}.xml.gz"]
        names += [f"SMKIKR_DELT_{day(number)}.xml.gz" for number in range(start + 1, end + 1)]
        self.publisher.rebuild(names)
        self.model = Expected(self.model.ends, first=end + 1)
        for number, name in enumerate(names, start=start):
            self.model.takes_over(number, self.contents[name])
        self.backups = []
        event("rebuilt")

    @precondition(lambda self: self.published)
    @rule(which=st.integers(0, 5), then_mend=st.booleans())
    def restore_server(self, which: int, then_mend: bool) -> None:
        """The server is as it was; what the ledger offers is published again."""
        # What was adopted is not in the store byte by byte: put there again, it may have its pages cut elsewhere.
        adopted = {one.name for one in self.publisher.offered if not one.artefact.manifest}
        content = self.server_backups[which % len(self.server_backups)]
        self.publisher.replace_standing(
            content | {name: content for name, content in self.publisher.standing.items() if name in adopted}
        )
        if then_mend:
            self.mend_server()

    def mend_server(self) -> None:
        """Publishes again what the ledger offers and the server has lost."""
        for name in {one.name for one in self.publisher.offered} - self.publisher.standing.keys():
            self._publish("full" if "FULL" in name else "delta", number_in(name), Faults())

    def _is_server_whole(self) -> bool:
        """Whether it has all that was published: who loses the database and the server at once has lost it."""
        self.mend_server()
        names = {name for name in self.published if number_in(name) >= self.model.first}
        return names - self.retired <= self.publisher.standing.keys()

    # Always.

    @invariant()
    def agree(self) -> None:
        """What stands on the server is what the repository says, and never changes; ledger and index say the same."""
        standing = self.publisher.standing
        for name in filter(NAME.fullmatch, standing):
            if name not in self.published:
                number = number_in(name)
                truth = self.truth.setdefault(number, self.model.as_of(number))
                assert in_use(truth) == in_use(self.model.as_of(number))
                self.published[name] = standing[name]
                self.contents[name] = has = contents_of(self.publisher.server.published / name)
                expected = dict.fromkeys(in_use(truth), "I") if "FULL" in name else self.model.changed_by(number)
                assert has == expected
            assert standing[name] == self.published[name]
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in standing.items()}
        for one in self.publisher.offered:
            assert hashes.get(one.name, one.artefact.sha256) == one.artefact.sha256
        index = self.publisher.index or {"files": [], "corrections": []}
        for stated in index["files"]:
            assert hashes.get(stated["name"], stated["sha256"]) == stated["sha256"]
            truth = self.truth[number_in(stated["name"])]
            assert stated["state"] == str(SetDigest.of(in_use(truth)))
        check_corrections(index)
        self._follow()

    def _follow(self) -> None:
        """The Party that follows deltas only has every day's statuses, too."""
        number, has = self.follower
        while (delta := self.contents.get(f"SMKIKR_DELT_{day(number + 1)}.xml.gz")) is not None:
            number, has = number + 1, has | delta
            assert in_use(has) == in_use(self.truth[number])
            assert {body: has[body] for body in self.truth[number]} == self.truth[number]
        self.follower = (number, has)
