from datetime import date, timedelta
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smki.certificates.model import CertificateClass, Status
from smki.errors import TransitionRefusedError
from smki.repository.status import check_transition
from smki.repository.windows import days_to_close

DAYS = st.integers(0, 40).map(lambda days: date(2025, 6, 1) + timedelta(days=days))
ALLOWED = {"PI", "PN", "PE", "PR", "IN", "IE", "IR", "NI", "NE", "NR"}


@pytest.mark.parametrize(("old", "new", "certificate_class"), list(product(Status, Status, CertificateClass)))
def test_status_changes_are_those_of_the_table_and_a_device_is_never_revoked(
    old: Status, new: Status, certificate_class: CertificateClass
) -> None:
    if old + new in ALLOWED and not (new == "R" and certificate_class == "DEVICE"):
        check_transition("certificate 01", certificate_class, old, new)
    else:
        with pytest.raises(TransitionRefusedError, match="certificate 01"):
            check_transition("certificate 01", certificate_class, old, new)


@given(walk=st.lists(st.sampled_from(Status), max_size=12))
def test_no_walk_leaves_a_final_status(walk: list[Status]) -> None:
    def legal(old: Status, new: Status) -> bool:
        try:
            check_transition("certificate", CertificateClass.ORGANISATION, old, new)
        except TransitionRefusedError:
            return False
        return True

    if all(legal(old, new) for old, new in pairwise(walk)):
        assert not set(walk[:-1]) & {Status.EXPIRED, Status.REVOKED}
        assert Status.PENDING not in walk[1:]


@given(last=st.none() | DAYS, oldest=DAYS, to=DAYS)
def test_days_follow_each_other_up_to_the_wanted_one(last: date | None, oldest: date, to: date) -> None:
    days = list(days_to_close(last, oldest, to))
    assert all(later - earlier == timedelta(days=1) for earlier, later in pairwise(days))
    assert days == [] or days[-1] == to
    first = oldest if last is None else last + timedelta(days=1)
    assert days == [] if to < first else days[0] == first


@given(oldest=DAYS, stops=st.lists(DAYS, min_size=1))
def test_days_are_the_same_however_often_windows_are_closed(oldest: date, stops: list[date]) -> None:
    last: date | None = None
    closed: list[date] = []
    for to in stops:
        new = list(days_to_close(last, oldest, to))
        closed += new
        last = closed[-1] if closed else None
    assert closed == list(days_to_close(None, oldest, max(stops)))
