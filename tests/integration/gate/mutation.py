"""One way in which something to be published comes to be wrong, and what the gate has to say of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from smki.gate.model import Judgement, Verdict
from smki.obligations.user_guide import Obligation

from .extract_files import Make
from .worlds import Stage, World


@dataclass(frozen=True)
class Mutation:
    """A damage to one kind of artefact."""

    name: str  # the damage, in words
    obligation: Obligation
    judged: Callable[[World], Judgement]  # makes the damaged artefact and has it judged
    check: str  # that has to catch it
    verdict: Verdict = Verdict.FAIL
    stage: Stage | None = None  # of a world of its own; none: it leaves the repository alone

    def __str__(self) -> str:
        return f"{self.obligation}: {self.name}"


def of_extract(
    name: str,
    obligation: Obligation,
    make: Make,
    check: str,
    *,
    alone: bool = False,
    verdict: Verdict = Verdict.FAIL,
    stage: Stage | None = None,
) -> Mutation:
    """A damaged extract, read in segments by its manifest as the DAG reads it, or alone as `smki gate FILE` does."""

    def judged(world: World) -> Judgement:
        extract = make(world, obligation)
        return world.judged(replace(extract, manifest=None) if alone else extract)

    return Mutation(f"{name}, alone" if alone else name, obligation, judged, check, verdict, stage)


_COMMENT = "the verifier reads what others write, and does not say that a comment is there"
_FLAG = "nobody holds ManufacturingFlag against the repository"
_RAISES = "anchors.evidence lets through what own_certificates raises"
_SLOT = "a fingerprint has to be somewhere in the document, not in its slot"
# What the gate does not catch yet: the mutation, and why.
HOLES = {
    "full: reserved flags in the header, alone": "quality.gzip_member lets reserved flags pass (RFC 1952, 2.3.1.2)",
    "full: comment between records": _COMMENT,
    "full: comment between records, alone": _COMMENT,
    "full: wrong manufacturing flag": _FLAG,
    "delta: wrong manufacturing flag": _FLAG,
    "full: revoked certificate in use again": "the windows agree with what was written behind the rules",
    "delta: expired certificate out of use": "a final status left within one window is neither before nor after",
    "anchor_north: no XML": _RAISES,
    "anchor_north: document type": _RAISES,
    "anchor_north: Base64 on two lines": _RAISES,
    "anchor_north: body that is no certificate": _RAISES,
    "anchor_central_south: body that is no certificate": _RAISES,
    "anchor_north: private key as a body": _RAISES,
    "anchor_north: private key in a comment": _RAISES,
    "anchor_document: fingerprints swapped": _SLOT,
    "anchor_table: fingerprints swapped": _SLOT,
    "anchor_document: files with a certificate fewer": "a document may name certificates that are in neither file",
}
