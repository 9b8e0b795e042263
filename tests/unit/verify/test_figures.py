"""Figures of pages add up to those of a segment, however its records are cut into pages."""

from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import XML_NAME, XSD, look_alikes, rendered
from made_certificates import with_not_after
from smki.annex_b.version import V1
from smki.certificates.reading import read_certificate
from smki.certificates.set_digest import SetDigest
from smki.kinds.extracts.rendering import render_head, render_tail
from smki.verify.figures import SegmentFigures, page_figures, segment_figures
from smki.verify.record_check import CheckedRecords, RecordChecker

HEAD, TAIL = render_head(XML_NAME), render_tail()
STATUSES = "IINPERIIIN"
END = "270101000000Z"


@pytest.fixture(scope="module")
def bodies(signed: list[bytes]) -> list[bytes]:
    """Of all classes; the seventh ends before the others."""
    others = look_alikes(4)
    return [*signed[2:8], with_not_after(others[0], END), *others[1:]]


@pytest.fixture(scope="module")
def checked(bodies: list[bytes]) -> CheckedRecords:
    records = b"".join(rendered([body], status) for body, status in zip(bodies, STATUSES, strict=True))
    records = records.replace(b"Flag>false<", b"Flag>true<", 3)
    return RecordChecker(V1, XSD).check(HEAD, records, TAIL, "a piece")


def row_of(checked: CheckedRecords, counts: list[int]) -> SegmentFigures:
    return segment_figures(1, page_figures(checked, counts), 0)


@settings(max_examples=40)
@given(cuts=st.lists(st.integers(0, 10), max_size=6).map(sorted))
def test_figures_are_the_same_however_the_records_are_cut_into_pages(
    checked: CheckedRecords, bodies: list[bytes], cuts: list[int]
) -> None:
    counts = np.diff([0, *cuts, 10]).tolist()
    pages = page_figures(checked, counts)
    assert pages["records"].to_pylist() == counts
    found = row_of(checked, counts)
    fields = [read_certificate(body) for body in bodies]
    assert found == SegmentFigures(
        number=1,
        records=10,
        statuses=Counter(STATUSES),
        classes=Counter(one.certificate_class or "CA" for one in fields),
        issuers=Counter(one.issuer.hex() for one in fields),
        set_digest=SetDigest.of(bodies),
        manufacturing=3,
        in_use_until=datetime(2027, 1, 1, tzinfo=UTC),
    )


def test_some_pages_have_the_figures_of_their_own_records(checked: CheckedRecords, bodies: list[bytes]) -> None:
    pages = page_figures(checked, [3, 2, 5]).take([0, 2])
    found = segment_figures(1, pages, 0)
    assert found.statuses == Counter(STATUSES[:3] + STATUSES[5:])
    assert found.set_digest == SetDigest.of([*bodies[:3], *bodies[5:]])


def test_end_of_a_certificate_counts_where_it_is_in_use(bodies: list[bytes]) -> None:
    early = bodies[6]

    def until(status: str) -> datetime | None:
        records = rendered(bodies[7:]) + rendered([early], status)
        return row_of(RecordChecker(V1, XSD).check(HEAD, records, TAIL, "a piece"), [4]).in_use_until

    assert until("I") == datetime(2027, 1, 1, tzinfo=UTC)
    assert until("N") == min(read_certificate(body).not_after for body in bodies[7:])


def test_no_records_have_no_figures() -> None:
    checked = RecordChecker(V1, XSD).check(HEAD, b"", TAIL, "a piece")
    assert row_of(checked, []) == SegmentFigures(1)


def test_records_as_others_write_them_are_said_to_be_parsed(bodies: list[bytes]) -> None:
    spaced = rendered(bodies[:2]).replace(b"</CertificateResponse>", b" </CertificateResponse>", 1)
    assert row_of(RecordChecker(V1, XSD).check(HEAD, spaced, TAIL, "a piece"), [1, 1]).parsed
