"""Garbage: what no file needs goes after its grace; what is offered, kept or built upon stays."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text, update

from builders import (
    XML_NAME,
    XSD,
    assembled,
    cut_off,
    day,
    during,
    lodge_bodies,
    look_alikes,
    made_artefact,
    made_judgement,
    rendered,
    store_in,
    stored,
)
from smki.errors import MissingObjectError, StoreError
from smki.gate.ledger import Decision, record_decision, record_judgement
from smki.gate.model import CheckResult, Judgement, Severity, Verdict
from smki.gate.quarantine import clear_quarantine, keep_failed
from smki.kinds.extracts.plan import plan_extract
from smki.kinds.extracts.rendering import render_head, render_tail
from smki.obligations.catalogue import UserGuide
from smki.publish.garbage import GRACE, collect_garbage, find_garbage
from smki.publish.ledger import record_artefact, record_publication
from smki.publish.recipe import PublishedFile
from smki.repository.tables import publication
from smki.repository.windows import close_windows
from smki.store.manifest import Manifest, get_manifest, put_manifest
from smki.store.objects import Store
from smki.store.pages import PageXml
from smki.verify.verification import examine_stored, stored_marks, unchecked

LATER = datetime.now(UTC) + GRACE + timedelta(days=1)


@dataclass(frozen=True)
class Offers:
    """A ledger, and the store that its files lie in."""

    engine: Engine
    store: Store

    def extract(self, window: int, *pages: str, obligation: str = "full") -> Manifest:
        """Publishes an extract with these pages; each lies in a segment of its own."""
        segments = [[PageXml(number, 1, memoryview(xml.encode()))] for number, xml in enumerate(pages)]
        manifest = stored(self.store, segments, (b"head", b"tail"), f"{obligation}-{window}.xml.gz")
        self.publish(obligation, manifest.name, window, f"{window:064x}", put_manifest(self.store, manifest))
        return manifest

    def small_file(self, name: str, content: bytes, version: int) -> str:
        sha256 = self.store.put_content("files", content)
        self.publish("crl", name, version, sha256, version=version)
        return sha256

    def publish(
        self, obligation: str, name: str, window: int, sha256: str, manifest: str = "", version: int | None = None
    ) -> None:
        seq = window if manifest else None
        artefact = made_artefact(
            obligation, name, day(window), sha256, window_seq=seq, version=version, manifest=manifest
        )
        with self.engine.begin() as connection:
            record_artefact(connection, artefact)
            published = PublishedFile(f"/{name}", 1, sha256, already_there=False)
            record_publication(connection, "primary", name, published, "test")

    def end(self, name: str) -> None:
        """The site offers it no longer."""
        with self.engine.begin() as connection:
            connection.execute(
                update(publication)
                .where(publication.c.name == name, publication.c.ended_at.is_(None))
                .values(ended_at=text("clock_timestamp()"), end_reason="test")
            )

    def garbage(self, at: datetime = LATER) -> set[str]:
        return {one.key for one in find_garbage(self.engine, self.store, at).objects}


@pytest.fixture
def offers(repository: Engine, tmp_path: Path) -> Offers:
    lodge_bodies(repository, look_alikes(1), during(1))
    close_windows(repository, day(14), cut_off)
    return Offers(repository, store_in(tmp_path))


def segments(manifest: Manifest, places: Iterable[int] | None = None) -> set[str]:
    return {f"segments/{manifest.segments[place]}" for place in places or range(len(manifest.segments))}


def test_what_is_offered_stays_and_what_nothing_names_goes(offers: Offers) -> None:
    kept = offers.extract(7, "a", "b")
    name = offers.small_file("list.crl.gz", b"list 1", 1)
    orphans = {
        f"{kind}/{offers.store.put_content(kind, b'orphan')}" for kind in ("segments", "files", "plans", "pages")
    }
    orphans.add(f"manifests/{put_manifest(offers.store, stored(offers.store, []))}")
    found = find_garbage(offers.engine, offers.store, LATER)
    assert {one.key for one in found.objects} == orphans
    assert found.bytes == sum(one.bytes for one in found.objects) > 0
    assert f"{len(orphans)} objects" in str(found)
    assert collect_garbage(offers.engine, offers.store, found, LATER) == found
    assert offers.garbage() == set()
    assert all(map(offers.store.holds, [*segments(kept), f"files/{name}"]))


def test_search_alone_removes_nothing(offers: Offers) -> None:
    key = f"segments/{offers.store.put_content('segments', b'orphan')}"
    for _ in range(2):
        assert offers.garbage() == {key}
    assert offers.store.holds(key)


def test_what_is_within_its_grace_stays_whatever_names_it(offers: Offers) -> None:
    """A run that is under way has no manifest yet."""
    key = f"segments/{offers.store.put_content('segments', b'orphan')}"
    written = datetime.now(UTC)
    assert offers.garbage(written + GRACE - timedelta(minutes=1)) == set()
    assert offers.garbage(written + GRACE + timedelta(minutes=1)) == {key}
    assert find_garbage(offers.engine, offers.store, written + timedelta(hours=2), timedelta(hours=1)).objects


def test_segments_of_a_file_that_is_gone_stay_where_another_has_taken_them_over(offers: Offers) -> None:
    first = offers.extract(7, "a", "b", "c")
    second = offers.extract(14, "a", "B", "c")
    assert offers.garbage() == set()
    offers.end(first.name)
    gone = offers.garbage()
    assert segments(first) & gone == segments(first, [1])
    assert not segments(second) & gone
    assert sum(key.startswith("manifests/") for key in gone) == 1


def test_newest_extract_of_each_obligation_stays_as_the_next_ones_predecessor(offers: Offers) -> None:
    old, newest = offers.extract(7, "a"), offers.extract(14, "b")
    monthly = offers.extract(10, "m", obligation="monthly")
    for manifest in (old, newest, monthly):
        offers.end(manifest.name)
    gone = offers.garbage()
    assert segments(old) <= gone
    assert not (segments(newest) | segments(monthly)) & gone


def test_small_file_goes_once_another_has_replaced_it(offers: Offers) -> None:
    first = offers.small_file("list.crl.gz", b"list 1", 1)
    offers.end("list.crl.gz")
    second = offers.small_file("list.crl.gz", b"list 2", 2)
    assert offers.garbage() == {f"files/{first}"}
    assert offers.store.holds(f"files/{second}")


def test_what_is_in_quarantine_stays_as_long_as_it_is_kept(offers: Offers) -> None:
    store = offers.store
    failed = stored(store, [[PageXml(0, 1, memoryview(b"failed"))]], (b"head", b"tail"))
    manifest, small = put_manifest(store, failed), store.put_content("files", b"failed")
    for sha256, of_manifest in (("ab" * 32, manifest), (small, "")):
        judgement = made_judgement("full", "x.gz", day(7), sha256, judged_at=LATER)
        keep_failed(store, judgement, of_manifest, "report")
    kept = segments(failed) | {f"manifests/{manifest}", f"files/{small}"}
    assert not offers.garbage()
    assert len(clear_quarantine(store, timedelta(days=1), LATER)) == 2
    assert offers.garbage() == kept


def said(verdict: Verdict, sha256: str, judged_at: datetime) -> Judgement:
    """The gate's word on a file, which the one check decides."""
    severity = Severity.HOLD if verdict is Verdict.HOLD else Severity.FAIL
    result = CheckResult("x", "x", severity, verdict is Verdict.PASS, "x", "x")
    return made_judgement("full", "x.gz", day(7), sha256, judged_at=judged_at, results=(result,))


