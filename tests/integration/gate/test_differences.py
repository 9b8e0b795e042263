"""Where a file differs from the repository, and what stands in it twice: the certificates are named, and only they."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pyarrow as pa
import pytest
from sqlalchemy import Engine

from builders import XSD, assembled, in_use, look_alikes, rendered, state_as_of
from smki.certificates.model import Status, eui64_text
from smki.certificates.reading import read_certificate
from smki.gate.model import CheckResult, Judgement, Verdict
from smki.kinds.extracts import differences
from smki.kinds.extracts.differences import confirm_duplicates, full_differences
from smki.kinds.extracts.rendering import render_head, render_tail
from smki.repository.holdings import certificates_as_of
from smki.store.manifest import Manifest, manifest_path
from smki.verify.faults import Fault, FaultError
from smki.verify.marks import Marks
from smki.verify.verification import Verification, examine_file

from .extract_files import FULL
from .worlds import Extract, World

MISSING, SURPLUS = "in use as of window 70 and not in the file", "in the file and not in use as of window 70"


def words(body: bytes) -> str:
    fields = read_certificate(body)
    subject = eui64_text(fields.eui64) if fields.eui64 else fields.common_name
    return f"certificate {fields.serial_number.hex().upper()} of {subject}"


def result(judgement: Judgement, check: str) -> CheckResult:
    (found,) = (one for one in judgement.results if one.id == check)
    return found


def full_of(world: World, *pieces: list[bytes]) -> Extract:
    """A whole full extract with these certificates, in segments."""
    name = world.guide.full.file_name(world.produce(FULL).business_date)
    xml = [render_head(name.removesuffix(".gz")), *map(rendered, pieces), render_tail()]
    file, manifest = assembled(world.folder, xml, name)
    return Extract(FULL, file, manifest)


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


def test_repository_in_many_pieces_is_compared_as_in_one(
    world: World, right: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seventeen million come in many batches, this world's in one: it is cut here."""
    surplus = look_alikes(2, seed=4711)
    extract = full_of(world, surplus, right[:40], right[43:])
    marks = Marks(world.folder / "marks")
    verification = examine_file(extract.file, XSD, marks, manifest=extract.manifest)
    whole = full_differences(world.engine, 70, [Status.IN_USE], extract.file, verification, marks)

    def in_pieces(engine: Engine, seq: int, statuses: list[Status]) -> Iterator[pa.RecordBatch]:
        for batch in certificates_as_of(engine, seq, statuses):
            yield from (batch.slice(start, 7) for start in range(0, batch.num_rows, 7))

    monkeypatch.setattr(differences, "certificates_as_of", in_pieces)
    assert full_differences(world.engine, 70, [Status.IN_USE], extract.file, verification, marks) == whole
    assert set(whole.surplus_named) == set(map(words, surplus))
    assert set(whole.missing_named) == set(map(words, right[40:43]))


def test_certificate_that_stands_in_it_twice_is_no_difference(world: World, right: list[bytes]) -> None:
    judgement = world.judged(full_of(world, right, right[:1]))
    assert result(judgement, "full.set-digest").details == ()
    (line,) = result(judgement, "xml.unique").details
    serial = read_certificate(right[0]).serial_number.hex().upper()
    assert line == f"certificate {serial} stands in it 2 times"


@pytest.mark.parametrize("cut", [8, 200], ids=["CRC-32 missing", "last segment cut"])
def test_what_cannot_be_read_to_its_end_is_judged_all_the_same(world: World, right: list[bytes], cut: int) -> None:
    extract = full_of(world, right[1:], look_alikes(1, seed=4711))
    extract.file.write_bytes(extract.file.read_bytes()[:-cut])
    for reading in (extract, replace(extract, manifest=None)):
        assert world.judged(reading).verdict is Verdict.FAIL


# -- what stands in a file twice --


def examined(extract: Extract, manifest: Manifest | None) -> tuple[Verification, Marks]:
    marks = Marks(extract.file.parent / f"marks-{manifest is None}")
    return examine_file(extract.file, XSD, marks, manifest=manifest), marks


@pytest.mark.parametrize("in_segments", [True, False], ids=["in segments", "alone"])
def test_certificates_that_stand_in_it_more_than_once_are_named(
    world: World, right: list[bytes], in_segments: bool
) -> None:
    extract = full_of(world, right[:30], [*right[30:], right[3], right[40]], [right[3]])
    manifest = extract.manifest if in_segments else None
    verification, marks = examined(extract, manifest)
    serials = {number: read_certificate(right[number]).serial_number.hex().upper() for number in (3, 40)}
    assert set(confirm_duplicates(extract.file, manifest, XSD, verification, marks)) == {
        f"certificate {serials[3]} stands in it 3 times",
        f"certificate {serials[40]} stands in it 2 times",
    }


def test_at_most_a_hundred_duplicates_are_named(world: World, right: list[bytes]) -> None:
    extract = full_of(world, right[:105], right[:105])
    verification, marks = examined(extract, extract.manifest)
    lines = confirm_duplicates(extract.file, extract.manifest, XSD, verification, marks)
    assert (len(lines), lines[-1]) == (101, "… and 5 more more than once in the file")


@pytest.mark.parametrize("in_segments", [True, False], ids=["in segments", "alone"])
def test_equal_keys_of_different_certificates_are_no_duplicate(world: World, in_segments: bool) -> None:
    """Two different pairs share 64 bits by chance: the verifier's hit is cleared, and the file passes."""
    extract = world.produce(FULL)
    manifest = extract.manifest if in_segments else None
    verification, marks = examined(extract, manifest)
    key = int(next(keys for keys in marks.keys(one.number for one in verification.segments) if len(keys))[0])
    fault = FaultError(Fault.DUPLICATE, extract.file.name, "1 certificates are in it more than once.")
    hit = replace(verification, repeated=(key,), faults=(fault,))
    assert confirm_duplicates(extract.file, manifest, XSD, hit, marks) == ()
    evidence = world.evidence_of(extract, hit, marks)
    assert (evidence.table("file")["duplicate_fault"].iloc[0], evidence.concerned["xml.unique"]) == ("", ())


def test_duplicate_is_found_alone_though_its_manifest_lies_beside_it(world: World, right: list[bytes]) -> None:
    extract = full_of(world, right, right[:1])
    assert manifest_path(extract.file).exists()
    verification, marks = examined(extract, None)
    evidence = world.evidence_of(extract, verification, marks)
    assert "more than once" in evidence.table("file")["duplicate_fault"].iloc[0]
    assert len(evidence.concerned["xml.unique"]) == 1


def test_repository_that_changed_behind_its_windows_is_called_so(own_world: Callable[[], World]) -> None:
    world = own_world()
    world.sql("DELETE FROM certificate WHERE id BETWEEN 60 AND 69")
    judgement = world.judged(world.produce(FULL))
    assert result(judgement, "full.count").observed.endswith(": 10 too few")
    for check in ("full.count", "full.set-digest"):
        (said,) = result(judgement, check).details
        assert "changed behind the windows" in said
