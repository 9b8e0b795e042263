import json

from hypothesis import given
from hypothesis import strategies as st

from builders import plan_of
from smki.kinds.extracts.plan import ExtractPlan


@given(segments=st.integers(2, 20_000))
def test_tasks_hold_every_segment_once_in_order_and_are_at_most_256(segments: int) -> None:
    tasks = plan_of(segments).tasks()
    assert [number for task in tasks for number in task] == list(range(segments))
    assert len(tasks) <= 256
    assert all(tasks)


@given(segments=st.integers(2, 50))
def test_plan_survives_json(segments: int) -> None:
    plan = plan_of(segments)
    assert ExtractPlan.from_json(json.loads(json.dumps(plan.as_json()))) == plan


def test_xml_is_named_as_the_file_without_gz() -> None:
    assert plan_of(2).xml_name == "SMKIKR_FULL_2025-06-08.xml"
