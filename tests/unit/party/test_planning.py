"""Which files a plan takes, and what it refuses."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import day
from smki.certificates.set_digest import SetDigest
from smki.party.planning import AppliedFile, CopyState, OfferedFile, plan_sync
from smki.party.refusals import Refusal, SyncRefusedError


def fulls(*windows: int, size: int = 1000) -> list[OfferedFile]:
    return [OfferedFile(f"SMKIKR_FULL_{day(window)}.xml.gz", day(window), True, size) for window in windows]


def deltas(*windows: int, size: int = 10) -> list[OfferedFile]:
    return [OfferedFile(f"SMKIKR_DELT_{day(window)}.xml.gz", day(window), False, size) for window in windows]


def names(copy_day: date | None, offered: list[OfferedFile]) -> list[str]:
    plan = plan_sync(CopyState(copy_day), offered)
    return [f"{'FULL' if file.is_full else 'DELT'} {file.day.day - 1}" for file in plan.files]


def refusal(copy_day: date | None, offered: list[OfferedFile], applied: dict[str, int] | None = None) -> Refusal:
    known = {name: AppliedFile(size, "", SetDigest()) for name, size in (applied or {}).items()}
    with pytest.raises(SyncRefusedError) as raised:
        plan_sync(CopyState(copy_day, applied=known), offered)
    return raised.value.refusal


def test_fresh_copy_begins_with_the_newest_full_and_follows_the_deltas():
    assert names(None, [*fulls(7, 14), *deltas(*range(8, 17))]) == ["FULL 14", "DELT 15", "DELT 16"]


def test_copy_of_yesterday_takes_one_delta():
    assert names(day(15), [*fulls(7, 14), *deltas(*range(8, 17))]) == ["DELT 16"]


def test_copy_of_today_has_nothing_to_do():
    plan = plan_sync(CopyState(day(16)), [*fulls(7, 14), *deltas(*range(8, 17))])
    assert (plan.files, plan.bytes, plan.reaches) == ((), 0, day(16))


def test_copy_whose_deltas_are_gone_begins_anew():
    assert names(day(3), [*fulls(7, 14), *deltas(*range(10, 17))]) == ["FULL 14", "DELT 15", "DELT 16"]


def test_deltas_that_are_larger_than_a_full_are_not_taken():
    assert names(day(8), [*fulls(14), *deltas(*range(9, 15), size=200)]) == ["FULL 14"]


def test_plan_goes_as_far_as_it_can_and_names_the_missing_day():
    plan = plan_sync(CopyState(day(14)), [*fulls(7), *deltas(15, 17)])
    assert ([file.day for file in plan.files], plan.reaches, plan.missing) == ([day(15)], day(15), day(16))


def test_full_extract_closes_a_gap():
    assert names(day(12), [*fulls(14), *deltas(15)]) == ["FULL 14", "DELT 15"]


def test_server_without_a_full_is_no_start():
    assert refusal(None, deltas(3, 4)) is Refusal.NO_START
    assert refusal(None, []) is Refusal.NO_START


def test_server_behind_the_copy_is_refused():
    assert refusal(day(16), [*fulls(7, 14), *deltas(15)]) is Refusal.BEHIND
    assert refusal(day(16), []) is Refusal.BEHIND


def test_applied_file_of_another_size_is_refused():
    offered = [*fulls(14), *deltas(15)]
    assert refusal(day(15), offered, {offered[1].name: 11}) is Refusal.CHANGED
    applied = {offered[1].name: AppliedFile(10, "", SetDigest())}
    assert plan_sync(CopyState(day(15), applied=applied), offered).files == ()


def test_applied_file_of_another_sha256_is_refused():
    (stated,) = [replace(file, sha256="b" * 64) for file in fulls(14)]
    known = AppliedFile(stated.bytes, "a" * 64, SetDigest(3))
    with pytest.raises(SyncRefusedError) as raised:
        plan_sync(CopyState(day(14), applied={stated.name: known}), [stated])
    assert raised.value.refusal is Refusal.CHANGED


def test_applied_file_that_is_compressed_otherwise_is_the_same():
    offered = [*fulls(14), *deltas(15)]
    stated = replace(offered[0], bytes=999, sha256="b" * 64, state=SetDigest(3))
    known = AppliedFile(1000, "a" * 64, SetDigest(3))
    assert plan_sync(CopyState(day(14), SetDigest(3), {stated.name: known}), [stated, offered[1]]).reaches == day(15)
    with pytest.raises(SyncRefusedError) as raised:
        plan_sync(CopyState(day(14), SetDigest(3), {stated.name: replace(known, in_use=SetDigest(2))}), [stated])
    assert raised.value.refusal is Refusal.CHANGED


def test_copy_whose_state_is_not_the_repositorys_is_refused():
    (stated,) = [replace(file, state=SetDigest(3)) for file in fulls(14)]
    assert plan_sync(CopyState(day(14), SetDigest(3)), [stated]).files == ()
    with pytest.raises(SyncRefusedError) as raised:
        plan_sync(CopyState(day(14), SetDigest(2)), [stated])
    assert raised.value.refusal is Refusal.STATE


@pytest.mark.parametrize("name", ["SMKIKR_FULL_2025-02-30.xml.gz", ".SMKIKR_FULL_2025-06-01.xml.gz.part", "x"])
def test_other_names_are_no_extracts(name: str):
    assert OfferedFile.of(name, 1) is None


@given(
    st.none() | st.integers(1, 30),
    st.sets(st.integers(1, 30)),
    st.sets(st.integers(1, 30)),
    st.integers(1, 500),
)
def test_every_plan_is_a_chain_to_the_newest_day_that_can_be_reached(
    start: int | None, full_days: set[int], delta_days: set[int], size: int
):
    try:
        copy = CopyState(None if start is None else day(start))
        plan = plan_sync(copy, [*fulls(*full_days), *deltas(*delta_days, size=size)])
    except SyncRefusedError:
        newest = max(full_days | delta_days, default=0)
        assert (start is None and not full_days) or (start is not None and newest < start)
        return
    at = None if start is None else day(start)
    for number, file in enumerate(plan.files):
        if file.is_full:
            assert number == 0
        else:
            assert at is not None
            assert file.day == at + timedelta(days=1)
        at = file.day
    assert at == plan.reaches
    reachable = {one for one in full_days if start is None or one >= start} | ({start} if start else set())
    while grown := {one + 1 for one in reachable if one + 1 in delta_days} - reachable:
        reachable |= grown
    assert plan.reaches == day(max(reachable))
    assert (plan.missing is None) == (max(reachable) == max(full_days | delta_days))
