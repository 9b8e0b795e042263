from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import SMALL_PAGES, XML_NAME, cut_off, day, store_in, stored
from smki.annex_b.version import V1
from smki.errors import PlanError, StoreError
from smki.kinds.extracts.plan import ExtractPlan, IdRange, in_shares, taken_over
from smki.store.pages import PageXml

PLAN = ExtractPlan(
    obligation="full",
    statuses="I",
    name=f"{XML_NAME}.gz",
    business_date=day(7),
    cutoff=cut_off(day(7)),
    window_seq=7,
    segments=((IdRange(0, 15),),),
    format=V1,
    page_format=SMALL_PAGES,
    basis="0" * 32,
)


@given(segments=st.integers(1, 20_000))
def test_tasks_hold_every_segment_once_in_order_and_are_at_most_256(segments: int) -> None:
    tasks = in_shares(range(segments))
    assert [number for task in tasks for number in task] == list(range(segments))
    assert len(tasks) <= 256
    assert all(tasks)


def test_where_there_is_no_segment_one_task_has_none() -> None:
    assert in_shares([]) == [[]]


def test_tasks_take_the_numbers_that_are_left() -> None:
    assert [number for task in in_shares(range(7, 100, 3)) for number in task] == list(range(7, 100, 3))


RANGES = st.lists(st.integers(0, 30), min_size=1, max_size=8, unique=True).map(
    lambda pages: tuple(IdRange(4 * page, 4 * page + 3) for page in sorted(pages))
)


@settings(max_examples=40)
@given(segments=st.lists(RANGES, max_size=4).map(tuple), statuses=st.sampled_from([None, "I"]))
def test_plan_survives_the_store(segments: tuple[tuple[IdRange, ...], ...], statuses: str | None) -> None:
    plan = replace(PLAN, segments=segments, statuses=statuses, predecessor="ab" * 32)
    with TemporaryDirectory() as name:
        store = store_in(Path(name))
        assert ExtractPlan.get(store, plan.put(store)) == plan


def test_plan_that_is_damaged_is_none(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    sha256 = PLAN.put(store)
    store.replace(f"plans/{sha256}", store.get(f"plans/{sha256}").replace(b'"I"', b'"N"'))
    with pytest.raises(StoreError, match=sha256):
        ExtractPlan.get(store, sha256)


def test_plan_of_another_release_is_refused(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    other = store.put_content("plans", store.get_content("plans", PLAN.put(store)).replace(b'"basis"', b'"other"'))
    with pytest.raises(PlanError) as caught:
        ExtractPlan.get(store, other)
    assert caught.value.item == f"plans/{other}"


@given(ranges=RANGES)
def test_pages_that_are_not_rendered_are_taken_over(ranges: tuple[IdRange, ...]) -> None:
    plan = replace(PLAN, segments=tuple((one,) for one in ranges))
    rendered = plan.rendered_pages().tolist()
    assert rendered == [ids.first // 4 for ids in ranges]
    with TemporaryDirectory() as name:
        before = stored(store_in(Path(name)), [[PageXml(number, 1, memoryview(b"x")) for number in range(31)]])
    assert taken_over(plan, before).tolist() == sorted(set(range(31)) - set(rendered))


def test_xml_is_named_as_the_file_without_gz() -> None:
    assert PLAN.xml_name == XML_NAME
