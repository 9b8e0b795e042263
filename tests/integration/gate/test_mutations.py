"""Every damage is caught by the check that is there for it, and nothing else is: what is right passes."""

from collections.abc import Callable

import pytest

from conftest import CONFIG
from smki.gate.checks import Check
from smki.gate.model import Judgement, Verdict
from smki.kinds.anchors.checks import DOCUMENT, REGION_FILE
from smki.kinds.extracts.checks import DELTA, full_checks
from smki.kinds.revocation.checks import LIST
from smki.obligations.user_guide import load_user_guide

from .anchor_mutations import ANCHOR_MUTATIONS
from .byte_mutations import BYTE_MUTATIONS
from .content_mutations import CONTENT_MUTATIONS
from .list_mutations import LIST_MUTATIONS
from .mutation import Mutation
from .repository_mutations import REPOSITORY_MUTATIONS
from .worlds import LISTS, WAYS, Stage, World

MUTATIONS = (*BYTE_MUTATIONS, *CONTENT_MUTATIONS, *REPOSITORY_MUTATIONS, *LIST_MUTATIONS, *ANCHOR_MUTATIONS)
OwnWorld = Callable[..., World]
GUIDE = load_user_guide(CONFIG)
SUITES: dict[str, tuple[Check, ...]] = {
    "full": full_checks(GUIDE.full.kind),
    "delta": DELTA,
    **dict.fromkeys(LISTS, LIST),
    **dict.fromkeys(("anchor_north", "anchor_central_south"), REGION_FILE),
    **dict.fromkeys(("anchor_document", "anchor_table"), DOCUMENT),
}


@pytest.mark.mutation
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_damage_is_caught(world: World, own_world: OwnWorld, mutation: Mutation) -> None:
    judgement = mutation.judged(world if mutation.stage is None else own_world(mutation.stage))
    assert mutation.check in {result.id for result in judgement.failed}
    assert judgement.verdict is mutation.verdict
    assert not [result for result in judgement.results if "could not be run" in result.observed]


def judged(world: World, obligation: str) -> Judgement:
    """Of what the pipeline makes."""
    if obligation in ("full", "delta"):
        return world.judged(world.produce(obligation))
    if obligation in LISTS:
        return world.judged_list(obligation, world.list_file(obligation))
    return world.judged_anchor(obligation, world.anchors())


@pytest.mark.parametrize("obligation", SUITES)
def test_what_is_right_passes(world: World, obligation: str) -> None:
    judgement = judged(world, obligation)
    assert (judgement.verdict, judgement.failed) == (Verdict.PASS, ())
    bounded = {figure.name for figure in judgement.figures if (figure.low, figure.high) != (None, None)}
    measures = {check.measure.name for check in SUITES[obligation] if check.measure}
    assert measures <= bounded, "no breaker is asleep"
    assert {result.id for result in judgement.results} == {check.id for check in SUITES[obligation]}


@pytest.mark.parametrize("obligation", ["full", "delta"])
def test_extract_that_is_right_passes_without_its_manifest(world: World, obligation: str) -> None:
    assert world.judged(WAYS["alone"](world.produce(obligation))).failed == ()


@pytest.mark.parametrize("obligation", ["full", "delta", *LISTS])
def test_what_is_published_passes_again(own_world: OwnWorld, obligation: str) -> None:
    world = own_world(Stage.CLOSED)
    if obligation in LISTS:
        world.publish_list(obligation, world.newest_list(obligation).this_update)
    else:
        world.publish_extract(obligation, 70)
    assert judged(world, obligation).failed == ()


def test_every_mutation_has_its_own_name() -> None:
    names = [str(mutation) for mutation in MUTATIONS]
    assert len(set(names)) == len(names)


def test_every_check_is_tripped_by_a_mutation() -> None:
    of_suite: dict[tuple[Check, ...], list[str]] = {}
    for obligation, checks in SUITES.items():
        of_suite.setdefault(checks, []).append(obligation)
    tripped = {(mutation.obligation, mutation.check) for mutation in MUTATIONS}
    untripped = {
        (obligations[0], check.id)
        for checks, obligations in of_suite.items()
        for check in checks
        if not tripped & {(obligation, check.id) for obligation in obligations}
    }
    assert untripped == set()
