"""What a server fails to give, or gives slowly, hides nothing else; what is over in a moment is told to nobody."""

from dataclasses import replace
from datetime import timedelta
from shutil import copytree
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import delete

from smki.repository.tables import publication
from smki.watch import auditor, look, read_back
from smki.watch.due import Due
from smki.watch.findings import Kind
from smki.watch.findings_ledger import claim_look, list_looks, list_open_findings
from smki.watch.links import Links
from smki.watch.telling import Message, tell

from ..publish.conftest import FaultyServer
from .conftest import DAY, LATER, NOON, TODAY, World, files_read

DELTA = "delta"


@pytest.mark.parametrize("refused", ["open", "read"])
def test_file_that_the_server_fails_to_give_is_told_and_hides_nothing(world: World, faulty: FaultyServer, refused: str):
    copytree(world.sshd.published, faulty.published)
    site = faulty.site
    assert world.audit(site=site).findings == ()
    broken, gone = world.on_server(DELTA, TODAY - 2 * DAY), world.on_server(DELTA)
    setattr(faulty.faults, f"refuse_{refused}_of", {broken.name})
    (faulty.published / gone.name).unlink()
    read, told = 0, list[bool]()
    for number in range(1, 9):
        audit = world.audit(NOON + number * timedelta(minutes=10), site)
        read += audit.hashed
        found = {(finding.kind, finding.item) for finding in audit.findings}
        told.append((Kind.READ_ERROR, broken.name) in found)
        assert (Kind.LOST, gone.name) in found
    assert told == sorted(told), "from its turn on, or from when it could not be opened"
    assert told[-1]
    assert read == 8 - (refused == "read"), "the others are read in their turn"
    faulty.faults.refuse_open_of.clear()
    faulty.faults.refuse_read_of.clear()
    closed = world.audit(NOON + 2 * timedelta(hours=1), site).reconciled
    assert closed is not None
    assert [(one.finding.kind, one.finding.item) for one in closed.closed] == [(Kind.READ_ERROR, broken.name)]


def test_file_that_fails_once_is_told_to_nobody(world: World, faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch):
    copytree(world.sshd.published, faulty.published)
    faulty.faults.refuse_read_of = {world.on_server(DELTA).name}
    monkeypatch.setattr("smki.watch.auditor.time.sleep", lambda _: faulty.faults.refuse_read_of.clear())
    audit = world.audit(site=faulty.site)
    assert audit.findings == ()
    assert audit.hashed == files_read(world) == 8


def test_what_becomes_late_during_a_look_is_late_and_no_longer_at_risk(
    world: World, faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
):
    due = Due(world.guide.delta, TODAY)
    with world.engine.begin() as connection:
        connection.execute(delete(publication).where(publication.c.name == due.name))
    world.on_server(DELTA).unlink()
    copytree(world.sshd.published, faulty.published)
    just_before = due.publish_by - timedelta(seconds=4)
    monkeypatch.setattr(auditor, "_AGAIN_AFTER_S", (4.5, 0.05, 0.05))
    assert [one.kind for one in world.audit(just_before, faulty.site).findings] == [Kind.AT_RISK]
    faulty.faults.drop_at_request = 0
    assert [one.kind for one in world.audit(just_before, faulty.site).findings] == [Kind.MISSING]