@pytest.mark.parametrize(
    ("verdict", "released", "stays"),
    [
        (Verdict.PASS, None, True),
        (Verdict.HOLD, None, True),
        (Verdict.HOLD, True, True),
        (Verdict.HOLD, False, False),
        (Verdict.FAIL, None, False),
    ],
)
def test_what_the_gate_holds_or_has_cleared_stays_until_it_is_published(
    offers: Offers, verdict: Verdict, released: bool | None, stays: bool
) -> None:
    """It may wait for longer than the grace: for a person, or for a site."""
    offers.extract(14, "newer")
    made = stored(offers.store, [[PageXml(0, 1, memoryview(b"held"))]], (b"its own head", b"tail"))
    manifest, small = put_manifest(offers.store, made), offers.store.put_content("files", b"held")
    for sha256, of_manifest in (("ab" * 32, manifest), (small, "")):
        number = record_judgement(offers.engine, said(verdict, sha256, LATER - 2 * GRACE), of_manifest)
        if released is not None:
            record_decision(offers.engine, number, Decision(released, "seen", "ada", LATER))
    of_frame = f"checked/basis/frame-{made.frame_digest}.pages"  # without which it could not be judged again
    offers.store.put(of_frame, b"x")
    made_of = segments(made) | {f"manifests/{manifest}", f"files/{small}", of_frame}
    assert offers.garbage() == (set() if stays else made_of)
    assert offers.garbage(LATER + timedelta(days=31)) == made_of, "nobody publishes it any more"


