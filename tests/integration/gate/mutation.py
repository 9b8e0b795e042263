"""One way in which something to be published comes to be wrong, and what the gate has to say of it."""

from collections.abc import Callable
from dataclasses import dataclass

from smki.gate.model import Judgement, Verdict

from .extract_files import Make
from .worlds import WAYS, Stage, World


@dataclass(frozen=True)
class Mutation:
    """A damage to one kind of artefact."""

    name: str  # the damage, in words
    obligation: str
    judged: Callable[[World], Judgement]  # makes the damaged artefact and has it judged
    check: str  # that has to catch it
    verdict: Verdict = Verdict.FAIL
    stage: Stage | None = None  # of a world of its own; none: it leaves the repository alone

    def __str__(self) -> str:
        return f"{self.obligation}: {self.name}"


def of_extract(
    name: str,
    obligation: str,
    make: Make,
    check: str,
    *,
    alone: bool = False,
    verdict: Verdict = Verdict.FAIL,
    stage: Stage | None = None,
) -> Mutation:
    """A damaged extract, read by its manifest as a DAG does, or alone as `smki gate judge` reads a file of others."""

    def judged(world: World) -> Judgement:
        extract = make(world, obligation)
        return world.judged(WAYS["alone"](extract) if alone else extract)

    return Mutation(f"{name}, alone" if alone else name, obligation, judged, check, verdict, stage)
