"""Where a file differs from the repository, and what stands in it twice: the certificates are named, and only they."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pyarrow as pa
import pytest
from sqlalchemy import Engine

from builders import XSD, assembled, full_disk, in_use, look_alikes, rendered, state_as_of
from smki.certificates.model import Status, eui64_text
from smki.certificates.reading import read_certificate
from smki.errors import StoreError
from smki.gate.model import CheckResult, Judgement, Verdict
from smki.kinds.extracts import differences
from smki.kinds.extracts.differences import Differences, confirm_duplicates, full_differences
from smki.kinds.extracts.reading import ReadExtract
from smki.kinds.extracts.rendering import render_head, render_tail
from smki.repository.holdings import certificates_as_of
from smki.verify.faults import Fault, FaultError
from smki.verify.marks import Marks
from smki.verify.verification import examine_file

from .extract_files import FULL
from .worlds import TODAY, WAYS, Extract, World

MISSING, SURPLUS = "in use as of window 70 and not in the file", "in the file and not in use as of window 70"


def words(body: bytes) -> str:
    fields = read_certificate(body)
    subject = eui64_text(fields.eui64) if fields.eui64 else fields.common_name
    return f"certificate {fields.serial_number.hex().upper()} of {subject}"


def result(judgement: Judgement, check: str) -> CheckResult:
    (found,) = (one for one in judgement.results if one.id == check)
    return found


def full_of(world: World, *pieces: list[bytes]) -> Extract:
    """A whole full extract with these certificates, in pages."""
    name = world.guide.full.file_name(TODAY)
    xml = [render_head(name.removesuffix(".gz")), *map(rendered, pieces), render_tail()]
    return world.write(FULL, assembled(world.folder, xml, name)[1])


@pytest.fixture
def right(world: World) -> list[bytes]:
    """What the full extract has to hold."""
    return in_use(state_as_of(world.engine, 70))


def test_exactly_those_that_differ_are_named(world: World, right: list[bytes]) -> None:
    surplus = look_alikes(3, seed=4711)
    kept = [*right[:20], *right[23:]]
    judgement = world.judged(full_of(world, kept[:50], [*surplus, *kept[50:]]))
    for check in ("full.set-digest", "full.closure"):
        named = [line for line in result(judgement, check).details if "held against" not in line]
        assert sorted(named) == sorted(
            [f"{SURPLUS}: {words(body)}" for body in surplus] + [f"{MISSING}: {words(body)}" for body in right[20:23]]
        )
    assert result(judgement, "full.closure").details[0].startswith("held against SMKIKR_FULL_2025-08-03.xml.gz")


def test_at_most_a_hundred_are_named_on_each_side_and_the_rest_is_counted(world: World, right: list[bytes]) -> None:
    surplus = look_alikes(103, seed=4711)
    judgement = world.judged(full_of(world, surplus[:60], [*surplus[60:], *right[: len(right) - 104]]))
    details = result(judgement, "full.set-digest").details
    for side, bodies, more in ((SURPLUS, surplus, 3), (MISSING, right[len(right) - 104 :], 4)):
        named = {line for line in details if line.startswith(f"{side}: ")}
        assert len(named) == 100
        assert named < {f"{side}: {words(body)}" for body in bodies}
        assert f"… and {more} more {side}" in details
    assert len(details) == 202


def test_full_disk_is_an_error_of_the_disk(world: World, right: list[bytes]) -> None:
    extract, marks = full_of(world, right[1:]), Marks.folder(world.folder / "marks")
    examine_file(extract.file, XSD, marks, manifest=extract.manifest)
    with full_disk(), pytest.raises(StoreError):
        full_differences(world.engine, 70, [Status.IN_USE], lambda: extract.file.open("rb"), FULL, marks)


def test_repository_in_many_pieces_is_compared_as_in_one(
    world: World, right: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seventeen million come in many batches, this world's in one: it is cut here."""
    surplus = look_alikes(2, seed=4711)
    extract = full_of(world, surplus, right[:40], right[43:])

    def differing() -> Differences:
        with world.reading(extract) as read:
            return full_differences(world.engine, 70, [Status.IN_USE], read.open, read.verification.name, read.marks)

    whole = differing()

    def in_pieces(engine: Engine, seq: int, statuses: list[Status]) -> Iterator[pa.RecordBatch]:
        for batch in certificates_as_of(engine, seq, statuses):
            yield from (batch.slice(start, 7) for start in range(0, batch.num_rows, 7))

    monkeypatch.setattr(differences, "certificates_as_of", in_pieces)
    assert differing() == whole
    assert set(whole.surplus_named) == set(map(words, surplus))
    assert set(whole.missing_named) == set(map(words, right[40:43]))