def test_what_was_published_and_is_offered_no_longer_waits_no_longer(offers: Offers) -> None:
    old = offers.extract(7, "a")
    (manifest,) = (one.key.removeprefix("manifests/") for one in offers.store.list_objects("manifests/"))
    judgement = said(Verdict.PASS, f"{7:064x}", LATER)
    record_judgement(offers.engine, replace(judgement, name=old.name), manifest)
    offers.extract(14, "b")
    assert offers.garbage() == set()
    offers.end(old.name)
    assert segments(old) <= offers.garbage()


def test_what_is_published_while_garbage_is_collected_stays(offers: Offers) -> None:
    """Its pages were there before, and nothing named them."""
    orphan = offers.store.put_content("segments", b"orphan")
    offers.extract(7, "a")
    offers.end("full-7.xml.gz")
    offers.extract(14, "b")
    found = find_garbage(offers.engine, offers.store, LATER)
    again = offers.extract(12, "a", obligation="monthly")
    gone = collect_garbage(offers.engine, offers.store, found, LATER)
    assert {f"segments/{orphan}"} <= {one.key for one in gone.objects}
    assert all(map(offers.store.holds, segments(again)))
    assert gone.kept == found.kept + len(found.objects) - len(gone.objects)


def test_what_is_put_again_while_garbage_is_collected_stays(offers: Offers, tmp_path: Path) -> None:
    """By a run that is under way."""
    key = f"segments/{offers.store.put_content('segments', b'a page')}"
    old = datetime.now(UTC) - GRACE - timedelta(hours=1)
    (file,) = tmp_path.rglob(f"{key}")
    os.utime(file, (old.timestamp(), old.timestamp()))
    now = datetime.now(UTC)
    found = find_garbage(offers.engine, offers.store, now)
    assert [one.key for one in found.objects] == [key]
    offers.store.put_content("segments", b"a page")
    assert collect_garbage(offers.engine, offers.store, found, now).objects == ()
    assert offers.garbage(now) == set()
    assert offers.store.holds(key)


def grow_old(folder: Path) -> None:
    """All that is in the store was written before its grace."""
    old = (datetime.now(UTC) - GRACE - timedelta(days=1)).timestamp()
    for file in folder.rglob("*"):
        if file.is_file():
            os.utime(file, (old, old))


@pytest.mark.parametrize("is_assembled", [False, True])
def test_what_a_run_under_way_takes_over_stays_when_its_predecessor_is_removed(
    offers: Offers, user_guide: UserGuide, tmp_path: Path, is_assembled: bool
) -> None:
    """It was planned while that was offered: its plan names it, and once it is assembled its manifest the segments."""
    predecessor = offers.extract(7, "a", "b")
    offers.extract(14, "c")
    (found,) = (one for one in offers.store.list_objects("manifests/") if is_of(offers.store, one.key, predecessor))
    grow_old(tmp_path)
    plan = plan_extract(offers.engine, user_guide.full, day(8), basis=predecessor.basis)
    if is_assembled:
        put_manifest(offers.store, replace(predecessor, name="full-8.xml.gz"))
    else:
        replace(plan, predecessor=found.key.removeprefix("manifests/")).put(offers.store)
    before = find_garbage(offers.engine, offers.store, datetime.now(UTC))
    offers.end(predecessor.name)
    now = datetime.now(UTC)
    assert not segments(predecessor) & offers.garbage(now)
    assert is_assembled == (found.key in offers.garbage(now))
    all_of_it = replace(before, objects=tuple(offers.store.list_objects("segments/")))
    assert collect_garbage(offers.engine, offers.store, all_of_it, now).objects == ()
    assert segments(predecessor) <= offers.garbage(now + GRACE)


def is_of(store: Store, key: str, manifest: Manifest) -> bool:
    return get_manifest(store, key.removeprefix("manifests/")).name == manifest.name


def test_plan_that_cannot_be_read_ends_the_search(offers: Offers) -> None:
    key = f"plans/{offers.store.put_content('plans', b'{}')}"
    offers.store.replace(key, b"x")
    with pytest.raises(StoreError) as caught:
        offers.garbage(datetime.now(UTC))
    assert caught.value.item == key


