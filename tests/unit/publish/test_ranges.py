"""What is copied on the server and what is sent: each byte of the new file once, and copied from equal bytes only."""

import hashlib
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from builders import manifest_of
from smki.publish.ranges import Range, find_equal_pages, find_ranges, last_bytes, pieces, split_at, total_bytes
from smki.store.manifest import Manifest
from smki.store.pages import PAGE

PAGE_BYTES = 8  # and so many more as its content says
CONTENTS = st.lists(st.integers(0, 12), max_size=30)


def page_of(content: int) -> bytes:
    return bytes([content]) * (PAGE_BYTES + content)


def file_of(contents: list[int], name: str) -> tuple[Manifest, bytes]:
    """A file whose pages are made up, with its bytes."""
    pages = np.zeros(len(contents), PAGE)
    for place, content in enumerate(contents):
        pages[place]["deflate_bytes"] = len(page_of(content))
        pages[place]["deflate_crc32"] = content
        pages[place]["xml_sha256"] = np.void(hashlib.sha256(bytes([content])).digest())
    manifest = manifest_of(pages, name=name)
    around = manifest.header + manifest.head.deflate, manifest.tail.deflate + manifest.end
    return manifest, around[0] + b"".join(map(page_of, contents)) + around[1]


@given(CONTENTS, CONTENTS)
def test_ranges_hold_each_byte_once_and_copied_ones_are_equal(new: list[int], old: list[int]) -> None:
    (manifest, content), (old_manifest, old_content) = file_of(new, "new.xml.gz"), file_of(old, "old.xml.gz")
    ranges = find_ranges(manifest, old_manifest)
    assert [one.start for one in ranges] == [0, *(one.end for one in ranges[:-1])]
    assert ranges[-1].end == manifest.size == len(content)
    for one in ranges:
        assert one.length > 0
        if one.source is not None:
            assert old_content[one.source : one.source + one.length] == content[one.start : one.end]
    copied = sum(len(page_of(page)) for page in new if page in old)
    assert total_bytes(one for one in ranges if one.source is not None) == copied
    for one, after in pairwise(ranges):
        assert one.source is not None or after.source is not None, "two in a row are sent apart"


@given(CONTENTS)
def test_equal_pages_in_a_row_are_one_range(contents: list[int]) -> None:
    new, _ = file_of(list(dict.fromkeys(contents)), "longer-name.xml.gz")
    old, _ = file_of(list(dict.fromkeys(contents)), "old.xml.gz")
    first, *rest = find_ranges(new, old)
    assert first.source is None
    assert [one.source for one in rest] == ([int(old.offsets[0]), None] if contents else [])


def test_page_with_equal_xml_and_another_deflate_is_sent() -> None:
    (new, _), (old, _) = file_of([1, 2, 3], "new.xml.gz"), file_of([1, 2, 3], "old.xml.gz")
    old.pages["deflate_crc32"][1] += 1
    assert find_equal_pages(new, old).tolist() == [0, -1, 2]
    old.pages["xml_sha256"][0] = np.void(bytes(32))
    assert find_equal_pages(new, old).tolist() == [-1, -1, 2]


def ascending(drawn: list[tuple[int, int, bool]]) -> list[Range]:
    """Ranges by the gap before each, its length, and whether it is copied."""
    ranges, end = [], 0
    for gap, length, copied in drawn:
        ranges.append(Range(end + gap, length, 1_000 * len(ranges) if copied else None))
        end = ranges[-1].end
    return ranges


RANGES = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9), st.booleans()), max_size=8).map(ascending)


def bytes_in(ranges: list[Range]) -> list[tuple[int, int | None]]:
    """Each byte of ranges, with where it comes from."""
    return [(r.start + at, None if r.source is None else r.source + at) for r in ranges for at in range(r.length)]


@given(RANGES, st.integers(1, 10), st.integers(0, 120))
def test_ranges_cut_up_hold_the_same_bytes(ranges: list[Range], length: int, place: int) -> None:
    cut = list(pieces(ranges, length))
    assert bytes_in(cut) == bytes_in(ranges)
    assert all(0 < one.length <= length for one in cut)
    before, after = split_at(ranges, place)
    assert bytes_in(before + after) == bytes_in(ranges)
    assert all(one.end <= place for one in before)
    assert all(one.start >= place for one in after)
    assert bytes_in(last_bytes(ranges, place)) == (bytes_in(ranges)[-place:] if place else [])
