"""The auditor reads the pages of extracts: what the server copied within a day, and the rest in its turn."""

import os
import random
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from builders import assembled, stored_artefact
from smki.errors import PublicationRefusedError
from smki.publish.artefact import Publication
from smki.publish.ledger import find_publication
from smki.publish.readings import PageReading, find_reading
from smki.repository.tables import page_reading
from smki.store.paged_file import PagedFile
from smki.watch import page_rounds
from smki.watch.findings import Finding, Kind
from smki.watch.findings_ledger import list_open_findings
from smki.watch.read_back import load_read_back

from .conftest import DAY, NOON, TODAY, World

PAGE_BYTES = 20_000
LOOK = timedelta(minutes=10)
OF_PAGES = (Kind.ALTERED, Kind.MISCOPIED, Kind.UNREAD, Kind.TRUNCATED)


class Extracts:
    """Full extracts of pages in a world, the second one mostly copied from the first."""

    def __init__(self, world: World) -> None:
        self.world = world
        sunday = TODAY - (1 + TODAY.weekday()) % 7 * DAY
        contents = [random.Random(number).randbytes(PAGE_BYTES) for number in range(22)]
        self.first = self._paged(contents[:20], sunday - 14 * DAY)
        self.second = self._paged([*contents[20:], *contents[2:20]], sunday - 7 * DAY)

    def _paged(self, pages: list[bytes], day: date) -> PagedFile:
        name = self.world.guide.full.file_name(day)
        return PagedFile.stored(
            self.world.store, assembled(self.world.folder, [b"<head>", *pages, b"</tail>"], name)[1]
        )

    def publish(self, paged: PagedFile, at: datetime = NOON - timedelta(hours=1)) -> Publication:
        manifest = paged.manifest
        day = self.world.guide.full.day_of(manifest.name)
        assert day is not None
        artefact = stored_artefact(self.world.store, manifest)
        self.world.publish_content(replace(artefact, business_date=day), paged, at)
        with self.world.engine.connect() as connection:
            found = find_publication(connection, "primary", manifest.name)
        assert found is not None
        return found

    def on_server(self, paged: PagedFile) -> Path:
        return self.world.sshd.published / paged.name

    def damage(self, paged: PagedFile, place: int, *, keep_time: bool = True) -> None:
        """Changes a byte of a page; a second time changes it back."""
        file = self.on_server(paged)
        stated = file.stat()
        content = bytearray(file.read_bytes())
        content[int(paged.manifest.offsets[place]) + 9] ^= 1
        file.write_bytes(content)
        seconds = stated.st_mtime_ns if keep_time else stated.st_mtime_ns + 5_000_000_000
        os.utime(file, ns=(stated.st_atime_ns, seconds))

    def reading(self, paged: PagedFile) -> PageReading:
        with self.world.engine.connect() as connection:
            found = find_reading(connection, "primary", paged.name)
        assert found is not None
        return found

    def findings(self, number: int = 0) -> list[tuple[Kind, str]]:
        """Of files of pages, by one more look."""
        return [(one.kind, one.item) for one in self.audit(number) if one.kind in OF_PAGES]

    def audit(self, number: int) -> tuple[Finding, ...]:
        return self.world.audit(NOON + number * LOOK).findings


@pytest.fixture
def extracts(world: World) -> Extracts:
    """The first is published, and was read back whole; the second has 18 of its 20 pages from it."""
    extracts = Extracts(world)
    assert extracts.publish(extracts.first).copied_bytes == 0
    assert extracts.publish(extracts.second).copied_bytes == extracts.second.manifest.pages["deflate_bytes"][2:].sum()
    return extracts


def give(world: World, pages: float) -> None:
    """Lets a look read the bytes of so many pages."""
    world.bytes_a_day = int(pages * (PAGE_BYTES + 50) * 144)


def test_copied_pages_are_read_once_in_as_many_looks_as_the_budget_makes_of_them(
    world: World, extracts: Extracts
) -> None:
    give(world, 5)
    unread = [len(extracts.reading(extracts.second).unread)]
    for number in range(4):
        assert extracts.findings(number) == []
        unread.append(len(extracts.reading(extracts.second).unread))
    assert unread == [18, 13, 8, 3, 0]
    assert extracts.reading(extracts.second).is_whole
    assert extracts.reading(extracts.first).again == 2, "what is left is for the next turn of what was read longest ago"


