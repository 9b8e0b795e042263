"""The auditor on a real sshd: each kind of finding made to happen, seen once, and closed when it is put right."""

import gzip
import logging
import os
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from sqlalchemy import delete, select

from builders import lodge_bodies, look_alikes
from smki.errors import ConfigurationError, RepositoryUnavailableError
from smki.kinds.anchors.production import load_anchor_set, produce_set
from smki.kinds.anchors.set_ledger import record_set
from smki.kinds.anchors.slots import Region
from smki.kinds.revocation.lodging import lodge_revocation_lists
from smki.publish.site import Site
from smki.repository.database import open_engine
from smki.repository.offers import RevocationListOffer
from smki.repository.tables import audited_file, publication
from smki.retention.execution import apply_retention
from smki.watch import look
from smki.watch.due import Due
from smki.watch.findings import Kind
from smki.watch.findings_ledger import list_findings_since, list_looks, list_open_findings
from smki_demo import sftp_server
from smki_demo.generator.anchor_slots import write_anchor_slots
from smki_demo.generator.pki import Authority, Pki
from smki_demo.generator.revocation import revocation_list

from .conftest import (
    DAY,
    LATER,
    NOON,
    SUNDAY,
    TODAY,
    World,
    assert_closes,
    assert_opens_and_closes_once,
    changed,
    files_read,
    in_the_background,
)

DELTA, FULL, CRL = "delta", "full", "crl"


def test_site_that_is_as_it_should_be_has_no_finding(world: World):
    audit = world.audit()
    assert audit.findings == ()
    assert (audit.files, audit.hashed) == (8, 8)


def test_published_file_that_is_gone_is_lost_until_it_is_there_again(world: World):
    file = world.on_server(DELTA)
    content = file.read_bytes()
    file.unlink()
    assert (Kind.LOST, file.name) in world.kinds()
    file.write_bytes(content)
    world.audit(LATER)
    assert list_open_findings(world.engine) == []


def test_file_that_was_never_published_is_missing_from_its_publish_by_on(world: World):
    tomorrow = TODAY + DAY
    publish_by = world.guide.delta.publish_by(tomorrow)
    name = world.guide.delta.file_name(tomorrow)
    assert (Kind.MISSING, name) not in world.kinds(publish_by - timedelta(seconds=1))
    assert (Kind.AT_RISK, name) in world.kinds(publish_by - timedelta(seconds=1))
    assert (Kind.AT_RISK, name) not in world.kinds(world.guide.delta.warn_at(tomorrow) - timedelta(seconds=1))
    assert (Kind.MISSING, name) in world.kinds(publish_by)
    assert (Kind.AT_RISK, name) not in world.kinds(publish_by)


def test_late_file_closes_its_finding_and_its_lateness_stays_on_record(world: World):
    tomorrow = TODAY + DAY
    late = world.guide.delta.publish_by(tomorrow) + timedelta(hours=2)
    name = world.guide.delta.file_name(tomorrow)
    assert (Kind.MISSING, name) in world.kinds(late)
    world.publish(DELTA, tomorrow, at=late)
    assert (Kind.MISSING, name) not in world.kinds(late + timedelta(minutes=10))
    with world.engine.connect() as connection:
        published = connection.execute(select(publication).where(publication.c.name == name)).one()
    assert published.first_published_at == late


def test_list_that_another_machine_compressed_to_other_bytes_is_not_missing(world: World):
    published = world.publish(CRL, TODAY - DAY, b"list 7")
    before = published.read_bytes()
    world.publish(CRL, content=b"list 7")
    assert (world.folder / published.name).read_bytes() != published.read_bytes() == before, "it is published already"
    assert world.kinds() == set()


def test_short_file_is_truncated(world: World):
    file = world.on_server(DELTA, SUNDAY)
    content = file.read_bytes()
    file.write_bytes(content[:-7])
    assert_opens_and_closes_once(world, Kind.TRUNCATED, file.name)
    file.write_bytes(content)
    assert_closes(world, Kind.TRUNCATED)


