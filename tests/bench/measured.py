"""The measured processes of the publisher; each imports what it needs, so that none pays for another's imports."""

import struct
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.measuring import answer
from smki.settings import Settings


def generate(count: int, seed: int) -> int:
    """`volume_bodies` alone, into Arrow arrays that nobody keeps; how many."""
    from smki_demo.generator.volume import volume_bodies

    return sum(len(bodies) for bodies in volume_bodies(count, seed=seed))


def lodge(url: str, bodies: str, recorded_at: str) -> int:
    """`lodge` of DER bodies from a file, each behind its length, into an empty repository; how many were lodged."""
    from smki.repository import lodging
    from smki.repository.database import open_engine

    at = datetime.fromisoformat(recorded_at)

    def offers() -> Iterator[lodging.Lodgement]:
        with Path(bodies).open("rb", buffering=1 << 20) as stream:
            while length := stream.read(4):
                yield lodging.Lodgement(stream.read(*struct.unpack(">I", length)), "measured", recorded_at=at)

    return lodging.lodge(open_engine(url), offers()).lodged


def produce(url: str, day: str, folder: str, workers: int) -> dict[str, Any]:
    """Plans and produces a full extract with that many workers, up to the file and its manifest; not verified."""
    from smki.kinds.extracts import production
    from smki.kinds.extracts.plan import plan_extract
    from smki.obligations.user_guide import load_user_guide
    from smki.repository.database import open_engine

    obligation = load_user_guide(Settings.from_environment().config).full
    plan = plan_extract(open_engine(url), obligation, date.fromisoformat(day))
    manifest = production.produce(url, plan, Path(folder) / plan.name, workers=workers)
    return {
        "name": manifest.name,
        "records": manifest.records,
        "bytes": manifest.bytes,
        "xml_bytes": manifest.xml_bytes,
        "content_digest": manifest.content_digest,
    }


def verify(file: str, workers: int = 0) -> dict[str, Any]:
    """`verify_file` in that many worker processes by the manifest, or (0) in one pass without it."""
    from smki.store.manifest import read_manifest
    from smki.verify.verification import verify_file

    path = Path(file)
    manifest = read_manifest(path) if workers else None
    verified = verify_file(path, Settings.from_environment().annex_b_xsd, manifest=manifest, workers=workers or 1)
    return {"records": verified.records, "set_digest": str(verified.set_digest)}


def gate(url: str, day: str, file: str, workers: int) -> dict[str, Any]:
    """Verifies the file in that many processes, gathers the evidence from repository and ledger, and judges it."""
    from smki.gate.judging import judge
    from smki.kinds import Source
    from smki.kinds.extracts.evidence import extract_evidence
    from smki.obligations.user_guide import load_user_guide
    from smki.repository.database import open_engine
    from smki.store.manifest import read_manifest
    from smki.verify.marks import Marks
    from smki.verify.verification import examine_file

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


def upload(site: dict[str, Any], file: str, name: str) -> float:
    """`upload` of a file into the site's folder; seconds from before the login to after the last answer."""
    from smki.publish.part_writer import upload as upload_file
    from smki.publish.site import Site, open_sftp

    target = Site(**site | {"key_file": Path(site["key_file"])})
    begun = time.perf_counter()
    with open_sftp(target) as sftp:
        upload_file(sftp, Path(file), f"{target.folder}/{name}", lambda _done, _total: None)
    return time.perf_counter() - begun


def publish(site: dict[str, Any], file: str, name: str, sha256: str) -> float:
    """`publish_file`, the whole recipe: upload, sync, read back and hash, rename, look again; seconds likewise."""
    from smki.publish.recipe import publish_file
    from smki.publish.site import Site, open_sftp

    target = Site(**site | {"key_file": Path(site["key_file"])})
    begun = time.perf_counter()
    with open_sftp(target) as sftp:
        publish_file(sftp, Path(file), name, target.folder, sha256, lambda _done, _total: None)
    return time.perf_counter() - begun


if __name__ == "__main__":
    answer(generate, lodge, produce, verify, gate, upload, publish)