def test_extract_without_pages_keeps_no_other_from_being_read_again(world: World, extracts: Extracts) -> None:
    empty = extracts._paged([], TODAY - (1 + TODAY.weekday()) % 7 * DAY - 21 * DAY)
    extracts.publish(empty, NOON - timedelta(hours=5))
    give(world, 60)
    assert extracts.findings() == []
    extracts.damage(extracts.first, 3)
    found = [finding for number in (1, 2) for finding in extracts.findings(number)]
    assert (Kind.ALTERED, extracts.first.name) in found


def test_page_that_was_copied_wrongly_is_found_and_the_file_is_repaired_by_sending(
    world: World, extracts: Extracts
) -> None:
    extracts.damage(extracts.second, 12)
    assert extracts.findings() == [(Kind.MISCOPIED, extracts.second.name)]
    assert extracts.findings(1) == [(Kind.MISCOPIED, extracts.second.name)]

    again = extracts.publish(extracts.second)
    assert again.copied_bytes == 0
    assert extracts.on_server(extracts.second).read_bytes() == b"".join(extracts.second.chunks())
    assert extracts.findings(2) == []
    assert not [one for one in list_open_findings(world.engine) if one.finding.kind in OF_PAGES]


def test_page_that_was_changed_after_the_copy_is_evidence_and_stays(extracts: Extracts) -> None:
    extracts.damage(extracts.second, 12, keep_time=False)
    assert extracts.findings() == [(Kind.ALTERED, extracts.second.name)]
    with pytest.raises(PublicationRefusedError):
        extracts.publish(extracts.second)


def test_page_that_the_publisher_read_back_is_altered(extracts: Extracts) -> None:
    extracts.damage(extracts.first, 4)
    assert extracts.findings() == [(Kind.ALTERED, extracts.first.name)]


def test_page_that_was_changed_with_its_time_kept_is_found_in_its_turn(world: World, extracts: Extracts) -> None:
    give(world, 5)
    assert [extracts.findings(number) for number in range(4)] == [[]] * 4
    assert extracts.reading(extracts.second).is_whole
    extracts.damage(extracts.first, 19)
    found = [extracts.findings(number) for number in range(4, 24)]
    assert found[-1] == [(Kind.ALTERED, extracts.first.name)]


def test_finding_closes_once_the_wrong_pages_are_right(world: World, extracts: Extracts) -> None:
    extracts.damage(extracts.first, 4)
    assert extracts.findings() == [(Kind.ALTERED, extracts.first.name)]
    extracts.damage(extracts.first, 4, keep_time=False)
    give(world, 0.1)
    assert extracts.findings(1) == []


def test_what_stands_around_the_pages_is_held_against_the_manifest_too(extracts: Extracts) -> None:
    file = extracts.on_server(extracts.second)
    stated = file.stat()
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    os.utime(file, ns=(stated.st_atime_ns, stated.st_mtime_ns))
    assert extracts.findings() == [(Kind.MISCOPIED, extracts.second.name)]
    assert extracts.reading(extracts.second).wrong == (20,)


def test_file_of_another_length_is_truncated_or_altered_and_not_read(extracts: Extracts) -> None:
    file = extracts.on_server(extracts.second)
    os.truncate(file, 1_000)
    before = extracts.reading(extracts.second)
    assert extracts.findings() == [(Kind.TRUNCATED, extracts.second.name)]
    assert len(extracts.reading(extracts.second).unread) == len(before.unread)
    file.write_bytes(bytes(2_000_000))
    assert extracts.findings(1) == [(Kind.ALTERED, extracts.second.name)]


def test_pages_that_nobody_has_read_for_a_day_are_a_finding(world: World, extracts: Extracts) -> None:
    world.bytes_a_day = 0
    late = 24 * 6  # looks are a day
    assert extracts.findings(0) == []
    assert extracts.findings(late) == [(Kind.UNREAD, extracts.second.name)]
    give(world, 30)
    assert extracts.findings(late + 1) == []


