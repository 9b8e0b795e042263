"""A file of pages reads as the file on a disk does, whatever ranges are asked for."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from builders import assembled, store_in
from smki.store.paged_file import PagedFile

PAGES = st.lists(st.binary(max_size=60), max_size=6)
RANGES = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 300)), max_size=5)


@given(PAGES, RANGES)
def test_ranges_are_those_of_the_file(pages: list[bytes], ranges: list[tuple[int, int]]) -> None:
    with TemporaryDirectory() as folder:
        path, manifest = assembled(Path(folder), [b"<head>", *pages, b"</tail>"])
        content = path.read_bytes()
        for paged in (PagedFile.stored(store_in(Path(folder)), manifest), PagedFile.on_disk(path, manifest)):
            asked = [(start, length) for start, length in ranges if start < len(content)]
            wanted = [content[start : start + length] for start, length in asked]
            assert paged.read_ranges(asked) == b"".join(wanted)
            assert [paged.read(start, length) for start, length in asked] == wanted
            assert paged.read(0, paged.size) == content