def test_on_a_slow_line_a_look_tells_what_it_sees_and_the_next_one_reads_on(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    clock = 0.0
    monkeypatch.setattr("smki.watch.party_session.monotonic", lambda: clock)
    reading, read = read_back.remote_sha256, list[str]()

    def read_slowly(sftp: Any, path: str, on_the_way: Any, size: int) -> str:
        nonlocal clock
        clock += read_back.READ_FOR_S * 2 / 5
        sha256 = reading(sftp, path, on_the_way, size)
        read.append(path)
        return sha256

    monkeypatch.setattr(read_back, "remote_sha256", read_slowly)
    world.on_server(DELTA).unlink()
    looks = [world.audit(NOON + number * timedelta(minutes=10)) for number in range(8)]
    assert all(Kind.LOST in {finding.kind for finding in look.findings} for look in looks)
    assert max(look.hashed for look in looks) == 2
    assert len(set(read)) == 7, "each file was read in its turn"
    assert len(read[:7]) == len(set(read[:7])), "and none twice before"


def test_file_at_which_the_server_falls_silent_hides_none_of_the_others(
    world: World, faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
):
    silent, gone = world.on_server(DELTA).name, world.on_server(DELTA, TODAY - 2 * DAY).name
    also_silent = world.on_server(DELTA, TODAY - DAY).name
    world.publish_index()
    copytree(world.sshd.published, faulty.published)
    (faulty.published / gone).unlink()
    faulty.faults.silent_at = {silent, also_silent, "SMKIKR_INDEX.json"}
    monkeypatch.setattr("smki.watch.auditor.time.sleep", lambda _: None)
    site = replace(faulty.site, answer_timeout_s=2)
    broken = {(Kind.LOST, gone), (Kind.CHAIN_BROKEN, "recovery chain")}
    found = world.audit(site=site).findings
    broken_off = {(Kind.READ_ERROR, silent), (Kind.READ_ERROR, also_silent), (Kind.INDEX, "SMKIKR_INDEX.json")}
    assert {(one.kind, one.item) for one in found} == broken | broken_off
    faulty.faults.silent_at.clear()
    assert {(one.kind, one.item) for one in world.audit(LATER, site).findings} == broken


def test_a_server_that_lists_and_is_silent_at_every_file_is_unreachable_in_time(
    world: World, faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
):
    copytree(world.sshd.published, faulty.published)
    faulty.faults.silent_at = {file.name for file in faulty.published.iterdir()}
    monkeypatch.setattr("smki.watch.auditor.time.sleep", lambda _: None)
    begun = monotonic()
    found = world.audit(site=replace(faulty.site, answer_timeout_s=1)).findings
    silences = look.MOST_SILENCES + 1
    assert [(one.kind, one.item) for one in found] == [(Kind.UNREACHABLE, "site")]
    assert monotonic() - begun < silences + 30
    assert faulty.site.answer_timeout_s * silences < look.LOOK_FOR_S
    assert Kind.UNREACHABLE in {one.finding.kind for one in list_open_findings(world.engine)}


def test_a_look_ends_when_its_time_is_over_whatever_it_waits_for(
    world: World, faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
):
    copytree(world.sshd.published, faulty.published)
    assert world.audit(site=faulty.site).findings == ()
    foreign = faulty.published / "notes.txt"
    foreign.write_text("whose?")
    world.audit(LATER, faulty.site)
    faulty.faults.silent_at = {file.name for file in faulty.published.iterdir()}
    monkeypatch.setattr(look, "LOOK_FOR_S", 2)
    foreign.unlink()
    begun = monotonic()
    found = world.audit(LATER + timedelta(minutes=10), replace(faulty.site, answer_timeout_s=60)).findings
    assert monotonic() - begun < 40
    assert [one.kind for one in found] == [Kind.UNREACHABLE]
    still_open = {one.finding.kind for one in list_open_findings(world.engine)}
    assert still_open == {Kind.UNREACHABLE, Kind.UNEXPECTED}, "what was not looked at is as it was"


def test_a_look_that_finds_another_one_at_work_leaves_the_site_alone(world: World):
    (world.sshd.published / "notes.txt").write_text("whose?")
    with claim_look(world.engine, "primary") as is_alone:
        assert is_alone
        left = world.audit()
        assert (left.left_alone, left.files, list_looks(world.engine)) == (True, 0, {})
        assert world.audit(record=False).files == 8 + 1, "one that records nothing disturbs none"
        with claim_look(world.engine, "dr") as of_another:
            assert of_another
    assert Kind.UNEXPECTED in {one.kind for one in world.audit().findings}
    assert list_looks(world.engine).keys() == {"primary"}


def test_a_risk_that_turns_into_a_miss_between_two_sessions_is_a_miss_and_tells_no_end(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    due = Due(world.guide.delta, TODAY + DAY)
    (world.sshd.published / "notes.txt").write_text("whose?")  # which is looked at a second time
    world.audit(due.publish_by - timedelta(minutes=10))
    clock = iter([timedelta(seconds=-1), timedelta(seconds=1)])
    monkeypatch.setattr(look.Look, "clock", lambda _: due.publish_by + next(clock))
    audit = world.audit(due.publish_by - timedelta(seconds=2))
    assert {one.kind for one in audit.findings} == {Kind.MISSING, Kind.UNEXPECTED}
    assert audit.reconciled is not None
    sent = list[Message]()
    tell(world.engine, world.guide, sent.append, due.publish_by + timedelta(seconds=2), Links())
    assert [message.subject for message in sent if "closed" in message.subject] == []