def test_what_a_run_finds_of_a_segment_counts_as_written_by_it(offers: Offers, tmp_path: Path) -> None:
    """It was rejected a while ago, is made again, and what was found of it then is used until it is judged."""
    _, manifest = assembled(tmp_path, [render_head(XML_NAME), rendered(look_alikes(4)), render_tail()])
    _, marks = examine_stored(offers.store, manifest, XSD)
    grow_old(tmp_path)
    found = find_garbage(offers.engine, offers.store, datetime.now(UTC))
    of_marks = {one.key for one in offers.store.list_objects("checked/")}
    assert of_marks <= {one.key for one in found.objects}
    assert unchecked(stored_marks(offers.store, manifest, XSD)) == []
    now = datetime.now(UTC)
    assert not of_marks & offers.garbage(now)
    gone = collect_garbage(offers.engine, offers.store, found, now)
    assert not of_marks & {one.key for one in gone.objects}
    assert [len(marks.pages(number)) for number in (0, 1)] == [0, 1]


def test_what_a_killed_writer_left_goes_after_its_grace(offers: Offers, tmp_path: Path) -> None:
    """No listing of objects shows it."""
    leftover = _killed_while_writing(offers.store)
    kept = Path(offers.store.name, "note #1 of somebody")
    kept.write_bytes(b"x")
    now = datetime.now(UTC)
    assert find_garbage(offers.engine, offers.store, now).count == 0
    grow_old(tmp_path)
    found = find_garbage(offers.engine, offers.store, now)
    assert (found.objects, found.count, found.bytes) == ((), 1, leftover.stat().st_size)
    assert collect_garbage(offers.engine, offers.store, found, now) == found
    assert (leftover.exists(), kept.exists()) == (False, True)
    assert find_garbage(offers.engine, offers.store, now).count == 0


def _killed_while_writing(store: Store) -> Path:
    """A process that writes an object is killed before that is whole; what it leaves."""
    program = f"from smki.store.objects import Store; Store({store.name!r}).put_content('segments', bytes(1 << 28))"
    for _ in range(20):
        writer = subprocess.Popen([sys.executable, "-c", program])
        while writer.poll() is None and not list(Path(store.name).rglob("*#*")):
            time.sleep(0.001)
        writer.kill()
        writer.wait()
        if left := list(Path(store.name).rglob("*#*")):
            return left[0]
        store.remove([one.key for one in store.list_objects("segments/")])
    pytest.fail("no writer was killed in time")


def test_listing_that_states_times_more_finely_keeps_no_garbage(offers: Offers, tmp_path: Path) -> None:
    """As that of MinIO: milliseconds, where what is asked of an object has whole seconds."""
    key = f"segments/{offers.store.put_content('segments', b'orphan')}"
    (file,) = tmp_path.rglob(key)
    os.utime(file, (1_700_000_000, 1_700_000_000))
    found = find_garbage(offers.engine, offers.store, LATER)
    (orphan,) = found.objects
    listed = replace(orphan, changed_at=orphan.changed_at + timedelta(milliseconds=734))
    gone = collect_garbage(offers.engine, offers.store, replace(found, objects=(listed,)), LATER)
    assert [one.key for one in gone.objects] == [key]
    assert not offers.store.holds(key)


def test_what_was_found_of_a_segment_goes_with_it(offers: Offers) -> None:
    kept, gone = offers.extract(14, "b"), stored(offers.store, [[PageXml(0, 1, memoryview(b"gone"))]])
    for manifest in (kept, gone):
        for what in ("pages", "records", "rows"):
            offers.store.put(f"checked/basis/{manifest.segments[0]}.{what}", b"x")
    assert offers.garbage() == segments(gone) | {
        f"checked/basis/{gone.segments[0]}.{what}" for what in ("pages", "records", "rows")
    }


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_manifest_that_cannot_be_read_ends_the_search(offers: Offers, damage: str) -> None:
    """Nobody knows what it names."""
    offers.extract(7, "a")
    (key,) = (one.key for one in offers.store.list_objects("manifests/"))
    if damage == "gone":
        offers.store.remove([key])
    else:
        offers.store.replace(key, b"x")
    with pytest.raises((MissingObjectError, StoreError)) as caught:
        offers.garbage()
    assert caught.value.item == key
