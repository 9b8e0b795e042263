"""Full extracts of other statuses than I: what each holds is found by the repository, whatever is beside it."""

from dataclasses import replace
from datetime import time

import pytest

from builders import assembled, rendered, state_as_of
from smki.certificates.model import Status
from smki.gate.judging import judge
from smki.gate.model import CheckResult, Judgement, Verdict
from smki.kinds.extracts.evidence import extract_evidence
from smki.kinds.extracts.rendering import render_head, render_tail
from smki.obligations.catalogue import CutOff, FullExtract, KeepNewest, Obligation

from .worlds import NOW, TODAY, WAYS, World

ALL = frozenset(Status)
Held = dict[Status, list[bytes]]


def obligation_of(world: World, statuses: frozenset[Status]) -> Obligation:
    """A monthly extract of certificates that have one of these statuses."""
    return replace(
        world.guide.full,
        name="monthly",
        kind=FullExtract(statuses, KeepNewest(3)),
        file="SMKIKR_MONTHLY_{date}.xml.gz",
        cut_off=CutOff("0 0 10 * *", time(), month_day=10),
    )


@pytest.fixture
def held(world: World) -> Held:
    """What the repository has as of today, by status."""
    state = state_as_of(world.engine, 70)
    return {status: [body for body, has in state.items() if has == status] for status in Status}


def judged(world: World, statuses: frozenset[Status], held: Held, way: str = "in the store") -> Judgement:
    """The judgement of a file that holds these certificates with these statuses, a page each."""
    obligation = obligation_of(world, statuses)
    name = obligation.file_name(TODAY)
    records = [rendered(bodies, status) for status, bodies in held.items() if bodies]
    _, manifest = assembled(world.folder, [render_head(name.removesuffix(".gz")), *records, render_tail()], name)
    extract = world.write(obligation.name, replace(manifest, obligation=obligation.name))
    with world.reading(WAYS[way](extract), obligation) as read:
        return judge(extract_evidence(world.source, obligation, TODAY, read), "test", NOW)


def failed(judgement: Judgement) -> dict[str, CheckResult]:
    return {result.id: result for result in judgement.failed}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("statuses", [ALL, frozenset({Status.EXPIRED, Status.REVOKED}), frozenset({Status.REVOKED})])
def test_extract_of_other_statuses_that_is_right_passes(
    world: World, held: Held, statuses: frozenset[Status], way: str
) -> None:
    assert all(held[status] for status in ALL)
    judgement = judged(world, statuses, {status: held[status] for status in statuses}, way)
    assert (judgement.verdict, judgement.failed, judgement.unjudged) == (Verdict.PASS, (), ())
    assert ("full.statuses" in {result.id for result in judgement.results}) is (len(statuses) > 1)
    assert not [result for result in judgement.results if "could not be run" in result.observed]


@pytest.mark.parametrize("way", WAYS)
def test_two_statuses_that_are_exchanged_are_found_though_the_counts_are_right(
    world: World, held: Held, way: str
) -> None:
    first, second = held[Status.IN_USE][0], held[Status.REVOKED][0]
    wrong = held | {
        Status.IN_USE: [second, *held[Status.IN_USE][1:]],
        Status.REVOKED: [first, *held[Status.REVOKED][1:]],
    }
    found = failed(judged(world, ALL, wrong, way))
    assert set(found) == {"full.statuses"}
    assert [line.partition(":")[0] for line in found["full.statuses"].details] == ["status I", "status R"]


def test_status_that_is_wrong_is_counted(world: World, held: Held) -> None:
    wrong = held | {
        Status.IN_USE: [*held[Status.IN_USE], held[Status.REVOKED][0]],
        Status.REVOKED: held[Status.REVOKED][1:],
    }
    found = failed(judged(world, ALL, wrong))
    count = len(held[Status.IN_USE])
    assert found["full.statuses"].details[0] == f"status I: {count + 1} in the file, {count} in the repository"


def test_certificate_that_is_missing_is_named(world: World, held: Held) -> None:
    found = failed(judged(world, ALL, held | {Status.EXPIRED: held[Status.EXPIRED][1:]}))
    assert set(found) == {"full.statuses", "full.count", "full.set-digest"}
    (named,) = found["full.set-digest"].details
    assert named.startswith("of status E, I, N, P, R as of window 70 and not in the file: certificate ")


def test_certificate_of_another_status_is_surplus(world: World, held: Held) -> None:
    statuses = frozenset({Status.EXPIRED, Status.REVOKED})
    found = failed(judged(world, statuses, {status: held[status] for status in (*statuses, Status.PENDING)}))
    assert set(found) == {"full.status", "full.count", "full.set-digest"}
    assert len(found["full.set-digest"].details) == len(held[Status.PENDING])
