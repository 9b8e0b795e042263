"""The gate's step of each DAG: what its run staged, judged. They alone load Great Expectations (seconds, 270 MB).

What was staged may be judged again at any time, by a gate that is cleared: whatever that needs stays where it is.
"""

import logging
from dataclasses import replace
from datetime import UTC, datetime

from smki.gate.judging import judge
from smki.gate.model import Verdict
from smki.kinds import Source
from smki.kinds.anchors.evidence import set_evidence
from smki.kinds.anchors.production import load_anchor_set
from smki.kinds.extracts.assembly import discard_segments
from smki.kinds.extracts.evidence import extract_evidence
from smki.kinds.extracts.production import staged_segments
from smki.kinds.revocation.evidence import list_evidence
from smki.kinds.revocation.file import newest_list
from smki.publish.artefact import Artefact
from smki.settings import Settings
from smki.store.manifest import Manifest, read_manifest
from smki.verify.verification import SegmentFigures, Verification, conclude
from smki_airflow.extract_steps import staged_marks
from smki_airflow.gate_steps import Judged
from smki_airflow.handover import Json, artefact_from_json, opened
from smki_airflow.runs import Run

log = logging.getLogger(__name__)


def judge_extract(run: Run, name: str, verified: list[list[Json]]) -> list[Judged]:
    """Puts the figures of the extract's segments together and judges it by them, the repository and the ledger."""
    settings, source = _source()
    file = run.staging(settings) / name
    manifest, marks = read_manifest(file), staged_marks(file)
    figures = [SegmentFigures(**facts) for part in verified for facts in part]
    verification = conclude(file, manifest, figures, marks)
    evidence = extract_evidence(
        source, source.guide.obligation(manifest.obligation), manifest.business_date, file, verification, marks
    )
    judgement = judge(evidence, run.label, datetime.now(UTC))
    if judgement.verdict is not Verdict.FAIL:
        discard_segments(staged_segments(file))
    return [Judged(judgement, _extract(manifest, verification, judgement.judged_at, run), file)]


def judge_list(run: Run, produced: Json) -> list[Judged]:
    """Judges a revocation list's file; nothing if a newer list was lodged since, as that begins a run of its own."""
    settings, source = _source()
    artefact = artefact_from_json(produced)
    obligation = source.guide.obligation(artefact.obligation, artefact.subject)
    newest = newest_list(source.engine, obligation)
    if newest is not None and newest.id != artefact.version:
        log.warning("a newer list follows list=%s", newest)
        return []
    file, now = run.staging(settings) / artefact.name, datetime.now(UTC)
    judgement = judge(list_evidence(source, obligation, file, now), run.label, now)
    return [Judged(judgement, replace(artefact, verified_at=now), file)]


def judge_set(run: Run, produced: list[Json]) -> list[Judged]:
    """Judges the four anchor files, each beside the others, by the configuration as it is now."""
    settings, source = _source()
    artefacts = {stated["name"]: artefact_from_json(stated) for stated in produced}
    day = next(iter(artefacts.values())).business_date
    folder, now = run.staging(settings), datetime.now(UTC)
    anchor_set = load_anchor_set(source.engine, settings.anchor_slots, now)
    judgements = [judge(evidence, run.label, now) for evidence in set_evidence(source, folder, anchor_set, day)]
    return [Judged(one, replace(artefacts[one.name], verified_at=now), folder / one.name) for one in judgements]


def _source() -> tuple[Settings, Source]:
    settings, engine, guide = opened()
    return settings, Source.of(engine, guide, settings)


def _extract(manifest: Manifest, verification: Verification, verified_at: datetime, run: Run) -> Artefact:
    return Artefact(
        obligation=manifest.obligation,
        name=manifest.name,
        business_date=manifest.business_date,
        window_seq=manifest.window_seq,
        bytes=verification.bytes,
        sha256=verification.sha256,
        content_digest=manifest.content_digest,
        xml_bytes=verification.xml_bytes,
        records=verification.records,
        set_digest=verification.set_digest,
        run=run.label,
        verified_at=verified_at,
    )
