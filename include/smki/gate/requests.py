"""What follows from judgements: they are recorded, people are asked about held files, failed ones are kept and refused.

A person's decision belongs to the bytes. A list that is replaced in place is judged again every day; so that nobody is
asked every day, nobody is asked about a HOLD where another run has asked about the very same bytes:

* They were released, and nothing trips now that did not trip then: the release stands.
* They were rejected: the rejection stands.
* They wait: nothing is recorded, as the newest gate run over some bytes is the one that counts.

Who judges the same bytes again in the same run asks again.
"""

import logging
from collections.abc import Callable, Sequence

from sqlalchemy import Engine

from smki.errors import ConfigurationError, GateRefusedError, GateRejectedError, StoreError
from smki.gate.ledger import Decision, GateRun, find_gate_run, newest_gate_run, record_decision, record_judgement
from smki.gate.model import Judgement, Severity, Verdict
from smki.gate.quarantine import keep_failed
from smki.gate.report.page import render_report
from smki.gate.report.wording import summarise
from smki.store.objects import Store

log = logging.getLogger(__name__)
_LEVEL = {Verdict.PASS: logging.INFO, Verdict.HOLD: logging.WARNING, Verdict.FAIL: logging.ERROR}


def record_judgements(
    engine: Engine, judgements: Sequence[Judgement], manifests: Sequence[str], waits: Callable[[str], bool]
) -> tuple[GateRun, ...] | None:
    """Records the judgements of a run's files; `waits` says of another run whether it still waits for its decision.

    `manifests` (SHA-256, hex; empty for a small file) are those of the judged files, in the same order.
    Returns the gate runs in the same order; None, with nothing recorded, where all that is held waits in other runs.
    Raises RepositoryUnavailableError.
    """
    earlier = [find_earlier_request(engine, judgement) for judgement in judgements]
    verdicts = [judgement.verdict for judgement in judgements]
    held = [before for before, verdict in zip(earlier, verdicts, strict=True) if verdict is Verdict.HOLD]
    waiting = [before for before in held if before is not None and before.decision is None]
    may_skip = bool(held) and len(waiting) == len(held) and Verdict.FAIL not in verdicts
    if may_skip and all(waits(before.judgement.run) for before in waiting):
        log.warning("the same bytes wait for a person in %s", ", ".join(before.judgement.run for before in waiting))
        return None
    return tuple(
        _record(engine, judgement, manifest, before)
        for judgement, manifest, before in zip(judgements, manifests, earlier, strict=True)
    )


def find_earlier_request(engine: Engine, judgement: Judgement) -> GateRun | None:
    """The newest gate run over the same bytes, if another run did it and all that trips now was held then."""
    if judgement.verdict is not Verdict.HOLD:
        return None
    newest = newest_gate_run(engine, judgement.name, judgement.sha256)
    if newest is None or newest.judgement.run == judgement.run or newest.judgement.verdict is not Verdict.HOLD:
        return None
    return newest if _tripped(judgement) <= _tripped(newest.judgement) else None


def select_shown(gate_runs: Sequence[GateRun]) -> GateRun:
    """The gate run whose report people are led to: the first that did not pass, else the first."""
    return next((run for run in gate_runs if run.judgement.verdict is not Verdict.PASS), gate_runs[0])


def select_undecided(gate_runs: Sequence[GateRun]) -> list[GateRun]:
    """Those that a person has to decide."""
    return [run for run in gate_runs if run.judgement.verdict is Verdict.HOLD and run.decision is None]


def refuse_failed(store: Store, gate_runs: Sequence[GateRun], manifests: Sequence[str]) -> None:
    """Raises GateRefusedError if a file failed, having kept it in quarantine; GateRejectedError if one is rejected.

    `manifests` (SHA-256, hex; empty for a small file) are those of the judged files, in the same order.
    """
    failed = [
        (run, manifest)
        for run, manifest in zip(gate_runs, manifests, strict=True)
        if run.judgement.verdict is Verdict.FAIL
    ]
    if failed:
        kept = [_quarantine(store, manifest, run.judgement) for run, manifest in failed]
        raise GateRefusedError(
            ", ".join(run.judgement.name for run, _ in failed),
            " ".join(f"gate run {run.id} says FAIL: {_broken(run.judgement)}." for run, _ in failed),
            f"{' '.join(kept)} Nothing on the server changed.",
        )
    refuse_rejected(gate_runs)


def refuse_rejected(gate_runs: Sequence[GateRun]) -> None:
    """Raises GateRejectedError if a person has rejected one of them."""
    for run in gate_runs:
        if run.decision is not None and not run.decision.released:
            raise GateRejectedError(
                run.judgement.name,
                f"{run.decision.decided_by} rejected it on {run.decision.decided_at:%Y-%m-%d at %H:%M} UTC (gate run "
                f"{run.id}): {run.decision.reason}",
            )


def decide(engine: Engine, gate_runs: Sequence[int], decision: Decision) -> None:
    """Records a person's decision for each of these gate runs. Raises GateRejectedError if it is a rejection."""
    for number in gate_runs:
        record_decision(engine, number, decision)
        log.info("gate run %d %s by=%s", number, "released" if decision.released else "rejected", decision.decided_by)
    refuse_rejected([find_gate_run(engine, number) for number in gate_runs])


def list_undecided(engine: Engine, gate_runs: Sequence[int]) -> list[int]:
    """Those that nobody has decided yet. Raises GateRejectedError if one is rejected already."""
    runs = [find_gate_run(engine, number) for number in gate_runs]
    refuse_rejected(runs)
    return [run.id for run in runs if run.decision is None]


def _record(engine: Engine, judgement: Judgement, manifest: str, before: GateRun | None) -> GateRun:
    number = record_judgement(engine, judgement, manifest)
    for line in summarise(judgement).splitlines():
        log.log(_LEVEL[judgement.verdict], "gate run %d %s", number, line)
    if before is not None and before.decision is not None:
        log.info("gate run %d is decided as gate run %d over the same bytes was", number, before.id)
        record_decision(engine, number, before.decision)
    return find_gate_run(engine, number)


def _tripped(judgement: Judgement) -> set[str]:
    return {result.id for result in judgement.failed}


def _broken(judgement: Judgement) -> str:
    broken = [result for result in judgement.failed if result.severity is Severity.FAIL]
    return "; ".join(f"{result.id}: {result.observed} (expected: {result.expected})" for result in broken)


def _quarantine(store: Store, manifest: str, judgement: Judgement) -> str:
    """Where a failed file is kept, in words; a store that is full changes nothing about the verdict."""
    try:
        key = keep_failed(store, judgement, manifest, render_report(judgement))
    except (StoreError, ConfigurationError) as error:
        log.warning("quarantine failed name=%s error=%s", judgement.name, error)
        return f"It could not be put into quarantine ({error.rule})."
    return f"It is kept in the store as {key}."