def test_file_that_is_wrong_all_over_is_not_read_to_its_end(
    world: World, extracts: Extracts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smki.watch.page_rounds._MANY", 3)
    give(world, 3)
    file = extracts.on_server(extracts.second)
    file.write_bytes(bytes(file.stat().st_size))
    os.utime(file, (1, 1))
    for number in range(4):
        assert extracts.findings(number) == [(Kind.ALTERED, extracts.second.name)]
    assert len(extracts.reading(extracts.second).wrong) == 3 + 2


def test_file_whose_manifest_the_store_has_lost_hides_nothing(
    world: World, extracts: Extracts, caplog: pytest.LogCaptureFixture
) -> None:
    with world.engine.connect() as connection:
        second = find_publication(connection, "primary", extracts.second.name)
    assert second is not None
    world.store.remove([f"manifests/{second.artefact.manifest}"])
    extracts.damage(extracts.first, 4)
    assert extracts.findings() == [(Kind.ALTERED, extracts.first.name)]
    assert "pages cannot be read" in caplog.text


@pytest.mark.parametrize("loss", ["gone", "damaged"])
def test_file_whose_manifest_cannot_be_had_is_read_whole(world: World, extracts: Extracts, loss: str) -> None:
    """At once, and then once a day, whatever a look may read of pages."""
    with world.engine.connect() as connection:
        first = find_publication(connection, "primary", extracts.first.name)
        second = find_publication(connection, "primary", extracts.second.name)
    assert first is not None
    assert second is not None
    keys = [f"manifests/{one.artefact.manifest}" for one in (first, second)]
    manifests = [world.store.get(key) for key in keys]
    for key in keys:
        world.store.remove([key])
        if loss == "damaged":
            world.store.put(key, b"x")
    world.bytes_a_day = 0
    a_day = 24 * 6  # looks
    extracts.damage(extracts.first, 4)
    wrong = [(Kind.ALTERED, extracts.first.name)]
    for number, read in enumerate((1, 2, 2)):  # one a look
        extracts.audit(number)
        audited = load_read_back(world.engine, "primary").audited
        assert len([path for path in audited if path.endswith((extracts.first.name, extracts.second.name))]) == read
    assert extracts.findings(3) == wrong
    extracts.damage(extracts.second, 4)
    found = [extracts.findings(number) for number in (a_day - 1, a_day, a_day + 1)]
    assert found[0] == wrong
    assert set(found[2]) == {*wrong, (Kind.ALTERED, extracts.second.name)}, "with its time kept, and found in its turn"

    for damaged in (extracts.first, extracts.second):
        extracts.damage(damaged, 4)
    for key, manifest in zip(keys, manifests, strict=True):
        world.store.replace(key, manifest)
    assert [extracts.findings(2 * a_day + number) for number in (2, 3)][-1] == [], "right again, and nothing is unread"


def test_dry_run_remembers_no_page(world: World, extracts: Extracts) -> None:
    before = len(extracts.reading(extracts.second).unread)
    extracts.damage(extracts.second, 12)
    audit = world.audit(record=False)
    assert Kind.MISCOPIED in {one.kind for one in audit.findings}
    assert len(extracts.reading(extracts.second).unread) == before


def test_file_that_is_published_again_while_it_is_read_keeps_what_publishing_knows(
    world: World, extracts: Extracts, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding_wrong = page_rounds.find_wrong_pages

    def published_meanwhile(*_: object) -> list[int]:
        monkeypatch.setattr(page_rounds, "find_wrong_pages", finding_wrong)
        extracts.on_server(extracts.second).unlink()
        extracts.publish(extracts.second, NOON)
        return [2, 3]

    monkeypatch.setattr(page_rounds, "find_wrong_pages", published_meanwhile)
    give(world, 5)
    extracts.audit(0)
    assert extracts.reading(extracts.second).wrong == ()
    assert extracts.reading(extracts.second).is_whole


def test_files_that_were_published_before_pages_were_remembered_are_read(world: World, extracts: Extracts) -> None:
    with world.engine.begin() as connection:
        connection.execute(page_reading.delete())
        assert connection.execute(select(page_reading)).all() == []
    extracts.damage(extracts.first, 4)
    assert extracts.findings() == [(Kind.ALTERED, extracts.first.name)]
    assert extracts.reading(extracts.second).is_whole


def test_page_table_that_the_signed_index_states_has_to_be_there(extracts: Extracts) -> None:
    world, index = extracts.world, (Kind.INDEX, "SMKIKR_INDEX.json")
    world.publish_index()
    assert index not in world.kinds()
    table = min(world.sshd.published.glob("*.pages"))
    content = table.read_bytes()
    table.write_bytes(content[:-48])
    assert index in world.kinds()
    table.unlink()
    (finding,) = [one for one in world.audit().findings if one.kind is Kind.INDEX]
    assert table.name in finding.rule
    world.publish_index()
    assert table.read_bytes() == content
    assert index not in world.kinds()
