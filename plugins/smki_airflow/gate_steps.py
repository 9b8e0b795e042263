"""What a run does with judgements: `smki.gate.requests`, with the artefacts that judged files become."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from smki.gate import requests
from smki.gate.ledger import GateRun, find_gate_run
from smki.gate.model import Judgement
from smki.gate.report.wording import hold_summary
from smki.gate.requests import decide
from smki.obligations.catalogue import UserGuide
from smki.publish.artefact import Artefact
from smki.watch.findings import find_held
from smki.watch.findings_ledger import open_finding
from smki_airflow.handover import Json, artefact_as_json
from smki_airflow.telling import tell_people

__all__ = ["Judged", "Outcome", "decide", "recorded", "refuse_failed", "tell_of_held", "undecided"]
undecided = requests.list_undecided


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
        """The gate run that people are led to."""
        return requests.select_shown(self.gate_runs).id

    def as_json(self) -> Json:
        """The artefacts, and what a person has to decide before they are published."""
        return {
            "artefacts": [artefact_as_json(judged.artefact) for judged in self.files],
            "shown": self.shown,
            "held": [
                {"gate_run": run.id, "name": run.judgement.name, "summary": hold_summary(run.judgement)}
                for run in requests.select_undecided(self.gate_runs)
            ],
        }


def recorded(engine: Engine, files: Sequence[Judged], waits: Callable[[str], bool]) -> Outcome | None:
    """Records the judgements; None, with nothing recorded, where all that is held waits in other runs."""
    gate_runs = requests.record_judgements(engine, [judged.judgement for judged in files], waits)
    return None if gate_runs is None else Outcome(gate_runs, tuple(files))


def refuse_failed(staging: Path, outcome: Outcome) -> None:
    """Raises GateRefusedError if a file failed, having kept it in quarantine; GateRejectedError if one is rejected."""
    requests.refuse_failed(staging, outcome.gate_runs, [judged.file for judged in outcome.files])


def tell_of_held(engine: Engine, guide: UserGuide, gate_runs: Sequence[int]) -> None:
    """Tells people at once that these gate runs wait for one of them; the auditor would within minutes."""
    now = datetime.now(UTC)
    for finding in find_held([find_gate_run(engine, number) for number in gate_runs]):
        open_finding(engine, finding, now)
    tell_people(engine, guide, now)
