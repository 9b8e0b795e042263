"""What a shaky line costs people: nothing, or one message each way."""

import random
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from builders import lodge_bodies, look_alikes
from smki.obligations.catalogue import UserGuide
from smki.repository.windows import close_windows
from smki.watch import auditor
from smki.watch.findings import Finding, Kind
from smki.watch.findings_ledger import list_findings_since, list_open_findings, record_look
from smki.watch.links import Links
from smki.watch.telling import Message, tell

from ..publish.conftest import FaultyServer
from .conftest import DAY, NOON, TODAY, World

TEN_MINUTES = timedelta(minutes=10)
DOWN = [Finding(Kind.UNREACHABLE, "primary", "site", "it gave no answer.")]


def told(world: World, now: datetime) -> list[str]:
    sent: list[Message] = []
    tell(world.engine, world.guide, sent.append, now, Links())
    return [message.subject for message in sent]


def test_link_that_flaps_is_one_finding_with_one_message_each_way(world: World):
    subjects, now = list[str](), NOON
    for up in [False, True, False, False, True, False, True, True, True, True]:
        record_look(world.engine, "primary", [] if up else DOWN, now)
        subjects += told(world, now)
        now += TEN_MINUTES
    unreachable = "unreachable: site on site primary"
    assert subjects == [f"[SMKI] {unreachable}", f"[SMKI] closed: {unreachable}"]
    (finding,) = list_findings_since(world.engine, NOON)
    assert finding.first_seen == NOON
    assert finding.closed_at == NOON + 6 * TEN_MINUTES
    record_look(world.engine, "primary", DOWN, now)
    assert told(world, now) == [f"[SMKI] {unreachable}"], "it has been steady since: another finding"


def test_files_of_one_look_and_one_cause_are_one_message(world: World):
    for file in world.sshd.published.iterdir():
        file.unlink()
    world.audit(NOON)
    (subject,) = told(world, NOON)
    assert subject.startswith("[SMKI] lost: ")
    assert subject.endswith(" and 7 more on site primary")


def test_a_broken_chain_is_told_with_the_file_that_it_lacks(world: World):
    for file in world.sshd.published.glob("*FULL*"):
        file.unlink()
    world.audit(NOON)
    told(world, NOON)
    ago = 3 if world.guide.full.cut_off.falls_on(TODAY - 2 * DAY) else 2  # not the one that is gone
    world.publish("full", TODAY - ago * DAY)
    world.on_server("delta", TODAY - DAY).unlink()
    world.audit(NOON + TEN_MINUTES)
    assert {one.finding.kind for one in list_findings_since(world.engine, NOON)} == {Kind.LOST, Kind.CHAIN_BROKEN}
    (subject,) = told(world, NOON + TEN_MINUTES)
    assert subject.endswith(f"{world.guide.delta.file_name(TODAY - DAY)} and 1 more on site primary")


@pytest.fixture
def faulty_world(
    repository: Engine, faulty: FaultyServer, user_guide: UserGuide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> World:
    """A repository whose first day was a week ago, and a site with nothing on it yet."""
    monkeypatch.setattr(auditor, "_AGAIN_AFTER_S", (0.0, 0.0, 0.0))
    staged = tmp_path / "staged"
    staged.mkdir()
    faulty.published.mkdir()
    return World(repository, user_guide, faulty, staged)


def test_a_week_on_a_line_that_drops_one_connection_in_fifty_sends_no_message(
    faulty_world: World, faulty: FaultyServer
):
    """1,008 looks by a clock of the test. Those in which the line holds are alike: one in twelve of them is made."""
    world, first = faulty_world, TODAY - 7 * DAY
    lodge_bodies(world.engine, look_alikes(1), datetime.combine(first, time(12), UTC))
    line = random.Random(50)
    sent = list[str]()
    for number in range(7 * 24 * 6):
        now = datetime.combine(first + DAY, time(), UTC) + number * TEN_MINUTES
        if now.time() == time(1):
            close_windows(world.engine, now.date(), world.guide.delta.cut_off.at)
            world.publish("delta", now.date())
            if world.guide.full.cut_off.falls_on(now.date()):
                world.publish("full", now.date())
        drops = line.random() < 1 / 50
        if drops or number % 12 == 0:
            faulty.faults.drop_at_request = line.randrange(3) if drops else None
            world.audit(now)
            faulty.faults.drop_at_request = None
            sent += told(world, now)
    assert faulty.faults.dropped > 10
    assert sent == []


def test_findings_of_a_site_that_is_left_close_once_nobody_has_looked_there_for_a_day(world: World):
    lost = Finding(Kind.LOST, "old", "a.gz", "it is gone.")
    record_look(world.engine, "old", [lost, Finding(Kind.UNREACHABLE, "old", "site", "it gave no answer.")], NOON)
    told(world, NOON)
    record_look(world.engine, "primary", [], NOON + DAY - TEN_MINUTES, sites=["primary"])
    assert len(list_open_findings(world.engine)) == 2, "another machine may still look there"
    record_look(world.engine, "primary", [], NOON + DAY, sites=["primary", "old"])
    assert len(list_open_findings(world.engine)) == 2
    closed = record_look(world.engine, "primary", [], NOON + DAY, sites=["primary"]).closed
    assert {one.finding.kind for one in closed} == {Kind.LOST, Kind.UNREACHABLE}
    assert list_open_findings(world.engine) == []
    assert closed[0].finding.rule.startswith(lost.rule)
    assert closed[0].finding.rule != lost.rule, "it says why"


def test_what_the_ledger_alone_tells_closes_also_where_a_folder_cannot_be_listed(world: World):
    folder = Finding(Kind.UNREADABLE, "primary", "folder /lists", "a Party's account may not list it.")
    lost = Finding(Kind.LOST, "primary", "a.gz", "it is gone.")
    missing = Finding(Kind.MISSING, "primary", "b.gz", "it was due and is not there.", "delta", TODAY)
    held = Finding(Kind.HELD, "", "b.gz (gate run 1)", "gate run 1 holds it.", "delta", TODAY)
    record_look(world.engine, "primary", [folder, lost, missing, held], NOON, is_whole=False)
    closed = record_look(world.engine, "primary", [folder], NOON + TEN_MINUTES, is_whole=False).closed
    assert {one.finding.kind for one in closed} == {Kind.MISSING, Kind.HELD}
    assert {one.finding.kind for one in list_open_findings(world.engine)} == {Kind.UNREADABLE, Kind.LOST}


def test_clocks_that_one_of_two_machines_sees_differ_are_told_once_each_way(world: World):
    differ = Finding(Kind.CLOCKS, "", "database clock", "the database's clock is 2 min behind that of worker-1.")
    subjects, now = list[str](), NOON
    for number in range(24):
        sees = number < 12 and number % 2 == 0
        record_look(world.engine, "primary", [differ] if sees else [], now)
        subjects += told(world, now)
        now += timedelta(minutes=5)
    assert subjects == [f"[SMKI] {told}clocks: database clock" for told in ("", "closed: ")]
    (finding,) = list_findings_since(world.engine, NOON)
    assert finding.closed_at == NOON + timedelta(minutes=50) + timedelta(minutes=30)
