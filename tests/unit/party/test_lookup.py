"""Certificates are found by whatever people know of them, by an index, with the authorities above them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import day, look_alikes
from smki.certificates.model import Status
from smki.certificates.reading import read_certificate
from smki.party.copy import LocalCopy
from smki.party.lookup import Question, chain, find

from .extracts import apply, delta, full


@pytest.fixture
def copy(tmp_path: Path, signed: list[bytes]) -> Iterator[LocalCopy]:
    with LocalCopy(tmp_path / "copy.sqlite") as opened:
        apply(opened, full(tmp_path, day(7), [*signed, *look_alikes(20)]))
        apply(opened, delta(tmp_path, day(8), {signed[-1]: "R"}))
        yield opened


def test_each_certificate_is_found_by_all_that_identifies_it(copy: LocalCopy, signed: list[bytes]):
    for body in signed:
        fields = read_certificate(body)
        for question in (
            Question(serial_number=fields.serial_number),
            Question(sha1=hashlib.sha1(body, usedforsecurity=False).digest()),
            Question(sha256=hashlib.sha256(body).digest()),
            *([Question(eui64=fields.eui64, usage=fields.usage)] if fields.eui64 else []),
        ):
            assert body in [one.body for one in find(copy, question, 100)], question


def test_role_usage_and_status_are_asked_together(copy: LocalCopy, signed: list[bytes]):
    read = {body: read_certificate(body) for body in signed}
    suppliers = {body for body, fields in read.items() if fields.role == 2 and fields.usage == "DS"}
    assert {one.body for one in find(copy, Question(role=2, usage="DS", status=Status("I")), 100)} == suppliers != set()
    assert [one.body for one in find(copy, Question(status=Status("R")), 100)] == [signed[-1]]
    assert find(copy, Question(role=2, status=Status("R")), 100) == []
    assert len(find(copy, Question(status=Status("I")), 7)) == 7


def test_chain_leads_from_a_certificate_to_its_root(copy: LocalCopy, signed: list[bytes]):
    roots = {one.body for body in signed[4:] for one in list(chain(copy, find(copy, by_hash(body), 1)[0]))[-1:]}
    assert len(roots) == 2
    for body in signed[4:]:
        (held,) = find(copy, by_hash(body), 1)
        above = list(chain(copy, held))
        assert len(above) == 2
        assert {one.certificate_class for one in above} == {"CA"}
        assert above[-1].body in roots


def test_chain_ends_where_the_issuer_is_not_in_the_copy(copy: LocalCopy):
    (held,) = find(copy, by_hash(look_alikes(1)[0]), 1)
    assert list(chain(copy, held)) == []


def by_hash(body: bytes) -> Question:
    return Question(sha256=hashlib.sha256(body).digest())


@pytest.mark.parametrize(
    "question",
    [
        Question(eui64=b"12345678"),
        Question(serial_number=b"1"),
        Question(sha1=b"1" * 20),
        Question(sha256=b"1" * 32),
        Question(eui64=b"12345678", status=Status("R")),
        Question(serial_number=b"1", role=2, status=Status("E")),
        Question(role=2),
        Question(role=2, usage="DS", status=Status("I")),
        Question(status=Status("R")),
    ],
    ids=str,
)
def test_no_question_reads_the_whole_copy(copy: LocalCopy, question: Question):
    steps = []
    copy.connection.set_trace_callback(steps.append)
    find(copy, question, 10)
    copy.connection.set_trace_callback(None)
    (query,) = steps
    plan = [row[3] for row in copy.connection.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert not [step for step in plan if step.startswith("SCAN certificate")], plan
    if question.eui64 or question.serial_number or question.sha1 or question.sha256:
        assert not [step for step in plan if "certificate_not_in_use" in step or "certificate_profile" in step], plan
