"""Extracts that lie in the store: verified where they lie, each page once, by manifests that may lie themselves."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from builders import XML_NAME, XSD, assembled, look_alikes, rendered, stored, written
from smki.annex_b.version import V1
from smki.certificates.set_digest import SetDigest
from smki.errors import MissingObjectError, StoreError, VerificationError
from smki.kinds.extracts.rendering import render_head, render_tail
from smki.store.manifest import Frame, Manifest
from smki.store.objects import Store
from smki.store.paged_file import PagedFile
from smki.store.pages import PAGE, PageXml
from smki.verify.faults import Fault, FaultError
from smki.verify.verification import (
    Verification,
    conclude,
    examine_stored,
    need_right,
    stored_marks,
    unchecked,
    verify_file,
)

BODIES = look_alikes(12)
PAGES = [rendered(BODIES[start : start + 4]) for start in (0, 4, 8)]
XML = [render_head(XML_NAME), *PAGES, render_tail()]
FACTS = [name for name in PAGE.names or () if name not in ("number", "segment", "place")]


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return assembled(tmp_path, XML)[1]


@pytest.fixture
def in_one_segment(store: Store) -> Manifest:
    """The same extract with all its pages in one segment."""
    return stored(store, [[page(number, xml) for number, xml in enumerate(PAGES)]], (XML[0], XML[-1]))


def page(number: int, xml: bytes) -> PageXml:
    return PageXml(number, xml.count(V1.record_end), memoryview(xml))


def with_pages(manifest: Manifest, places: Sequence[int]) -> Manifest:
    """A manifest of some of the pages."""
    return replace(manifest, pages=manifest.pages[list(places)])


def lying(manifest: Manifest, fact: str) -> Manifest:
    pages = manifest.pages.copy()
    if fact == "xml_sha256":
        pages[fact][1] = np.void(bytes(32))
    else:
        pages[fact][1] += 1
    return replace(manifest, pages=pages)


def verified(store: Store, manifest: Manifest) -> Verification:
    return need_right(examine_stored(store, manifest, XSD)[0])


def test_what_is_found_in_the_store_is_what_is_found_on_a_disk(
    store: Store, manifest: Manifest, tmp_path: Path
) -> None:
    file, _ = written(tmp_path, manifest)
    assert verified(store, manifest) == verify_file(file, XSD, manifest=manifest)
    assert verified(store, manifest).set_digest == SetDigest.of(BODIES)


def test_two_processes_find_what_one_does(store: Store, manifest: Manifest) -> None:
    found, _ = examine_stored(store, manifest, XSD, workers=2)
    assert found == verified(store, manifest)


@pytest.mark.parametrize("fact", FACTS)
def test_manifest_that_lies_about_a_page_is_refused(
    store: Store, manifest: Manifest, tmp_path: Path, fact: str
) -> None:
    with pytest.raises((VerificationError, StoreError)):
        verified(store, lying(manifest, fact))
    if fact != "offset":  # in the store alone
        file, _ = written(tmp_path, manifest)
        with pytest.raises(VerificationError):
            verify_file(file, XSD, manifest=lying(manifest, fact))


@pytest.mark.parametrize("fact", FACTS)
def test_manifest_that_lies_about_a_page_that_was_checked_before_is_refused(
    store: Store, manifest: Manifest, fact: str
) -> None:
    verified(store, manifest)
    with pytest.raises((VerificationError, StoreError)):
        verified(store, lying(manifest, fact))


def test_manifest_that_takes_one_checked_page_for_another_is_refused(store: Store, in_one_segment: Manifest) -> None:
    """Of its own segment, and stated as the other one."""
    verified(store, in_one_segment)
    pages = in_one_segment.pages.copy()
    pages["place"][[0, 1]] = [1, 0]
    with pytest.raises(FaultError, match="segment 1") as caught:
        verified(store, replace(in_one_segment, pages=pages))
    assert caught.value.fault is Fault.CONTENT


def test_page_that_stands_at_another_place_in_another_file_is_right_in_both(store: Store, manifest: Manifest) -> None:
    """A delta's first page may be a later one of a full extract."""
    first = replace(with_pages(manifest, [0]), segments=manifest.segments[:1], sizes=(1,))
    first.pages["number"] = 7
    for one in (manifest, first, manifest):
        verified(store, one)


@pytest.mark.parametrize("part", ["head", "tail"])
def test_frame_that_lies_is_refused(store: Store, manifest: Manifest, part: str) -> None:
    verified(store, manifest)
    frame: Frame = getattr(manifest, part)
    for lie in (
        replace(frame, deflate=Frame.of(frame.xml + b" ").deflate),
        replace(frame, deflate=frame.deflate[:-4]),
        Frame.of(frame.xml.replace(b"CertificateDataResponse", b"Other")),
        Frame.of(b""),
    ):
        with pytest.raises(VerificationError):
            verified(store, replace(manifest, **{part: lie}))


def test_page_that_stands_in_it_twice_is_refused(store: Store, manifest: Manifest) -> None:
    pages = manifest.pages[[0, 1, 0]]
    pages["segment"] = range(3)
    twice = replace(manifest, pages=pages, segments=(*manifest.segments[:2], manifest.segments[0]))
    with pytest.raises(FaultError, match="4 certificates") as caught:
        verified(store, twice)
    assert caught.value.fault is Fault.DUPLICATE


