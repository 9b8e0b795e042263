import zlib
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import store_in
from smki.errors import MissingObjectError, StoreError
from smki.store.pages import PAGE, Compressor, PageXml, consecutive, get_pages, put_pages, write_segment

XML = st.binary(min_size=1, max_size=200).map(lambda content: content * 9)


@settings(max_examples=30)
@given(pages=st.lists(XML, min_size=1, max_size=6))
def test_each_page_of_a_segment_inflates_from_nothing_and_depends_on_itself_alone(pages: list[bytes]) -> None:
    with TemporaryDirectory() as name:
        store = store_in(Path(name))
        segment = write_segment(store, [PageXml(7 * n, n, memoryview(xml)) for n, xml in enumerate(pages)])
        content = store.get_content("segments", segment.sha256)
        for place, (xml, row) in enumerate(zip(pages, segment.pages, strict=True)):
            deflate = content[row["offset"] :][: row["deflate_bytes"]]
            inflater = zlib.decompressobj(-15)
            assert (inflater.decompress(deflate), inflater.eof) == (xml, False)
            assert deflate == Compressor().compress(xml)
            assert (row["number"], row["place"], row["records"]) == (7 * place, place, place)
            assert (row["xml_bytes"], row["xml_crc32"]) == (len(xml), zlib.crc32(xml))
            assert row["deflate_crc32"] == zlib.crc32(deflate)
        assert len(content) == segment.pages["deflate_bytes"].sum()


def test_same_pages_are_one_object_and_no_page_is_none(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    page = PageXml(0, 1, memoryview(b"<page/>"))
    assert write_segment(store, [page]).sha256 == write_segment(store, iter([page])).sha256
    nothing = write_segment(store, [])
    assert (nothing.sha256, len(nothing.pages)) == ("", 0)
    assert len(list(store.list_objects("segments/"))) == 1


def test_facts_of_pages_survive_the_store(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    pages = write_segment(store, [PageXml(n, n, memoryview(b"%d" % n)) for n in range(9)]).pages
    for some in (pages, pages[:0]):
        again = get_pages(store, put_pages(store, some))
        assert again.dtype == PAGE
        assert again.tolist() == some.tolist()


def test_facts_of_pages_that_are_damaged_or_gone_are_no_facts(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    sha256 = put_pages(store, write_segment(store, [PageXml(0, 1, memoryview(b"x"))]).pages)
    store.replace(f"pages/{sha256}", bytes(PAGE.itemsize))
    with pytest.raises(StoreError):
        get_pages(store, sha256)
    store.remove([f"pages/{sha256}"])
    with pytest.raises(MissingObjectError):
        get_pages(store, sha256)


@given(places=st.lists(st.integers(0, 60), unique=True).map(sorted))
def test_runs_of_consecutive_places_cover_them_and_nothing_else(places: list[int]) -> None:
    runs = list(consecutive(np.array(places, np.intp)))
    assert [place for first, last in runs for place in range(first, last + 1)] == places
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(runs))