def test_short_file_that_does_not_begin_as_ours_is_altered(world: World):
    file = world.on_server(DELTA, SUNDAY)
    content = file.read_bytes()
    for foreign in (b"restored from somewhere", gzip.compress(b"x", mtime=0)):
        file.write_bytes(foreign)
        assert (Kind.ALTERED, file.name) in world.kinds()
    file.write_bytes(b"")
    assert (Kind.TRUNCATED, file.name) in world.kinds(), "a full disk leaves nothing"
    file.write_bytes(content)
    assert_closes(world, Kind.TRUNCATED)


def test_new_file_of_other_bytes_and_the_same_size_is_altered(world: World):
    file = world.on_server(
        FULL, max(TODAY - n * DAY for n in range(7) if world.guide.full.cut_off.falls_on(TODAY - n * DAY))
    )
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert_opens_and_closes_once(world, Kind.ALTERED, file.name)
    file.write_bytes(content)
    assert_closes(world, Kind.ALTERED)


def test_file_that_is_altered_with_its_size_and_time_kept_is_found_when_its_turn_comes(world: World):
    assert world.audit().findings == ()
    file = world.on_server(DELTA, TODAY - 2 * DAY)
    stated = file.stat()
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(file, ns=(stated.st_atime_ns, stated.st_mtime_ns))
    found = []
    for number in range(1, 9):
        audit = world.audit(NOON + number * timedelta(minutes=10))
        assert audit.hashed == 1 + (file.name in found), "of the known files one a look, and what was wrong"
        found += [finding.item for finding in audit.findings if finding.kind is Kind.ALTERED][:1]
    assert set(found) == {file.name}
    assert len([one for one in list_findings_since(world.engine, NOON) if one.finding.kind is Kind.ALTERED]) == 1


def test_rotation_reads_every_file_back_once_in_as_many_looks_as_there_are_files(world: World):
    world.audit()
    for number in range(1, 9):
        world.audit(NOON + number * timedelta(minutes=10))
    with world.engine.connect() as connection:
        hashed = connection.execute(select(audited_file.c.hashed_at).order_by(audited_file.c.hashed_at)).scalars().all()
    assert [at.astimezone(UTC) for at in hashed] == [NOON + number * timedelta(minutes=10) for number in range(1, 9)]


def test_foreign_file_is_unexpected(world: World):
    foreign = world.sshd.published / "SMKIKR_notes.txt"
    foreign.write_text("whose?")
    (world.sshd.published / ".SMKIKR_DELT_2026-01-01.xml.gz.part").write_text("an upload under way")
    assert_opens_and_closes_once(world, Kind.UNEXPECTED, foreign.name)
    foreign.unlink()
    assert_closes(world, Kind.UNEXPECTED)


def test_file_of_a_day_that_has_not_come_is_early(world: World):
    early = world.on_server(DELTA, TODAY + 2 * DAY)
    early.write_bytes(b"too soon")
    assert_opens_and_closes_once(world, Kind.EARLY, early.name)
    early.unlink()
    assert_closes(world, Kind.EARLY)


def test_delta_that_retention_left_is_expired_a_day_after_it_looked(world: World):
    old = world.publish(DELTA, TODAY - 9 * DAY, at=datetime.combine(TODAY - 9 * DAY, time(1), UTC))
    world.publish(FULL, TODAY - 8 * DAY)  # from which Parties get on without it
    assert_opens_and_closes_once(world, Kind.EXPIRED, old.name)
    apply_retention(world.engine, world.site, world.guide, "test")
    assert not old.exists()
    assert_closes(world, Kind.EXPIRED)


