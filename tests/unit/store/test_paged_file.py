"""An extract's bytes by its manifest: one gzip member, from the store's segments or from the file on a disk."""

import gzip
import hashlib
import io
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import XML_NAME, cut_off, day, store_in, stored
from conftest import Program
from smki.errors import MissingObjectError, StoreError
from smki.store.manifest import Manifest, find_manifest, manifest_path
from smki.store.objects import Store
from smki.store.paged_file import PagedFile
from smki.store.pages import PageXml, write_segment

NAME = f"{XML_NAME}.gz"
FRAME = (b"<head>", b"</head>")


def made(store: Store, xml: list[bytes], segment_of: list[int], frame: tuple[bytes, bytes] = FRAME) -> Manifest:
    """An extract with these pages, in order, and in which of its segments each lies."""
    segments: dict[int, list[PageXml]] = {}
    for number, (piece, segment) in enumerate(zip(xml, segment_of, strict=True)):
        segments.setdefault(segment, []).append(PageXml(number, 1, memoryview(piece)))
    return stored(store, segments.values(), frame)


@pytest.fixture
def manifest(store: Store) -> Manifest:
    """Five pages in two segments, by turns."""
    return made(store, [b"%d" % number * 900 for number in range(5)], [0, 1, 0, 1, 0])


PAGES = st.lists(
    st.tuples(st.binary(min_size=1, max_size=300).map(lambda content: content * 9), st.integers(0, 3)), max_size=8
)


