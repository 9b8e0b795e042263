"""The auditor on the signed index of a real site: gone, altered, or other files than are offered."""

from datetime import UTC, datetime, time, timedelta

import pytest

from smki.kinds.index.signing import load_signer
from smki.retention.execution import apply_retention
from smki.settings import Settings
from smki.watch.findings import Kind
from smki_demo.generator.index_signer import make_signer

from .conftest import DAY, NOON, TODAY, World, assert_closes, assert_opens_and_closes_once, changed

DELTA = "delta"


@pytest.mark.parametrize("damage", ["gone", "signature gone", "altered", "other signer", "folder"])
def test_index_that_no_party_believes_is_a_finding_until_it_is_published_again(world: World, damage: str):
    world.publish_index()
    assert world.kinds() == set()
    assert world.guide.index is not None
    index, signature = (world.sshd.published / name for name in (world.guide.index.file, world.guide.index.signature))
    match damage:
        case "gone":
            index.unlink()
        case "signature gone":
            signature.unlink()
        case "altered":
            index.write_bytes(index.read_bytes().replace(b'"bytes": ', b'"bytes": 1'))
        case "other signer":
            signer = load_signer(Settings.from_environment(make_signer(world.folder, "other")))
            assert signer is not None
            signature.write_bytes(signer.sign(index.read_bytes()))
        case "folder":
            index.unlink()
            index.mkdir()
    assert world.kinds() == {(Kind.INDEX, index.name)}
    assert_opens_and_closes_once(world, Kind.INDEX, index.name)
    if damage == "folder":
        index.rmdir()
    world.publish_index()
    assert_closes(world, Kind.INDEX)


def test_index_that_is_replaced_while_it_is_looked_at_is_no_finding(world: World, monkeypatch: pytest.MonkeyPatch):
    world.publish_index()
    index = world.sshd.published / "SMKIKR_INDEX.json"
    content = index.read_bytes()
    index.write_bytes(content + b" ")
    monkeypatch.setattr("smki.watch.auditor.time.sleep", lambda _: index.write_bytes(content))
    assert world.audit().findings == ()


def test_index_that_does_not_follow_a_publication_within_two_looks_is_a_finding(world: World):
    world.publish_index()
    late = world.publish(DELTA, TODAY - 7 * DAY, at=NOON)
    assert world.kinds(NOON + timedelta(minutes=19)) == set()
    assert world.kinds(NOON + timedelta(minutes=21)) == {(Kind.INDEX, "SMKIKR_INDEX.json")}
    (finding,) = world.audit(NOON + timedelta(minutes=31)).findings
    assert late.name in finding.rule
    world.publish_index()
    assert changed(world, NOON + timedelta(minutes=41)) == ([], [Kind.INDEX])


def test_index_that_does_not_follow_a_removal_within_two_looks_is_a_finding(world: World):
    world.publish(DELTA, TODAY - 9 * DAY, at=datetime.combine(TODAY - 9 * DAY, time(1), UTC))
    world.publish_index()
    apply_retention(world.engine, world.site, world.guide, "test")
    removed_at = datetime.now(UTC)
    of_index = (Kind.INDEX, "SMKIKR_INDEX.json")
    assert of_index not in world.kinds(removed_at + timedelta(minutes=19))
    assert of_index in world.kinds(removed_at + timedelta(minutes=21))
    world.publish_index()
    assert of_index not in world.kinds(removed_at + timedelta(minutes=31))