def test_hole_in_the_recovery_chain_is_found_and_names_the_day(world: World):
    full = TODAY - 3 * DAY
    for file in world.sshd.published.glob("*FULL*"):
        file.unlink()
    with world.engine.begin() as connection:
        connection.execute(delete(publication).where(publication.c.name.like("%FULL%")))
    world.publish(FULL, full)
    hole = TODAY - DAY
    file = world.on_server(DELTA, hole)
    content = file.read_bytes()
    file.unlink()
    chain = [finding for finding in world.audit().findings if finding.kind is Kind.CHAIN_BROKEN]
    assert [finding.item for finding in chain] == ["recovery chain"]
    assert str(hole) in chain[0].rule
    file.write_bytes(content)
    assert Kind.CHAIN_BROKEN not in {kind for kind, _ in world.kinds(LATER)}


def test_revocation_list_near_its_next_update_is_a_finding_until_the_next_one_is_there(world: World, pki: Pki):
    near = revocation_list(pki.issuing_oca, 1, NOON - DAY, NOON + timedelta(hours=20))
    file = world.publish(CRL, content=near)
    assert gzip.decompress(file.read_bytes()) == near
    assert_opens_and_closes_once(world, Kind.NEXT_UPDATE, file.name)
    world.publish(CRL, content=revocation_list(pki.issuing_oca, 2, NOON, NOON + 2 * DAY), version=2)
    assert_closes(world, Kind.NEXT_UPDATE)


def test_regions_that_differ_elsewhere_than_in_the_wan_provider_are_unequal(
    world: World, signed: list[bytes], tmp_path: Path
):
    lodge_bodies(world.engine, signed)
    configuration = tmp_path / "anchor_slots.toml"
    write_anchor_slots(world.engine, configuration)
    at = NOON - timedelta(hours=9)

    def publish(*only: Region) -> None:
        """Publishes the set that the configuration describes; of the regions' files only these."""
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        produced = produce_set(load_anchor_set(world.engine, configuration, NOON), world.guide, out)
        regions = {"anchor_north": Region.NORTH, "anchor_central_south": Region.CENTRAL_SOUTH}
        for artefact in record_set(world.engine, produced, "test/anchors", at):
            if regions.get(artefact.obligation, only[0]) in only:
                world.publish_file(artefact, out / artefact.name, at)

    publish(*Region)
    assert Kind.ANCHORS_UNEQUAL not in {kind for kind, _ in world.kinds()}
    lines = configuration.read_text().splitlines(keepends=True)
    lines.pop(lines.index("supplier_ds = [\n") + 1)
    configuration.write_text("".join(lines))
    publish(Region.NORTH)
    world.audit()
    unequal = [one.finding for one in list_open_findings(world.engine) if one.finding.kind is Kind.ANCHORS_UNEQUAL]
    assert [finding.item for finding in unequal] == ["anchor files"]
    assert "1 certificates of other roles" in unequal[0].rule
    publish(*Region)
    assert Kind.ANCHORS_UNEQUAL not in {kind for kind, _ in world.kinds(LATER)}


def test_server_that_is_down_is_a_finding_and_closes_none_of_the_others(world: World):
    foreign = world.sshd.published / "notes.txt"
    foreign.write_text("whose?")
    world.audit()
    world.sshd.stop()
    assert changed(world) == ([Kind.UNREACHABLE], [])
    assert {one.finding.kind for one in list_open_findings(world.engine)} == {Kind.UNREACHABLE, Kind.UNEXPECTED}
    foreign.unlink()
    world.sshd.start()
    assert_closes(world, Kind.UNREACHABLE, Kind.UNEXPECTED)