@settings(max_examples=40)
@given(pages=PAGES, frame=st.tuples(st.binary(max_size=50), st.binary(max_size=50)))
def test_one_gzip_member_holds_head_pages_and_tail_in_order_wherever_they_lie(
    pages: list[tuple[bytes, int]], frame: tuple[bytes, bytes]
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        store = store_in(folder)
        manifest = made(store, [xml for xml, _ in pages], [segment for _, segment in pages], frame)
        paged = PagedFile.stored(store, manifest)
        paged.write(folder / NAME)
        content = (folder / NAME).read_bytes()
        member = zlib.decompressobj(wbits=31)
        assert member.decompress(content) == frame[0] + b"".join(xml for xml, _ in pages) + frame[1]
        assert (member.eof, member.unused_data) == (True, b"")
        assert (manifest.size, paged.sha256()) == (len(content), hashlib.sha256(content).hexdigest())
        assert manifest.xml_bytes == len(frame[0]) + sum(len(xml) for xml, _ in pages) + len(frame[1])
        assert PagedFile.on_disk(folder / NAME, manifest).sha256() == paged.sha256()


@settings(max_examples=60)
@given(pages=PAGES, data=st.data())
def test_any_range_is_the_files(pages: list[tuple[bytes, int]], data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        store = store_in(folder)
        manifest = made(store, [xml for xml, _ in pages], [segment for _, segment in pages])
        PagedFile.stored(store, manifest).write(folder / NAME)
        content = (folder / NAME).read_bytes()
        bounds = st.integers(0, len(content) + 20) | st.sampled_from([0, *manifest.offsets.tolist(), len(content)])
        for paged in (PagedFile.stored(store, manifest), PagedFile.on_disk(folder / NAME, manifest)):
            for _ in range(8):
                start, length = data.draw(bounds), data.draw(bounds)
                assert paged.read(start, length) == content[start : start + length]
            with paged.open() as stream:
                for _ in range(4):
                    start, length = stream.seek(data.draw(bounds)), data.draw(bounds)
                    assert stream.read(length) == content[start : start + length]
                assert stream.seek(-5, io.SEEK_END) == len(content) - 5
                assert stream.read() == content[-5:]
            places = data.draw(st.lists(st.integers(0, len(pages) - 1), unique=True).map(sorted)) if pages else []
            ends = manifest.offsets.tolist()
            assert paged.read_pages(np.array(places, np.intp)) == [content[ends[n] : ends[n + 1]] for n in places]


@settings(max_examples=30)
@given(pages=PAGES)
def test_units_hold_each_page_once_and_the_first_is_the_frame(pages: list[tuple[bytes, int]]) -> None:
    with TemporaryDirectory() as name:
        store = store_in(Path(name))
        manifest = made(store, [xml for xml, _ in pages], [segment for _, segment in pages])
        for paged in (PagedFile.stored(store, manifest), PagedFile.on_disk(Path(name) / NAME, manifest)):
            frame, *units = (unit.tolist() for unit in paged.units)
            assert frame == []
            assert sorted(place for unit in units for place in unit) == list(range(len(pages)))
            assert all(unit == sorted(unit) and unit for unit in units)


def test_header_names_the_xml_and_its_time_is_the_cut_off(store: Store, manifest: Manifest, tmp_path: Path) -> None:
    PagedFile.stored(store, manifest).write(tmp_path / NAME)
    with gzip.open(tmp_path / NAME) as stream:
        stream.read(1)
        assert stream.mtime == cut_off(day(7)).timestamp()
    head = (tmp_path / NAME).read_bytes()[10:]
    assert head[: head.index(b"\0")] == XML_NAME.encode()


@pytest.mark.parametrize("command", ["gzip -t", "pigz -t", "7z t", "gzip -l -v"])
def test_every_gzip_there_is_reads_it(
    store: Store, manifest: Manifest, tmp_path: Path, program: Program, command: str
) -> None:
    name, *arguments = command.split()
    PagedFile.stored(store, manifest).write(tmp_path / NAME)
    subprocess.run([program(name), *arguments, tmp_path / NAME], check=True, capture_output=True)


def test_manifest_lies_beside_the_file(store: Store, manifest: Manifest, tmp_path: Path) -> None:
    PagedFile.stored(store, manifest).write(tmp_path / "out" / NAME)
    found = find_manifest(tmp_path / "out" / NAME)
    assert found is not None
    assert found.to_bytes() == manifest.to_bytes()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [NAME, f"{NAME}.manifest"]


# -- what is wrong in the store --


def use(paged: PagedFile) -> None:
    for _ in paged.chunks():
        pass


@pytest.mark.parametrize("at", [0, 25, -1], ids=["first byte", "within", "last byte"])
def test_damaged_segment_is_an_error_of_the_store_that_names_segment_and_page(
    store: Store, manifest: Manifest, tmp_path: Path, at: int
) -> None:
    key = f"segments/{manifest.segments[1]}"
    content = bytearray(store.get(key))
    content[at] ^= 0x80
    store.replace(key, bytes(content))
    paged = PagedFile.stored(store, manifest)
    page = 3 if at == -1 or at >= manifest.pages["deflate_bytes"][1] else 1
    for read in (
        lambda: use(paged),
        paged.sha256,
        lambda: paged.read(int(manifest.offsets[page]), 1),
        lambda: paged.write(tmp_path / NAME),
    ):
        with pytest.raises(StoreError, match=f"page {page} of {NAME} is damaged") as caught:
            read()
        assert caught.value.item == key
    assert not list(tmp_path.glob("SMKIKR*"))
    assert len(paged.read_pages(np.array([0, 2, 4]))) == 3, "what lies elsewhere is as it was"


@pytest.mark.parametrize("cut", [1, 40, 10_000], ids=["last byte", "a page", "all"])
def test_segment_that_is_too_short_is_an_error_of_the_store(store: Store, manifest: Manifest, cut: int) -> None:
    key = f"segments/{manifest.segments[0]}"
    store.replace(key, store.get(key)[: -min(cut, len(store.get(key)))])
    with pytest.raises(StoreError) as caught:
        use(PagedFile.stored(store, manifest))
    assert caught.value.item == key


def test_segment_of_another_extract_is_an_error_of_the_store(store: Store, manifest: Manifest) -> None:
    other = write_segment(store, [PageXml(0, 1, memoryview(b"%d" % n * 900)) for n in range(7, 10)])
    mistaken = replace(manifest, segments=(other.sha256, manifest.segments[1]))
    with pytest.raises(StoreError, match=other.sha256):
        use(PagedFile.stored(store, mistaken))


def test_segment_that_is_gone_is_missing_by_name(store: Store, manifest: Manifest, tmp_path: Path) -> None:
    store.remove([f"segments/{manifest.segments[1]}"])
    with pytest.raises(MissingObjectError) as caught:
        PagedFile.stored(store, manifest).write(tmp_path / NAME)
    assert caught.value.item == f"segments/{manifest.segments[1]}"
    assert not (tmp_path / NAME).exists()


# -- what is wrong on the disk --


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB, where the tests may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root: run the tests as root; the next tests use /dev/full instead")
    yield folder
    subprocess.run(["umount", folder], check=True)


NOISE = b"".join(number.to_bytes(4) for number in range(0, 1 << 30, 300_001))


def test_full_disk_is_an_error_of_the_store_and_the_same_call_succeeds_once_there_is_room(small_disk: Path) -> None:
    store = Store.folder(small_disk / "store")
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (60 << 10))
    page = PageXml(0, 1, memoryview(NOISE))
    with pytest.raises(StoreError, match="No space left on device"):
        write_segment(store, [page])
    assert not list(store.list_objects("segments/"))
    ballast.unlink()
    manifest = stored(store, [[page]])
    assert store.holds(f"segments/{manifest.segments[0]}")

    ballast.write_bytes(b"x" * (40 << 10))
    paged = PagedFile.stored(store, manifest)
    with pytest.raises(StoreError, match="No space left on device"):
        paged.write(small_disk / NAME)
    assert not (small_disk / NAME).exists()
    ballast.unlink()
    paged.write(small_disk / NAME)
    assert gzip.decompress((small_disk / NAME).read_bytes()) == NOISE


@pytest.mark.parametrize("full", ["file", "manifest"])
def test_device_that_is_full_is_an_error_of_the_store_and_leaves_no_file(
    store: Store, manifest: Manifest, tmp_path: Path, full: str
) -> None:
    part = {"file": tmp_path / f".{NAME}.part", "manifest": tmp_path / f".{NAME}.manifest.part"}[full]
    part.symlink_to("/dev/full")
    paged = PagedFile.stored(store, manifest)
    with pytest.raises(StoreError, match="No space left on device"):
        paged.write(tmp_path / NAME)
    assert (tmp_path / NAME).exists() == (full == "manifest")
    assert not manifest_path(tmp_path / NAME).exists()
    assert not part.is_symlink(), "nothing is left that takes up room"
    paged.write(tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == paged.read(0, paged.size)


RANGES = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 300)), max_size=5)


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=6), RANGES)
def test_ranges_are_those_of_the_file(pages: list[bytes], ranges: list[tuple[int, int]]) -> None:
    with TemporaryDirectory() as folder:
        store = store_in(Path(folder))
        paged = PagedFile.stored(store, made(store, pages, [number % 2 for number in range(len(pages))]))
        content = b"".join(paged.chunks())
        asked = [(start, length) for start, length in ranges if start < len(content)]
        wanted = [content[start : start + length] for start, length in asked]
        assert paged.read_ranges(asked) == b"".join(wanted)
        assert [paged.read(start, length) for start, length in asked] == wanted
