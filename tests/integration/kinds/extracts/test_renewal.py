"""Renewal: a full extract that takes pages over from an earlier one is, byte for byte, the one made from scratch."""

import resource
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from builders import (
    XSD,
    change,
    cut_off,
    day,
    during,
    lodge_bodies,
    look_alikes,
    produced,
    store_in,
    stored_artefact,
    written,
)
from conftest import NewRepository, histories
from integration.kinds.extracts.histories import STEPS, WINDOWS, Step, live_through
from smki.annex_b.version import V1
from smki.certificates.model import Status
from smki.kinds.extracts.plan import plan_extract
from smki.kinds.extracts.production import plan_in_store, produce
from smki.obligations.catalogue import Obligation, UserGuide
from smki.publish.ledger import record_artefact, record_publication
from smki.publish.recipe import PublishedFile
from smki.repository.database import libpq_url
from smki.repository.windows import close_windows
from smki.store.manifest import Manifest, put_manifest
from smki.store.objects import Store
from smki.store.paged_file import PagedFile
from smki.store.pages import PageFormat
from smki.verify.basis import basis_of
from smki.verify.verification import examine_stored, need_right, stored_marks, unchecked

TINY = PageFormat(2, certificates=2, pages=2)


def renewed(engine: Engine, terms: Obligation, window: int, store: Store, predecessor: Manifest) -> Manifest:
    sha256 = put_manifest(store, predecessor)
    plan = plan_extract(
        engine,
        terms,
        day(window),
        basis=basis_of(V1, XSD),
        predecessor=(sha256, predecessor),
        page_format=predecessor.page_format,
    )
    return produce(libpq_url(engine), plan, store)[1]


@settings(max_examples=histories(10))
@given(steps=STEPS, chain=st.lists(st.integers(1, WINDOWS), min_size=2, max_size=4, unique=True).map(sorted))
def test_renewed_extract_is_the_one_made_from_scratch(
    repository_again: NewRepository, user_guide: UserGuide, steps: list[Step], chain: list[int]
) -> None:
    engine = repository_again()
    live_through(engine, steps)
    with TemporaryDirectory() as name:
        folder = Path(name)
        store = store_in(folder)
        _, manifest = produced(engine, user_guide.full, day(chain[0]), folder, page_format=TINY)
        examine_stored(store, manifest, XSD)
        for window in chain[1:]:
            manifest = renewed(engine, user_guide.full, window, store, manifest)
            verification, _ = examine_stored(store, manifest, XSD)
            scratch, whole = produced(engine, user_guide.full, day(window), folder / f"{window}", page_format=TINY)
            assert written(folder, manifest)[0].read_bytes() == scratch.read_bytes()
            assert manifest.content_digest == whole.content_digest
            found, _ = examine_stored(store_in(folder / f"{window}"), whole, XSD)
            assert need_right(verification).set_digest == found.set_digest
            assert (verification.sha256, verification.records) == (found.sha256, found.records)
            assert (verification.statuses, verification.issuers) == (found.statuses, found.issuers)


@pytest.fixture
def weekly(repository: Engine) -> Engine:
    """200 certificates in window 1; two of them change in window 2, three more come in window 3."""
    bodies = look_alikes(200)
    lodge_bodies(repository, bodies, during(1))
    change(repository, [bodies[3], bodies[150]], Status.NOT_IN_USE, during(2))
    lodge_bodies(repository, look_alikes(3, seed=2), during(3))
    close_windows(repository, day(3), cut_off)
    return repository


PAGES = PageFormat(2, certificates=10, pages=4)


def test_only_touched_pages_are_rendered_and_verified(weekly: Engine, user_guide: UserGuide, tmp_path: Path) -> None:
    store = store_in(tmp_path)
    _, first = produced(weekly, user_guide.full, day(1), tmp_path, page_format=PAGES)
    examine_stored(store, first, XSD)
    before = {one.key for one in store.list_objects("segments/")}
    second = renewed(weekly, user_guide.full, 2, store, first)
    new = {one.key for one in store.list_objects("segments/")} - before
    assert (len(first.pages), len(second.pages), second.taken_over) == (21, 21, 19)
    assert len(new) == 1
    progress: list[tuple[int, int]] = []
    examine_stored(store, second, XSD, progress=lambda done, of: progress.append((done, of)))
    assert progress == [(1, 2), (2, 2)]  # the frame, which has the file's name in it, and the new segment
    third = renewed(weekly, user_guide.full, 3, store, second)
    assert (len(third.pages), third.taken_over, third.records) == (21, 20, 201)


def test_page_that_lies_between_two_windows_is_taken_over_from_any_predecessor(
    weekly: Engine, user_guide: UserGuide, tmp_path: Path
) -> None:
    _, first = produced(weekly, user_guide.full, day(1), tmp_path, page_format=PAGES)
    third = renewed(weekly, user_guide.full, 3, store_in(tmp_path), first)
    assert (third.predecessor, third.taken_over) == (first.name, 18)


