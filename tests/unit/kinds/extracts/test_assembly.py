import gzip
import json
import subprocess
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import plan_of
from conftest import Program
from smki.errors import PlanError, StoreError
from smki.kinds.extracts.assembly import assemble
from smki.store.gzip_writer import segment_path, write_segment
from smki.store.manifest import Segment, manifest_path, read_manifest

NAME = "SMKIKR_FULL_2025-06-08.xml.gz"


def stage(folder: Path, pieces: list[bytes]) -> list[Segment]:
    return [write_segment(folder, number, 0, [piece]) for number, piece in enumerate(pieces)]


@pytest.fixture
def staged(tmp_path: Path) -> tuple[Path, list[Segment]]:
    folder = tmp_path / "segments"
    return folder, stage(folder, [b"<head>", b"one" * 1_000, b"", b"two" * 1_000, b"</head>"])


@settings(max_examples=40)
@given(pieces=st.lists(st.binary(max_size=300).map(lambda content: content * 9), min_size=2, max_size=8))
def test_one_gzip_member_holds_the_segments_in_order_whatever_order_they_come_in(pieces: list[bytes]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        segments = stage(folder / "segments", pieces)
        manifest = assemble(plan_of(len(pieces)), segments[::-1], folder / "segments", folder / NAME)
        content = (folder / NAME).read_bytes()
        member = zlib.decompressobj(wbits=31)
        assert member.decompress(content) == b"".join(pieces)
        assert (member.eof, member.unused_data) == (True, b"")
        assert (manifest.bytes, manifest.xml_bytes) == (len(content), sum(map(len, pieces)))
        assert read_manifest(folder / NAME) == manifest


def test_header_names_the_xml_and_its_time_is_the_cut_off(staged: tuple[Path, list[Segment]], tmp_path: Path) -> None:
    assemble(plan_of(5), staged[1], staged[0], tmp_path / NAME)
    with gzip.open(tmp_path / NAME) as stream:
        stream.read(1)
        assert stream.mtime == datetime(2025, 6, 8, tzinfo=UTC).timestamp()
    head = (tmp_path / NAME).read_bytes()[10:]
    assert head[: head.index(b"\0")] == b"SMKIKR_FULL_2025-06-08.xml"


@pytest.mark.parametrize("command", ["gzip -t", "pigz -t", "7z t", "gzip -l -v"])
def test_every_gzip_there_is_reads_it(
    staged: tuple[Path, list[Segment]], tmp_path: Path, program: Program, command: str
) -> None:
    name, *arguments = command.split()
    assemble(plan_of(5), staged[1], staged[0], tmp_path / NAME)
    subprocess.run([program(name), *arguments, tmp_path / NAME], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("numbers", "rule"),
    [
        ([0, 1, 3, 4], r"4 came \(missing: \[2\]\)"),
        ([0, 1, 2, 3], r"missing: \[4\]"),
        ([0, 1, 2, 3, 4, 4], "6 came"),
        ([], "0 came"),
    ],
)
def test_segment_that_is_missing_or_comes_twice_is_refused(
    staged: tuple[Path, list[Segment]], tmp_path: Path, numbers: list[int], rule: str
) -> None:
    folder, segments = staged
    with pytest.raises(PlanError, match=rule):
        assemble(plan_of(5), [segments[number] for number in numbers], folder, tmp_path / NAME)
    assert not (tmp_path / NAME).exists()


def test_staged_segment_that_is_gone_is_refused_by_name(staged: tuple[Path, list[Segment]], tmp_path: Path) -> None:
    segment_path(staged[0], 3).unlink()
    with pytest.raises(PlanError, match="segment-00003"):
        assemble(plan_of(5), staged[1], staged[0], tmp_path / NAME)
    assert not (tmp_path / NAME).exists()


def test_staged_segment_of_another_size_is_refused(staged: tuple[Path, list[Segment]], tmp_path: Path) -> None:
    with segment_path(staged[0], 1).open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(PlanError, match="segment-00001"):
        assemble(plan_of(5), staged[1], staged[0], tmp_path / NAME)
    assert not (tmp_path / NAME).exists()


def test_content_digest_is_that_of_the_xml_not_of_the_compression(tmp_path: Path) -> None:
    pieces = [b"head", b"body" * 100, b"tail"]
    manifest = assemble(plan_of(3), stage(tmp_path / "s", pieces), tmp_path / "s", tmp_path / NAME)
    as_if = replace(manifest, segments=tuple(replace(segment, deflate_bytes=1) for segment in manifest.segments))
    assert as_if.content_digest == manifest.content_digest
    pieces[1] = pieces[1][::-1]
    other = assemble(plan_of(3), stage(tmp_path / "s", pieces), tmp_path / "s", tmp_path / NAME)
    assert other.content_digest != manifest.content_digest


def test_segment_written_again_replaces_the_first_as_a_whole(tmp_path: Path) -> None:
    write_segment(tmp_path, 1, 0, [b"x" * 100_000])
    second = write_segment(tmp_path, 1, 0, [b"y"])
    assert segment_path(tmp_path, 1).stat().st_size == second.deflate_bytes
    assert [path.name for path in tmp_path.iterdir()] == ["segment-00001.deflate"]


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


def test_full_disk_is_a_disk_error_and_the_same_call_succeeds_once_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (60 << 10))
    noise = b"".join(number.to_bytes(4) for number in range(0, 1 << 30, 140_001))
    with pytest.raises(StoreError, match="No space left on device"):
        write_segment(small_disk / "segments", 1, 0, [noise])
    assert not segment_path(small_disk / "segments", 1).exists()
    ballast.unlink()
    segment = write_segment(small_disk / "segments", 1, 0, [noise])
    assert segment_path(small_disk / "segments", 1).stat().st_size == segment.deflate_bytes

    segments = [write_segment(small_disk / "segments", number, 0, [b"x"]) for number in (0, 2)]
    ballast.write_bytes(b"x" * (20 << 10))
    with pytest.raises(StoreError, match="No space left on device"):
        assemble(plan_of(3), [segments[0], segment, segments[1]], small_disk / "segments", small_disk / NAME)
    assert not (small_disk / NAME).exists()