def test_what_the_ledger_alone_tells_opens_and_closes_where_the_server_is_down(world: World):
    due = Due(world.guide.delta, TODAY)
    with world.engine.begin() as connection:
        connection.execute(delete(publication).where(publication.c.name == due.name))
    assert (Kind.AT_RISK, due.label) in world.kinds(due.warn_at)
    world.on_server(DELTA, TODAY - DAY).unlink()
    assert (Kind.LOST, world.on_server(DELTA, TODAY - DAY).name) in world.kinds(due.warn_at + timedelta(minutes=10))
    world.sshd.stop()
    down = world.audit(NOON)
    assert {(one.kind, one.item) for one in down.findings} == {(Kind.UNREACHABLE, "site"), (Kind.MISSING, due.label)}
    assert down.reconciled is not None
    assert [one.finding.kind for one in down.reconciled.closed] == [Kind.AT_RISK]
    assert Kind.LOST in {one.finding.kind for one in down.reconciled.open}
    assert list_looks(world.engine) == {"primary": NOON}


@pytest.mark.parametrize("wrong", ["user key", "host key"])
def test_wrong_key_is_a_finding(world: World, tmp_path: Path, wrong: str):
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(tmp_path / "other")
    (tmp_path / "other").chmod(0o600)
    site = replace(world.site, key_file=tmp_path / "other")
    if wrong == "host key":
        site = replace(world.site, host_key=key.export_public_key().decode().strip())
    (finding,) = world.audit(site=site).findings
    assert finding.kind is Kind.UNREACHABLE
    assert ("refuses the key" in finding.rule) == (wrong == "user key")
    assert world.audit(LATER).reconciled.closed[0].finding.kind is Kind.UNREACHABLE  # type: ignore[union-attr]


def test_login_that_is_incomplete_and_a_ledger_that_is_down_are_errors_and_no_findings(world: World, tmp_path: Path):
    with pytest.raises(ConfigurationError):
        world.audit(site=replace(world.site, key_file=tmp_path / "none"))
    with pytest.raises(RepositoryUnavailableError):
        World(open_engine("postgresql://postgres@127.0.0.1:1/smki"), world.guide, world.sshd, tmp_path).audit()
    assert list_open_findings(world.engine) == []


def test_dry_run_records_nothing(world: World):
    world.on_server(DELTA).unlink()
    audit = world.audit(record=False)
    assert Kind.LOST in {finding.kind for finding in audit.findings}
    assert audit.reconciled is None
    assert list_open_findings(world.engine) == []
    assert files_read(world) == 0