def test_damaged_object_is_an_error_of_the_store_that_names_segment_and_page(store: Store, manifest: Manifest) -> None:
    key = f"segments/{manifest.segments[1]}"
    content = bytearray(store.get(key))
    content[30] ^= 1
    store.replace(key, bytes(content))
    with pytest.raises(StoreError, match=f"page 1 of {manifest.name}") as caught:
        examine_stored(store, manifest, XSD)
    assert caught.value.item == key


def test_object_that_is_gone_is_missing(store: Store, manifest: Manifest) -> None:
    store.remove([f"segments/{manifest.segments[2]}"])
    with pytest.raises(MissingObjectError) as caught:
        examine_stored(store, manifest, XSD)
    assert caught.value.item == f"segments/{manifest.segments[2]}"


def test_segment_that_is_wrong_is_looked_at_again(store: Store, tmp_path: Path) -> None:
    _, manifest = assembled(tmp_path, [XML[0], PAGES[0].replace(b">I<", b">X<"), PAGES[1], XML[-1]])
    for _ in range(2):
        found, marks = examine_stored(store, manifest, XSD)
        assert [row.fault for row in found.segments] == ["", Fault.XML, ""]
        assert unchecked(marks) == [1]


def test_rows_are_found_anew_where_a_segment_was_checked_without_them(store: Store, in_one_segment: Manifest) -> None:
    """Equal pages are one segment, also of a file whose rows are not judged."""
    verified(store, in_one_segment)
    found, marks = examine_stored(store, in_one_segment, XSD, keep_rows=True)
    assert need_right(found).records == marks.rows([0, 1]).num_rows == 12
    assert unchecked(marks, keep_rows=True) == []


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    return content[:200] + bytes([content[200] ^ 1]) + content[201:]


def empty(_content: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("harm", [cut, flip, empty, None])
@pytest.mark.parametrize("what", ["pages", "records", "rows"])
@pytest.mark.parametrize("of_frame", [False, True])
def test_marks_that_are_damaged_or_gone_are_made_anew(
    store: Store, in_one_segment: Manifest, what: str, harm: Callable[[bytes], bytes] | None, of_frame: bool
) -> None:
    right, marks = examine_stored(store, in_one_segment, XSD, keep_rows=True)
    rows = marks.rows([0, 1])
    name = f"frame-{in_one_segment.frame_digest}" if of_frame else in_one_segment.segments[0]
    (key,) = (one.key for one in store.list_objects("checked/") if one.key.endswith(f"{name}.{what}"))
    before = store.get(key)
    if harm is None:
        store.remove([key])
    else:
        store.replace(key, harm(before))
    assert unchecked(marks, keep_rows=True) == [0 if of_frame else 1]
    again, marks = examine_stored(store, in_one_segment, XSD, keep_rows=True)
    assert again == right
    assert marks.rows([0, 1]).equals(rows)
    assert store.get(key) == before
    assert unchecked(marks, keep_rows=True) == []


@pytest.mark.parametrize("what", ["pages", "records"])
def test_marks_that_are_damaged_before_the_whole_is_checked_are_no_figures(
    store: Store, in_one_segment: Manifest, what: str
) -> None:
    """And once more from the beginning they are found anew."""
    right, marks = examine_stored(store, in_one_segment, XSD)
    (key,) = (one.key for one in store.list_objects("checked/") if one.key.endswith(f"{marks.units[1].name}.{what}"))
    store.replace(key, flip(store.get(key)))
    with pytest.raises(MissingObjectError) as caught:
        conclude(PagedFile.stored(store, in_one_segment), right.sha256, marks, [])
    assert caught.value.item == key
    assert examine_stored(store, in_one_segment, XSD)[0] == right


def test_some_pages_of_a_segment_have_their_own_figures(store: Store, in_one_segment: Manifest) -> None:
    whole, _ = examine_stored(store, in_one_segment, XSD, keep_rows=True)
    assert whole.records == 12
    some, marks = examine_stored(store, with_pages(in_one_segment, [0, 2]), XSD)
    kept = [*BODIES[:4], *BODIES[8:]]
    assert (some.records, need_right(some).set_digest) == (8, SetDigest.of(kept))
    assert marks.rows([1])["sha256"].to_pylist() == [hashlib.sha256(body).digest() for body in kept]
    assert marks.places(1).tolist() == list(range(8))


def test_pages_in_the_order_of_the_file_have_their_places_in_it(store: Store, in_one_segment: Manifest) -> None:
    """A renewed page stands between others of an older segment."""
    verified(store, in_one_segment)
    old = [page(number, xml) for number, xml in enumerate(PAGES)]
    renewed = stored(store, [old, [page(1, rendered(BODIES[5:7]))]], (XML[0], XML[-1]))
    found, marks = examine_stored(store, with_pages(renewed, [0, 2, 3]), XSD)
    assert need_right(found).records == 10
    assert [marks.places(number).tolist() for number in (1, 2)] == [[0, 1, 2, 3, 6, 7, 8, 9], [4, 5]]


def test_figures_of_a_segment_that_are_gone_cannot_be_found_anew_from_some_of_its_pages(
    store: Store, in_one_segment: Manifest
) -> None:
    """Else they would be taken for those of all its pages."""
    some = with_pages(in_one_segment, [0, 2])
    with pytest.raises(MissingObjectError, match="from scratch"):
        examine_stored(store, some, XSD)
    assert unchecked(stored_marks(store, in_one_segment, XSD)) == [1]
    verified(store, in_one_segment)
    verified(store, some)
