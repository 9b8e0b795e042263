"""What the gate does with judgements: they are recorded, held files are asked for, failed ones are kept and refused.

A person's decision belongs to the bytes. A list that is replaced in place is judged again every day; so that nobody is
asked every day, a HOLD is not asked for where another run has asked for the very same bytes:

* It was released, and nothing trips now that did not trip then: the release stands.
* It was rejected: the rejection stands, and the run fails with it.
* It waits: the run is skipped. Nothing is recorded, as the newest gate run over some bytes is the one that counts.

A run that is cleared from its gate on is judged as new, and asks.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from smki.errors import GateRefusedError, GateRejectedError, StagingError
from smki.gate.ledger import Decision, GateRun, find_gate_run, newest_gate_run, record_decision, record_judgement
from smki.gate.model import Judgement, Severity, Verdict
from smki.gate.quarantine import keep
from smki.gate.report.page import hold_summary, render_report, summarise
from smki.obligations.catalogue import UserGuide
from smki.publish.artefact import Artefact
from smki.watch.findings import find_held
from smki.watch.findings_ledger import open_finding
from smki_airflow.publishing.handover import artefact_as_json
from smki_airflow.run import Json
from smki_airflow.signals.telling import tell_people

log = logging.getLogger(__name__)
_LEVEL = {Verdict.PASS: logging.INFO, Verdict.HOLD: logging.WARNING, Verdict.FAIL: logging.ERROR}


@dataclass(frozen=True, slots=True)
class Judged:
    """A staged file with what the gate says of it."""

    judgement: Judgement
    artefact: Artefact  # that it becomes, if it is cleared
    file: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the gate made of a run's files."""

    gate_runs: tuple[GateRun, ...]  # in the order of the files
    files: tuple[Judged, ...]

    @property
    def shown(self) -> int:
        """The gate run that people are led to: the first that did not pass, else the first."""
        return next(
            (run.id for run in self.gate_runs if run.judgement.verdict is not Verdict.PASS), self.gate_runs[0].id
        )

    def as_json(self) -> Json:
        """The artefacts, and what a person has to decide before they are published."""
        held = [run for run in self.gate_runs if run.judgement.verdict is Verdict.HOLD and run.decision is None]
        return {
            "artefacts": [artefact_as_json(judged.artefact) for judged in self.files],
            "shown": self.shown,
            "held": [
                {"gate_run": run.id, "name": run.judgement.name, "summary": hold_summary(run.judgement)} for run in held
            ],
        }


def record_judgements(engine: Engine, files: Sequence[Judged], waits: Callable[[str], bool]) -> Outcome | None:
    """Records the judgements; `waits` says of another run's label whether that run still has its decision to come.

    None, with nothing recorded, where all that is held waits in other runs. Raises RepositoryUnavailableError.
    """
    asked = [find_earlier_request(engine, judged.judgement) for judged in files]
    verdicts = [judged.judgement.verdict for judged in files]
    held = [before for before, verdict in zip(asked, verdicts, strict=True) if verdict is Verdict.HOLD]
    waiting = [before for before in held if before is not None and before.decision is None]
    may_skip = bool(held) and len(waiting) == len(held) and Verdict.FAIL not in verdicts
    if may_skip and all(waits(before.judgement.run) for before in waiting):
        log.warning("the same bytes wait for a person in %s", ", ".join(before.judgement.run for before in waiting))
        return None
    runs = [_record(engine, judged.judgement, before) for before, judged in zip(asked, files, strict=True)]
    return Outcome(tuple(runs), tuple(files))


def find_earlier_request(engine: Engine, judgement: Judgement) -> GateRun | None:
    """The newest gate run over the same bytes, if another run did it and all that trips now was held then."""
    if judgement.verdict is not Verdict.HOLD:
        return None
    newest = newest_gate_run(engine, judgement.name, judgement.sha256)
    if newest is None or newest.judgement.run == judgement.run or newest.judgement.verdict is not Verdict.HOLD:
        return None
    return newest if _failed(judgement) <= _failed(newest.judgement) else None


def refuse_failed(staging: Path, outcome: Outcome) -> None:
    """Raises GateRefusedError if a file failed, having kept it in quarantine; GateRejectedError if one is rejected."""
    failed = [
        (run, judged)
        for run, judged in zip(outcome.gate_runs, outcome.files, strict=True)
        if run.judgement.verdict is Verdict.FAIL
    ]
    if failed:
        kept = [_kept(staging, judged) for _, judged in failed]
        raise GateRefusedError(
            ", ".join(run.judgement.name for run, _ in failed),
            " ".join(f"gate run {run.id} says FAIL: {_broken(run.judgement)}." for run, _ in failed),
            f"{' '.join(kept)} {GateRefusedError.CONSEQUENCE}",
        )
    refuse_rejected(outcome.gate_runs)


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


def tell_of_held(engine: Engine, guide: UserGuide, gate_runs: Sequence[int]) -> None:
    """Tells people at once that these gate runs wait for one of them; the auditor would within minutes."""
    now = datetime.now(UTC)
    for finding in find_held([find_gate_run(engine, number) for number in gate_runs]):
        open_finding(engine, finding, now)
    tell_people(engine, guide, now)


def _record(engine: Engine, judgement: Judgement, before: GateRun | None) -> GateRun:
    number = record_judgement(engine, judgement)
    for line in summarise(judgement).splitlines():
        log.log(_LEVEL[judgement.verdict], "gate run %d %s", number, line)
    if before is not None and before.decision is not None:
        log.info("gate run %d is decided as gate run %d over the same bytes was", number, before.id)
        record_decision(engine, number, before.decision)
    return find_gate_run(engine, number)


def _failed(judgement: Judgement) -> set[str]:
    return {result.id for result in judgement.failed}


def _broken(judgement: Judgement) -> str:
    broken = [result for result in judgement.failed if result.severity is Severity.FAIL]
    return "; ".join(f"{result.id}: {result.observed} (expected: {result.expected})" for result in broken)


def _kept(staging: Path, judged: Judged) -> str:
    """Where a failed file is kept, in words; a staging area that is full changes nothing about the verdict."""
    try:
        folder = keep(staging, judged.file, judged.judgement, render_report(judged.judgement))
    except StagingError as error:
        log.warning("quarantine failed file=%s error=%s", judged.file, error)
        return f"It could not be kept in quarantine ({error.rule}) and stays at {judged.file}."
    return f"It is kept in quarantine at {folder}."
