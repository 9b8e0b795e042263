import gzip
import struct
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import XML_NAME, XSD, assembled, document, look_alikes, record_of, rendered, zipped
from smki.errors import MissingObjectError, VerificationError
from smki.kinds.extracts.rendering import render_head, render_tail
from smki.store.manifest import Manifest
from smki.store.paged_file import PagedFile
from smki.store.pages import PageFormat
from smki.verify.faults import Fault, FaultError
from smki.verify.marks import Marks, Unit
from smki.verify.verification import check_units, conclude, examine_file, verify_file

BODIES = look_alikes(12)
XML = [render_head(XML_NAME), *(rendered(BODIES[i : i + 4]) for i in (0, 4, 8)), render_tail()]


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Manifest]:
    return assembled(tmp_path, XML)


@pytest.fixture(scope="module")
def flipped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, bytes]:
    """A file that a test may change as it likes, its manifest, and its bytes as they were made."""
    file, manifest = assembled(tmp_path_factory.mktemp("flipped"), XML)
    return file, manifest, file.read_bytes()


@settings(max_examples=150)
@given(data=st.data())
def test_flipped_bit_anywhere_is_refused(flipped: tuple[Path, Manifest, bytes], data: st.DataObject) -> None:
    file, manifest, content = flipped
    at = data.draw(st.integers(0, len(content) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    file.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
    with pytest.raises(VerificationError):
        verify_file(file, XSD, manifest=manifest)


@settings(max_examples=100)
@given(data=st.data())
def test_flipped_bit_without_a_manifest_is_refused_or_changes_nothing_that_is_read(
    flipped: tuple[Path, Manifest, bytes], data: st.DataObject
) -> None:
    file, _, content = flipped
    at = data.draw(st.integers(0, len(content) - 1))
    file.write_bytes(content)
    whole = verify_file(file, XSD)
    file.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
    try:
        verified = verify_file(file, XSD)
    except VerificationError:
        return
    assert replace(verified, sha256="") == replace(whole, sha256="")


@settings(max_examples=60)
@given(data=st.data(), with_manifest=st.booleans())
def test_truncated_file_is_refused(
    flipped: tuple[Path, Manifest, bytes], data: st.DataObject, with_manifest: bool
) -> None:
    file, manifest, content = flipped
    file.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(VerificationError):
        verify_file(file, XSD, manifest=manifest if with_manifest else None)


def renamed_inside(content: bytes) -> bytes:
    return content.replace(b"FULL", b"DELT", 1)


def without_name(content: bytes) -> bytes:
    end = content.index(b"\0", 10) + 1
    return content[:3] + b"\0" + content[4:10] + content[end:]


FRAME_DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "no gzip": lambda content: b"PK" + content[2:],
    "another method": lambda content: content[:2] + b"\7" + content[3:],
    "header without an end": lambda content: content[:10] + b"x" * 100,
    "name that is another's": renamed_inside,
    "no name": without_name,
    "trailing byte": lambda content: content + b"\0",
    "trailing text": lambda content: content + b"and more",
    "second member": lambda content: content + gzip.compress(b"<more/>"),
    "second member that is empty": lambda content: content + gzip.compress(b""),
    "second member of white space": lambda content: content + gzip.compress(b"\n"),
    "first member that is empty": lambda content: gzip.compress(b"") + content,
    "itself twice": lambda content: content * 2,
    "wrong CRC-32": lambda content: content[:-8] + b"1234" + content[-4:],
    "wrong length": lambda content: content[:-4] + struct.pack("<I", 1),
    "no end block": lambda content: content[:-10] + content[-8:],
}


@pytest.mark.parametrize("with_manifest", [False, True], ids=["alone", "with its manifest"])
@pytest.mark.parametrize("damage", FRAME_DAMAGES)
def test_file_with_a_damaged_frame_is_refused(made: tuple[Path, Manifest], damage: str, with_manifest: bool) -> None:
    file, manifest = made
    content = file.read_bytes()
    damaged = FRAME_DAMAGES[damage](content)
    assert damaged != content
    file.write_bytes(damaged)
    with pytest.raises(VerificationError):
        verify_file(file, XSD, manifest=manifest if with_manifest else None)


def parts_of(file: Path, manifest: Manifest) -> tuple[bytes, list[bytes], bytes]:
    """Header, deflate of head, pages and tail, end."""
    content, offsets = file.read_bytes(), manifest.offsets.tolist()
    bounds = [len(manifest.header), *offsets, offsets[-1] + len(manifest.tail.deflate)]
    return content[: bounds[0]], [content[start:end] for start, end in pairwise(bounds)], content[bounds[-1] :]


ORDERS = {
    "dropped": [0, 1, 3, 4],
    "twice": [0, 1, 2, 2, 3, 4],
    "swapped": [0, 2, 1, 3, 4],
    "in another's place": [0, 1, 1, 3, 4],
    "head missing": [1, 2, 3, 4],
    "tail missing": [0, 1, 2, 3],
    "head twice": [0, 0, 1, 2, 3, 4],
}


@pytest.mark.parametrize("manifest_says_so", [False, True], ids=["manifest as made", "manifest as the file"])
@pytest.mark.parametrize("order", ORDERS)
def test_file_whose_pages_are_not_those_that_were_produced_is_refused(
    made: tuple[Path, Manifest], tmp_path: Path, order: str, manifest_says_so: bool
) -> None:
    file, manifest = made
    header, parts, end = parts_of(file, manifest)
    file.write_bytes(header + b"".join(parts[number] for number in ORDERS[order]) + end)
    if manifest_says_so:
        _, manifest = assembled(tmp_path / "so", [XML[number] for number in ORDERS[order]])
    with pytest.raises(VerificationError):
        verify_file(file, XSD, manifest=manifest)
    with pytest.raises(VerificationError):
        verify_file(file, XSD)


def test_swapped_pages_are_refused_even_where_everything_else_is_made_to_fit(tmp_path: Path) -> None:
    """Without its manifest such a file is whole: it holds the same certificates in another order."""
    file, manifest = assembled(tmp_path, [XML[0], XML[2], XML[1], XML[3], XML[4]])
    _, made_in_order = assembled(tmp_path / "in order", XML)
    assert verify_file(file, XSD, manifest=manifest).set_digest == verify_file(file, XSD).set_digest
    with pytest.raises(VerificationError, match="segment 1"):
        verify_file(file, XSD, manifest=made_in_order)


def test_record_count_that_is_not_as_produced_is_refused(made: tuple[Path, Manifest]) -> None:
    file, manifest = made
    manifest.pages["records"][1] = 5
    with pytest.raises(FaultError) as caught:
        verify_file(file, XSD, manifest=manifest)
    assert (caught.value.fault, caught.value.item) == (Fault.CONTENT, f"{file.name}, segment 2")


def test_segment_that_nobody_checked_is_missed(made: tuple[Path, Manifest]) -> None:
    paged, marks = PagedFile.on_disk(*made), Marks.folder(made[0].parent / "marks")
    marks.units += [Unit(f"{number}") for number in range(4)]
    assert not [row for row in check_units(paged, [0, 1, 3], XSD, marks) if row.fault]
    with pytest.raises(MissingObjectError, match=r"2\.pages"):
        conclude(paged, paged.sha256(), marks, [])


def test_every_damaged_segment_has_its_own_fault_and_the_others_keep_their_figures(
    made: tuple[Path, Manifest], tmp_path: Path
) -> None:
    file, manifest = made
    content = bytearray(file.read_bytes())
    content[int(manifest.offsets[0]) + 20] ^= 1  # in segment 1
    file.write_bytes(content)
    examined = examine_file(file, XSD, Marks.folder(tmp_path / "marks"), manifest=manifest)
    assert [(row.number, row.records, bool(row.fault)) for row in examined.segments] == [
        (0, 0, False),
        (1, 0, True),
        (2, 4, False),
        (3, 4, False),
    ]
    assert examined.segments[1].fault_text.startswith(f"{file.name}, segment 1: ")


def test_record_that_stands_in_two_pages_is_refused(tmp_path: Path) -> None:
    file, manifest = assembled(tmp_path, [XML[0], XML[1], XML[1], XML[4]])
    with pytest.raises(FaultError, match="4 certificates") as caught:
        verify_file(file, XSD, manifest=manifest)
    assert caught.value.fault is Fault.DUPLICATE


def test_file_that_is_called_otherwise_than_its_manifest_says_is_refused(made: tuple[Path, Manifest]) -> None:
    file, manifest = made
    renamed = file.rename(file.with_name(f"SMKIKR_DELT{file.name[11:]}"))
    with pytest.raises(FaultError) as caught:
        verify_file(renamed, XSD, manifest=manifest)
    assert (caught.value.fault, caught.value.item) == (Fault.NAME, renamed.name)


def test_pages_that_are_records_only_together_are_refused(tmp_path: Path) -> None:
    cut = len(XML[1]) // 2
    file, manifest = assembled(tmp_path, [XML[0], XML[1][:cut], XML[1][cut:], XML[4]])
    assert verify_file(file, XSD).records == 4  # as one document it is whole
    with pytest.raises(VerificationError, match="segment 1"):
        verify_file(file, XSD, manifest=manifest)
    in_one_segment = replace(manifest, page_format=PageFormat(2, pages=2))
    with pytest.raises(VerificationError, match=r"segment 1: .* not cut between records"):
        verify_file(file, XSD, manifest=in_one_segment)


def test_two_processes_say_the_same_as_one(made: tuple[Path, Manifest]) -> None:
    file, manifest = made
    heard: list[tuple[int, int]] = []
    verified = verify_file(file, XSD, manifest=manifest, workers=2, progress=lambda done, of: heard.append((done, of)))
    assert verified == verify_file(file, XSD, manifest=manifest)
    read = verify_file(file, XSD)
    assert (read.set_digest, read.xml_bytes, read.sha256) == (verified.set_digest, verified.xml_bytes, verified.sha256)
    assert heard == [(number, 4) for number in range(1, 5)]
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(VerificationError):
        verify_file(file, XSD, manifest=manifest, workers=2)


def test_gzip_options_of_others_are_read(tmp_path: Path) -> None:
    """RFC 1952's extra field, comment and header CRC."""
    file = zipped(tmp_path, document([record_of(body) for body in BODIES]))
    content = file.read_bytes()
    end = content.index(b"\0", 10) + 1
    header = content[:3] + bytes([0x04 | 0x08 | 0x10]) + content[4:10] + struct.pack("<H", 3) + b"abc" + content[10:end]
    file.write_bytes(header + b"a comment\0" + content[end:])
    assert verify_file(file, XSD).records == len(BODIES)
