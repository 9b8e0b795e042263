"""Which evidence belongs to which obligation: a file that lies anywhere, judged alone.

A DAG judges what its run has read already, by the kinds' own functions: `extract_evidence` of an extract that was
examined segment by segment, `list_evidence`, and `set_evidence` of all four anchor files together.
"""

from datetime import date, datetime
from pathlib import Path
from typing import assert_never

from smki.gate.evidence import Evidence
from smki.kinds import Source
from smki.kinds.anchors import evidence as anchors
from smki.kinds.anchors.production import load_anchor_set
from smki.kinds.extracts.evidence import extract_evidence
from smki.kinds.extracts.reading import read_file
from smki.kinds.revocation import evidence as revocation
from smki.obligations.catalogue import AnchorSlots, DeltaExtract, FullExtract, Obligation, RevocationList
from smki.processes import Progress


def gather_evidence(
    source: Source,
    obligation: Obligation,
    day: date,
    file: Path,
    now: datetime,
    workers: int = 1,
    progress: Progress = lambda _done, _of: None,
) -> Evidence:
    """What a file is judged on as that obligation's of that day, at `now` (UTC).

    `workers` is how many processes read an extract that has its manifest beside it. Raises DataError where there is
    nothing to hold the file against, AnchorConfigurationError, RepositoryUnavailableError and StoreError.
    """
    match obligation.kind:
        case FullExtract() | DeltaExtract():
            with read_file(file, obligation.kind, source.schema, workers, progress) as read:
                return extract_evidence(source, obligation, day, read)
        case RevocationList():
            return revocation.file_evidence(source, obligation, file, now)
        case AnchorSlots():
            anchor_set = load_anchor_set(source.engine, source.anchor_slots, now)
            return anchors.file_evidence(source, obligation, file, anchor_set, day)
        case never:
            assert_never(never)
