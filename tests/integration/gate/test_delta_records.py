"""What a delta's records are held against, however little of it is in memory at once."""

from dataclasses import replace

import pytest

from builders import XSD, full_disk
from smki.errors import StoreError
from smki.kinds.extracts.delta_records import Comparison, compare_with_window
from smki.verify.marks import Marks
from smki.verify.verification import examine_file

from .extract_files import DELTA, FULL, in_plan
from .worlds import World


def compared(world: World, obligation: str, window: int, ranges: int) -> Comparison:
    """The file of window 70 held against a window, in so many parts."""
    extract, marks = world.produce(obligation), Marks.folder(world.folder / "marks")
    examine_file(extract.file, XSD, marks, manifest=extract.manifest, keep_rows=True)
    return compare_with_window(world.engine, window, marks, range(len(marks.units)), ranges=ranges)


@pytest.mark.parametrize(("obligation", "window"), [(DELTA, 70), (DELTA, 69), (FULL, 70)])
def test_comparison_in_many_parts_is_that_in_one(world: World, obligation: str, window: int) -> None:
    whole, *others = (compared(world, obligation, window, ranges) for ranges in (1, 3, 256))
    for comparison in others:
        assert comparison.rows == whole.rows
        assert (comparison.missing, sorted(comparison.missing_named)) == (whole.missing, sorted(whole.missing_named))


def test_full_disk_is_an_error_of_the_disk(world: World) -> None:
    extract, marks = world.produce(DELTA), Marks.folder(world.folder / "marks")
    examine_file(extract.file, XSD, marks, manifest=extract.manifest, keep_rows=True)
    with full_disk(), pytest.raises(StoreError):
        compare_with_window(world.engine, 70, marks, range(len(marks.units)))


def test_records_that_are_judged_the_same_are_one_row_beside_the_first_twenty(world: World) -> None:
    rows = compared(world, FULL, 70, 1).rows
    others = [row for row in rows if not row.item]
    manifest = world.produce(FULL).manifest
    assert manifest is not None
    assert sum(row.alike for row in rows) == manifest.records
    for other in others:
        named = [row for row in rows if replace(row, alike=other.alike, item="") == other and row.item]
        assert [row.alike for row in named] == [1] * 20
    assert any(other.alike > 20 for other in others)


def test_report_counts_every_record_and_names_twenty(world: World) -> None:
    judgement = world.judged(in_plan(lambda plan: replace(plan, statuses="I"))(world, DELTA))
    (result,) = (one for one in judgement.results if one.id == "delta.belongs")
    records = next(figure.value for figure in judgement.figures if figure.name == "records")
    wrong, _, rest = result.observed.partition(" of ")
    assert rest.startswith(f"{records:,.0f} records: nothing")
    assert 20 < int(wrong) < records
    assert len(result.details) == 20