def test_most_pages_touched_means_from_scratch(repository: Engine, user_guide: UserGuide, tmp_path: Path) -> None:
    bodies = look_alikes(100)
    lodge_bodies(repository, bodies, during(1))
    change(repository, bodies[::10], Status.NOT_IN_USE, during(2))
    close_windows(repository, day(2), cut_off)
    _, first = produced(repository, user_guide.full, day(1), tmp_path, page_format=PAGES)
    second = renewed(repository, user_guide.full, 2, store_in(tmp_path), first)
    assert (second.predecessor, second.taken_over) == ("", 0)


def test_segment_of_which_little_is_left_is_rendered_anew(
    repository: Engine, user_guide: UserGuide, tmp_path: Path
) -> None:
    bodies = look_alikes(200)
    lodge_bodies(repository, bodies, during(1))
    change(repository, [bodies[0], bodies[12], bodies[22], bodies[31]], Status.NOT_IN_USE, during(2))
    close_windows(repository, day(2), cut_off)
    _, first = produced(repository, user_guide.full, day(1), tmp_path, page_format=PageFormat(2, 10, 5))
    second = renewed(repository, user_guide.full, 2, store_in(tmp_path), first)
    assert second.taken_over == 16
    assert first.segments[0] not in second.segments


def test_units_cover_each_page_once(weekly: Engine, user_guide: UserGuide, tmp_path: Path) -> None:
    _, first = produced(weekly, user_guide.full, day(1), tmp_path, page_format=PAGES)
    second = renewed(weekly, user_guide.full, 2, store_in(tmp_path), first)
    for paged in (PagedFile.stored(store_in(tmp_path), second), PagedFile.on_disk(*written(tmp_path, second))):
        assert sorted(np.concatenate(paged.units).tolist()) == list(range(21))


def test_no_file_stays_open_for_each_segment(weekly: Engine, user_guide: UserGuide, tmp_path: Path) -> None:
    _, manifest = produced(weekly, user_guide.full, day(1), tmp_path, page_format=PageFormat(2, 1, 1))
    assert len(manifest.segments) == 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 40, hard))
    try:
        verification, _ = examine_stored(store_in(tmp_path), manifest, XSD)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert need_right(verification).records == 200


@pytest.mark.parametrize("what", ["pages", "records"])
@pytest.mark.parametrize("harm", ["damaged", "gone"])
def test_nothing_is_taken_over_where_what_was_found_of_it_is_not_whole(
    repository: Engine, user_guide: UserGuide, tmp_path: Path, what: str, harm: str
) -> None:
    """Nobody can find it anew of some pages of a segment: the extract is made from scratch, the next one renewed."""
    store, url, bodies = store_in(tmp_path), libpq_url(repository), look_alikes(400)
    lodge_bodies(repository, bodies, during(1))
    for window in (2, 3):
        change(repository, bodies[window : window + 1], Status.NOT_IN_USE, during(window))
    close_windows(repository, day(3), cut_off)

    def make(window: int) -> Manifest:
        _, manifest = produce(url, plan_in_store(repository, store, XSD, user_guide.full, day(window)), store)
        need_right(examine_stored(store, manifest, XSD)[0])
        published = stored_artefact(store, manifest)
        with repository.begin() as connection:
            record_artefact(connection, published)
            file = PublishedFile(f"/{manifest.name}", manifest.size, published.sha256, already_there=False)
            record_publication(connection, "primary", manifest.name, file, "test")
        return manifest

    first = make(1)
    (key,) = (one.key for one in store.list_objects("checked/") if one.key.endswith(f"{first.segments[0]}.{what}"))
    if harm == "gone":
        store.remove([key])
    else:
        store.replace(key, store.get(key)[:-1])
    assert make(2).predecessor == ""
    assert make(3).predecessor == user_guide.full.file_name(day(2))


def test_what_another_basis_found_is_not_taken_for_found(weekly: Engine, user_guide: UserGuide, tmp_path: Path) -> None:
    store = store_in(tmp_path)
    _, manifest = produced(weekly, user_guide.full, day(1), tmp_path, page_format=PAGES)
    _, marks = examine_stored(store, manifest, XSD)
    assert unchecked(marks) == []
    other = tmp_path / "other.xsd"
    other.write_bytes(XSD.read_bytes() + b"<!-- another one -->")
    assert unchecked(stored_marks(store, manifest, other)) == [0, *range(1, len(manifest.segments) + 1)]
    _, marks = examine_stored(store, manifest, other)
    assert unchecked(marks) == []
    assert len({one.key.split("/")[1] for one in store.list_objects("checked/")}) == 2