def test_certificate_that_stands_in_it_twice_is_no_difference(world: World, right: list[bytes]) -> None:
    judgement = world.judged(full_of(world, right, right[:1]))
    assert result(judgement, "full.set-digest").details == ()
    (line,) = result(judgement, "xml.unique").details
    serial = read_certificate(right[0]).serial_number.hex().upper()
    assert line == f"certificate {serial} stands in it 2 times"


@pytest.mark.parametrize("cut", [8, 200], ids=["CRC-32 missing", "last page cut"])
def test_what_cannot_be_read_to_its_end_is_judged_all_the_same(world: World, right: list[bytes], cut: int) -> None:
    extract = full_of(world, right[1:], look_alikes(1, seed=4711))
    extract.file.write_bytes(extract.file.read_bytes()[:-cut])
    for reading in (WAYS["with its manifest"], WAYS["alone"]):
        assert world.judged(reading(extract)).verdict is Verdict.FAIL


# -- what stands in a file twice --


def twice(read: ReadExtract) -> tuple[str, ...]:
    verification = read.verification
    units = [segment.number for segment in verification.segments if not segment.fault]
    return confirm_duplicates(read.examine_again, verification.repeated, units, read.marks)


@pytest.mark.parametrize("way", WAYS)
def test_certificates_that_stand_in_it_more_than_once_are_named(world: World, right: list[bytes], way: str) -> None:
    extract = full_of(world, right[:30], [*right[30:], right[3], right[40]], [right[3]])
    serials = {number: read_certificate(right[number]).serial_number.hex().upper() for number in (3, 40)}
    with world.reading(WAYS[way](extract)) as read:
        assert set(twice(read)) == {
            f"certificate {serials[3]} stands in it 3 times",
            f"certificate {serials[40]} stands in it 2 times",
        }


@pytest.mark.parametrize("way", WAYS)
def test_at_most_a_hundred_duplicates_are_named(world: World, right: list[bytes], way: str) -> None:
    with world.reading(WAYS[way](full_of(world, right[:105], right[:105]))) as read:
        lines = twice(read)
    assert (len(lines), lines[-1]) == (101, "… and 5 more more than once in the file")


@pytest.mark.parametrize("way", WAYS)
def test_equal_keys_of_different_certificates_are_no_duplicate(world: World, way: str) -> None:
    """Two different pairs share 64 bits by chance: the verifier's hit is cleared, and the file passes."""
    extract = world.produce(FULL)
    with world.reading(WAYS[way](extract)) as read:
        keys = read.marks.keys(one.number for one in read.verification.segments)
        key = int(next(some for some in keys if len(some))[0])
        fault = FaultError(Fault.DUPLICATE, extract.file.name, "1 certificates are in it more than once.")
        hit = replace(read, verification=replace(read.verification, repeated=(key,), faults=(fault,)))
        assert twice(hit) == ()
        evidence = world.evidence_of(extract, hit)
    assert (evidence.table("file")["duplicate_fault"].iloc[0], evidence.concerned["xml.unique"]) == ("", ())


def test_repository_that_changed_behind_its_windows_is_called_so(own_world: Callable[[], World]) -> None:
    world = own_world()
    world.sql("DELETE FROM certificate WHERE id BETWEEN 60 AND 69")
    judgement = world.judged(world.produce(FULL))
    assert result(judgement, "full.count").observed.endswith(": 10 too few")
    for check in ("full.count", "full.set-digest"):
        (said,) = result(judgement, check).details
        assert "changed behind the windows" in said
