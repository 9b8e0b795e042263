"""Measured process: all that stands between a produced full extract and its publication."""

from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from answering import answer

from smki.gate.judging import judge
from smki.kinds import Source
from smki.kinds.extracts.evidence import extract_evidence
from smki.obligations.user_guide import load_user_guide
from smki.repository.database import open_engine
from smki.settings import Settings
from smki.store.manifest import read_manifest
from smki.verify.marks import Marks
from smki.verify.verification import examine_file


def gate(url: str, day: str, file: str, workers: int) -> dict[str, Any]:
    """Verifies the file in that many processes, gathers the evidence from repository and ledger, and judges it."""
    settings, path, engine = Settings.from_environment(), Path(file), open_engine(url)
    source = Source.of(engine, load_user_guide(settings.config), settings)
    with TemporaryDirectory(prefix="smki-") as folder:
        marks = Marks(Path(folder))
        verification = examine_file(path, source.schema, marks, manifest=read_manifest(path), workers=workers)
        evidence = extract_evidence(source, source.guide.full, date.fromisoformat(day), path, verification, marks)
        judgement = judge(evidence, "bench", datetime.now(UTC))
    return {
        "records": verification.records,
        "set_digest": str(verification.set_digest),
        "verdict": judgement.verdict,
        "failed": [f"{result.id}: {result.observed}" for result in judgement.failed],
        "judging_s": judgement.seconds,
    }


if __name__ == "__main__":
    answer(gate)
