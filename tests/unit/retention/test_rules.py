"""What retention keeps and removes: each rule by an example, and all of them over months of days that go wrong."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from builders import made_artefact
from conftest import CONFIG
from smki.obligations.catalogue import DeltaExtract
from smki.obligations.user_guide import load_user_guide
from smki.publish.artefact import Publication
from smki.retention.rules import Action, FilePlan, SeenFile, plan_retention

GUIDE = load_user_guide(CONFIG)
SUNDAY = date(2026, 3, 1)
DAY, WEEK = timedelta(days=1), timedelta(days=7)


def at(day: date, hour: float = 0) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hour)


def publication(name: str, day: date, published_at: datetime | None = None) -> Publication:
    obligation = GUIDE.obligation(name)
    version = 1 if obligation.replaced_in_place else None
    artefact = made_artefact(name, obligation.file_name(day), day, bytes=day.toordinal(), version=version)
    return Publication("primary", artefact, f"/{artefact.name}", "run", published_at or at(day, 1))


def delta(day: date, published_at: datetime | None = None) -> Publication:
    return publication("delta", day, published_at)


def full(day: date, published_at: datetime | None = None) -> Publication:
    return publication("full", day, published_at)


def standing(published: Publication) -> SeenFile:
    return SeenFile(published.path, published.artefact.bytes, published.published_at)


def plan(offered, now, lost=(), more=(), guide=GUIDE) -> dict[str, FilePlan]:
    listing = [standing(published) for published in offered if published not in lost]
    return {one.path: one for one in plan_retention(guide, offered, [*listing, *more], now)}


def actions(*arguments, **options) -> list[Action]:
    """Of what the ledger offers, in its order."""
    offered = arguments[0]
    found = plan(*arguments, **options)
    return [found[published.path].action for published in offered]


def test_clause_2_3_3_b_a_delta_is_removed_seven_days_after_its_publication():
    published = delta(SUNDAY)
    offered = [published, full(SUNDAY)]
    assert actions(offered, published.published_at + WEEK - timedelta(seconds=1))[0] is Action.KEEP
    found = plan(offered, published.published_at + WEEK)[published.path]
    assert found.action is Action.REMOVE
    assert (
        found.rule
        == "a delta is available for 7 days from its publication and is then removed (SEC Appendix O 2.3.3 (b))"
    )


def test_a_delta_that_comes_late_stays_as_long_as_any_other():
    offered = [delta(SUNDAY, at(SUNDAY + 5 * DAY)), full(SUNDAY)]
    assert actions(offered, at(SUNDAY + 11 * DAY))[0] is Action.KEEP
    assert actions(offered, at(SUNDAY + 12 * DAY))[0] is Action.REMOVE


def test_seven_days_are_168_hours_though_the_clocks_change_meanwhile():
    published_at = datetime(2027, 3, 25, 5, 30, tzinfo=UTC).astimezone(ZoneInfo("Europe/London"))  # summer time begins
    offered = [delta(date(2027, 3, 25), published_at), full(date(2027, 3, 28))]
    assert actions(offered, datetime(2027, 4, 1, 5, 29, tzinfo=UTC))[0] is Action.KEEP
    assert actions(offered, datetime(2027, 4, 1, 5, 30, tzinfo=UTC))[0] is Action.REMOVE


def test_a_plan_for_a_time_before_the_publication_keeps_it():
    assert actions([delta(SUNDAY)], at(SUNDAY - 30 * DAY)) == [Action.KEEP]


def test_a_delta_that_leads_from_the_newest_full_to_today_waits_with_a_warning():
    offered = [full(SUNDAY), delta(SUNDAY), delta(SUNDAY + DAY)]
    found = plan(offered, at(SUNDAY + 10 * DAY))
    assert [found[p.path].action for p in offered] == [Action.KEEP, Action.REMOVE, Action.WAIT]
    assert found[offered[2].path].is_warning
    assert "from the full extract of 2026-03-01 to today" in found[offered[2].path].rule


def test_a_waiting_delta_goes_once_a_newer_full_stands_on_the_server():
    offered = [full(SUNDAY), delta(SUNDAY + DAY), full(SUNDAY + WEEK)]
    assert actions(offered, at(SUNDAY + 10 * DAY)) == [Action.KEEP, Action.REMOVE, Action.KEEP]
    assert actions(offered, at(SUNDAY + 10 * DAY), lost=offered[2:])[1] is Action.WAIT


def test_deltas_wait_while_no_full_stands_on_the_server_whether_there_ever_was_one_or_not():
    lost, held = full(SUNDAY + WEEK), delta(SUNDAY)
    assert actions([lost, held], at(SUNDAY + 10 * DAY), lost=[lost]) == [Action.LOST, Action.WAIT]
    found = plan([held], at(SUNDAY + 10 * DAY))[held.path]
    assert found.action is Action.WAIT
    assert "from the next full extract to today" in found.rule


def test_waiting_can_be_switched_off():
    rule = replace(GUIDE.delta.kind.retirement, wait_for_recovery=False)
    changed = replace(GUIDE.delta, kind=DeltaExtract(rule))
    strict = replace(GUIDE, all=tuple(changed if one == GUIDE.delta else one for one in GUIDE.all))
    offered = [full(SUNDAY), delta(SUNDAY + DAY)]
    assert actions(offered, at(SUNDAY + 10 * DAY), guide=strict) == [Action.KEEP, Action.REMOVE]


def test_the_two_newest_fulls_stay_and_older_ones_go():
    offered = [full(SUNDAY + n * WEEK) for n in range(4)]
    assert actions(offered, at(SUNDAY + 22 * DAY)) == [Action.REMOVE] * 2 + [Action.KEEP] * 2


def test_a_full_waits_until_its_successors_stand_on_the_server():
    offered = [full(SUNDAY + n * WEEK) for n in range(3)]
    now = at(SUNDAY + 15 * DAY)
    assert actions(offered, now, lost=offered[2:]) == [Action.WAIT, Action.KEEP, Action.LOST]
    damaged = replace(standing(offered[2]), bytes=1)
    found = plan(offered, now, lost=offered[2:], more=[damaged])
    assert [found[p.path].action for p in offered] == [Action.WAIT, Action.KEEP, Action.FOREIGN]


def test_what_is_replaced_in_place_stays():
    in_place = [publication(one.name, SUNDAY) for one in GUIDE.all if one.replaced_in_place]
    assert set(actions(in_place, at(SUNDAY + 400 * DAY))) == {Action.KEEP}


def test_what_has_no_obligation_any_more_waits_for_a_person():
    published = full(SUNDAY)
    orphan = replace(published, artefact=replace(published.artefact, obligation="gone"))
    assert actions([orphan], at(SUNDAY + 400 * DAY)) == [Action.WAIT]
    assert actions([orphan], at(SUNDAY + 400 * DAY), lost=[orphan]) == [Action.ALREADY_GONE], "that person removed it"


def test_what_is_due_and_not_there_has_gone_and_what_is_not_due_is_lost():
    gone, lost = delta(SUNDAY), delta(SUNDAY + 5 * DAY)
    found = plan([full(SUNDAY), gone, lost], at(SUNDAY + 8 * DAY), lost=[gone, lost])
    assert [found[p.path].action for p in (gone, lost)] == [Action.ALREADY_GONE, Action.LOST]
    assert [found[p.path].is_warning for p in (gone, lost)] == [False, True]


def test_other_bytes_under_a_published_name_are_foreign_even_if_due():
    published = delta(SUNDAY)
    other = replace(standing(published), bytes=1)
    found = plan([full(SUNDAY), published], at(SUNDAY + 30 * DAY), lost=[published], more=[other])[published.path]
    assert (found.action, found.is_warning) == (Action.FOREIGN, True)


def test_what_the_ledger_does_not_offer_is_foreign_whatever_its_name_and_age():
    unrecorded = [
        standing(delta(SUNDAY)),
        SeenFile("/notes.txt", 3, at(SUNDAY)),
        SeenFile("/.notes.txt.part", 3, at(SUNDAY)),
    ]
    found = plan([delta(SUNDAY + 300 * DAY)], at(SUNDAY + 300 * DAY), more=unrecorded)
    assert {found[file.path].action for file in unrecorded} == {Action.FOREIGN}


@pytest.mark.parametrize(("hours_before", "action"), [(23, Action.KEEP), (24, Action.KEEP), (25, Action.LEFTOVER_PART)])
def test_a_part_goes_when_the_newest_file_of_ours_is_a_day_younger(hours_before: int, action: Action):
    newest = delta(SUNDAY)
    modified = newest.published_at - timedelta(hours=hours_before)
    part = SeenFile(f"/.{GUIDE.full.file_name(SUNDAY)}.part", 5, modified)
    assert plan([newest], at(SUNDAY, 2), more=[part])[part.path].action is action


def test_a_part_stays_while_nothing_tells_the_server_s_clock():
    part = SeenFile(f"/.{GUIDE.full.file_name(SUNDAY)}.part", 5, at(SUNDAY))
    foreign = SeenFile("/from the future", 5, at(SUNDAY + 900 * DAY))
    assert plan([], at(SUNDAY + 400 * DAY), more=[part, foreign])[part.path].action is Action.KEEP


def test_paths_are_compared_whatever_their_spelling():
    published = replace(delta(SUNDAY), path=f"out//{delta(SUNDAY).name}")
    (found,) = plan_retention(
        GUIDE, [published], [SeenFile(f"out/{published.name}", published.artefact.bytes, at(SUNDAY))], at(SUNDAY, 2)
    )
    assert found.action is Action.KEEP


class Months(RuleBasedStateMachine):
    """A site over many days: publications in time, late, failed; files that others lose; retention that crashes."""

    @initialize()
    def begin(self):
        self.now = at(SUNDAY, 1)
        self.offered: dict[str, Publication] = {}
        self.server: dict[str, SeenFile] = {}
        self.foreign: dict[str, SeenFile] = {}
        self.fulls: set[date] = set()  # ever published
        self.deltas: set[date] = set()  # ever published
        self.lost: set[str] = set()  # taken away by others and not published again
        self.looked = False  # retention has just ended

    @rule(
        hour=st.integers(0, 23),
        delta_runs=st.sampled_from([True, True, True, False]),
        full_runs=st.booleans(),
        retention_runs=st.sampled_from([True, True, False]),
    )
    def day_passes(self, hour, delta_runs, full_runs, retention_runs):
        self.now, self.looked = at(self.now.date() + DAY, hour), False
        if full_runs and GUIDE.full.cut_off.falls_on(self.now.date()):
            self.publish(full(self.now.date(), self.now))
        if delta_runs:
            self.publish(delta(self.now.date(), self.now))
        if retention_runs:
            self.retention_runs(None)

    @rule(retention_runs=st.booleans())
    def week_passes(self, retention_runs):
        for _ in range(7):
            self.day_passes(1, delta_runs=True, full_runs=True, retention_runs=retention_runs)

    @rule(days_late=st.integers(1, 12))
    def late_delta(self, days_late):
        if (day := self.now.date() - days_late * DAY) >= SUNDAY:
            self.publish(delta(day, self.now))

    @rule(weeks_late=st.integers(0, 3))
    def late_full(self, weeks_late):
        last = self.now.date() - timedelta(days=(self.now.date() - SUNDAY).days % 7)
        if (day := last - weeks_late * WEEK) >= SUNDAY:
            self.publish(full(day, self.now))

    @rule(which=st.integers(0, 3), kind=st.sampled_from(["FULL", "DELT"]))
    def somebody_takes_a_file_away(self, which, kind):
        ours = sorted((path for path in self.server.keys() & self.offered.keys() if kind in path), reverse=True)
        for path in ours[which : which + 1]:
            del self.server[path]
            self.lost.add(path)
        self.looked = False

    @rule(age=st.integers(0, 30), name=st.sampled_from(["notes", ".notes.part", GUIDE.delta.file_name(SUNDAY - WEEK)]))
    def somebody_puts_a_file_there(self, age, name):
        self.foreign[f"/{name}"] = self.server[f"/{name}"] = SeenFile(f"/{name}", 1, self.now - age * DAY)

    @rule(crash_at=st.none() | st.tuples(st.integers(0, 5), st.booleans()))
    def retention_runs(self, crash_at):
        """Crashes before one of its removals, or between it and its record."""
        due = (Action.REMOVE, Action.ALREADY_GONE)
        plans = plan_retention(GUIDE, self.offered.values(), self.server.values(), self.now)
        for number, one in enumerate(one for one in plans if one.action in due):
            if crash_at == (number, False):
                return
            day, is_full = one.publication.artefact.business_date, "FULL" in one.path
            standing_fulls = [other for other in self.fulls if self.stands(full(other))]
            if is_full:
                assert sum(other > day for other in standing_fulls) >= 2, "its successors are there"
            else:
                assert any(other >= day for other in standing_fulls), "the full extract that makes up for it is there"
            self.server.pop(one.path, None)
            if crash_at == (number, True):
                return
            del self.offered[one.path]
        self.looked = True

    def publish(self, published: Publication):
        """As the ledger has it: a name is written once, and only a lost file is put there again."""
        days = self.fulls if published.artefact.obligation == "full" else self.deltas
        again = published.path in self.offered and published.path not in self.server
        if published.artefact.business_date in days and not again:
            return
        days.add(published.artefact.business_date)
        self.offered[published.path] = published
        self.server[published.path] = standing(published)
        self.lost.discard(published.path)
        self.looked = False

    def stands(self, published: Publication) -> bool:
        return published.path in self.server

    @invariant()
    def a_party_with_the_newest_full_reaches_today(self):
        if newest := max(self.fulls, default=None):
            needed = [delta(day) for day in self.deltas if day > newest]
            assert all(self.stands(published) or published.path in self.lost for published in needed)

    @invariant()
    def the_two_newest_fulls_stay(self):
        newest = [full(day) for day in sorted(self.fulls)[-2:]]
        assert all(self.stands(published) or published.path in self.lost for published in newest)

    @invariant()
    def nothing_foreign_is_touched(self):
        assert all(self.server[path] == file for path, file in self.foreign.items())

    @invariant()
    def no_delta_outlives_seven_days_but_for_recovery(self):
        if not self.looked:
            return
        newest = max((day for day in self.fulls if self.stands(full(day))), default=date.min)
        for path, published in self.offered.items():
            if published.artefact.obligation == "delta" and self.now - published.published_at >= WEEK:
                assert published.artefact.business_date > newest, path

    @invariant()
    def no_more_than_two_whole_fulls_stay(self):
        if self.looked:
            assert sum(self.stands(full(day)) for day in self.fulls) <= 2


TestMonths = Months.TestCase
TestMonths.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