@pytest.mark.parametrize("full", ["segment", "file", "manifest"])
def test_device_that_is_full_is_a_disk_error_and_leaves_no_file(tmp_path: Path, full: str) -> None:
    folder = tmp_path / "segments"
    folder.mkdir()
    part = {
        "segment": folder / ".segment-00000.deflate.part",
        "file": tmp_path / f".{NAME}.part",
        "manifest": tmp_path / f".{NAME}.manifest.json.part",
    }[full]
    part.symlink_to("/dev/full")

    def make() -> None:
        assemble(plan_of(2), stage(folder, [b"head", b"tail"]), folder, tmp_path / NAME)

    with pytest.raises(StoreError, match="No space left on device"):
        make()
    assert (tmp_path / NAME).exists() == (full == "manifest")
    part.unlink()
    make()
    assert gzip.decompress((tmp_path / NAME).read_bytes()) == b"headtail"


@pytest.mark.parametrize(
    "damage",
    [
        *(lambda _, text=text: text for text in ("", "{", "[]", "{}", "null", '{"obligation": "neither"}')),
        lambda text: text.replace('"annex_b-1"', '"annex_b-0"'),
    ],
)
def test_manifest_that_is_damaged_is_refused(
    staged: tuple[Path, list[Segment]], tmp_path: Path, damage: Callable[[str], str]
) -> None:
    file = tmp_path / NAME
    assemble(plan_of(5), staged[1], staged[0], file)
    path = manifest_path(file)
    path.write_text(damage(path.read_text()))
    with pytest.raises(PlanError) as caught:
        read_manifest(file)
    assert caught.value.item == str(manifest_path(file))


def test_manifest_states_the_content_digest_for_those_who_read_it_elsewhere(
    staged: tuple[Path, list[Segment]], tmp_path: Path
) -> None:
    manifest = assemble(plan_of(5), staged[1], staged[0], tmp_path / NAME)
    assert json.loads(manifest_path(tmp_path / NAME).read_bytes())["content_digest"] == manifest.content_digest


def test_manifest_of_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError):
        read_manifest(tmp_path / NAME)