def test_file_that_looks_wrong_only_while_it_is_published_is_no_finding(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """Between a publisher's rename and its record the ledger does not know the file yet."""
    caplog.set_level(logging.WARNING)
    name = world.guide.obligation(CRL).file
    early = world.sshd.published / name
    early.write_bytes(b"renamed, not recorded")

    def recorded_meanwhile(_seconds: float) -> None:
        early.unlink()
        world.publish(CRL, content=b"renamed, recorded")

    monkeypatch.setattr("smki.watch.auditor.time.sleep", recorded_meanwhile)
    assert world.audit().findings == ()
    assert "finding kind" not in caplog.text


def test_file_that_is_removed_between_listing_and_reading_is_as_good_as_never_listed(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """As retention does it, while the auditor reads a large file back."""
    old = world.publish(DELTA, TODAY - 7 * DAY, at=datetime.now(UTC) - 7 * DAY)
    listing = look.list_files

    def listed_then_removed(*arguments: Any) -> list[Any] | None:
        files = listing(*arguments)
        apply_retention(world.engine, world.site, world.guide, "test")
        assert not old.exists()
        return files

    monkeypatch.setattr(look, "list_files", listed_then_removed)
    assert world.audit().findings == ()


def test_name_that_is_not_utf_8_is_unexpected_and_hides_nothing(world: World):
    with open(os.fsencode(world.sshd.published) + b"/caf\xe9.txt", "w"):  # noqa: PTH123  # its name is no text
        pass
    gone = world.on_server(DELTA)
    gone.unlink()
    assert world.kinds() >= {(Kind.UNEXPECTED, "caf\\xe9.txt"), (Kind.LOST, gone.name)}
    report = apply_retention(world.engine, world.site, world.guide, "test")
    assert "caf\\xe9.txt" in {plan.name for plan in report.plans}
    assert report.problems == ()


@pytest.mark.parametrize("odd", ["pipe", "folder", "link"])
def test_what_is_no_file_under_a_files_name_is_told_and_never_opened(world: World, odd: str):
    file = world.on_server(DELTA)
    content = file.read_bytes()
    gone = world.on_server(DELTA, TODAY - DAY)
    gone.unlink()
    file.unlink()
    match odd:
        case "pipe":
            os.mkfifo(file)
        case "folder":
            file.mkdir()
        case "link":
            file.symlink_to("/dev/zero")
    assert (Kind.LOST, gone.name) in world.kinds()
    assert_opens_and_closes_once(world, Kind.NO_FILE, file.name)
    assert files_read(world) == 6, "all others are read"
    report = apply_retention(world.engine, world.site, world.guide, "test")
    assert [problem.item for problem in report.problems] == [f"{world.site.folder}/{file.name}"]
    file.rmdir() if odd == "folder" else file.unlink()
    file.write_bytes(content)
    assert Kind.NO_FILE in changed(world, LATER + timedelta(minutes=10))[1]


@pytest.mark.parametrize("name", [DELTA, CRL])
def test_what_is_larger_than_what_was_published_is_never_downloaded(world: World, name: str):
    world.publish(CRL, content=b"not a list: only its size counts")
    file = world.on_server(name)
    os.truncate(file, 1 << 40)
    assert (Kind.ALTERED, file.name) in world.kinds()


def test_list_of_an_issuer_without_an_obligation_is_a_finding_until_it_has_one(world: World, pki: Pki):
    second = pki.root_oca.issuing("OCA2", datetime(2020, 1, 1, tzinfo=UTC))
    lodge_bodies(world.engine, [*pki.ca_certificates(), second.der])

    def lodge(authority: Authority) -> None:
        body = revocation_list(authority, 1, NOON - DAY, NOON + 2 * DAY)
        report = lodge_revocation_lists(world.engine, [RevocationListOffer(body, "test")], NOON)
        assert not report.refusals

    lodge(pki.issuing_oca)
    assert Kind.LIST_WITHOUT_OBLIGATION not in {kind for kind, _ in world.kinds()}
    lodge(second)
    unclaimed = [item for kind, item in world.kinds() if kind is Kind.LIST_WITHOUT_OBLIGATION]
    assert sorted(item.split(", ")[0] for item in unclaimed) == ["CRL of Common Name: OCA1", "CRL of Common Name: OCA2"]


def test_events_of_the_future_are_told(world: World):
    """A clock ran ahead while they were recorded: they are in no file until their time comes."""
    lodge_bodies(world.engine, look_alikes(2, seed=7), datetime.now(UTC) + timedelta(minutes=3))
    assert world.kinds() == set(), "some minutes are nothing"
    lodge_bodies(world.engine, look_alikes(3, seed=8), datetime.now(UTC) + timedelta(days=1))
    assert world.kinds() == {(Kind.CLOCKS, "future events")}
    (finding,) = world.audit(LATER).findings
    assert finding.rule.startswith("3 status events")


def test_account_of_a_party_that_may_only_read_is_enough(world: World, tmp_path: Path):
    foreign = world.sshd.published / "notes.txt"
    foreign.write_text("whose?")
    with in_the_background() as loop:
        server = loop(sftp_server.start(world.sshd.published, tmp_path / "keys"))
        site = Site("primary", sftp_server.HOST, server.port, sftp_server.PARTY, server.party_key, server.host_key, "/")
        audit = world.audit(site=site)
        loop(_closed(server.acceptor))
    assert [(finding.kind, finding.item) for finding in audit.findings] == [(Kind.UNEXPECTED, foreign.name)]
    assert audit.hashed == 8, "a stranger's file is not read"


async def _closed(acceptor: asyncssh.SSHAcceptor) -> None:
    acceptor.close()
    await acceptor.wait_closed()
