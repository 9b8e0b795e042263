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
    from smki.repository.offers import Lodgement
    from smki_demo.generator.filling import state_look_alikes

    at = datetime.fromisoformat(recorded_at)

    def offers() -> Iterator[Lodgement]:
        with Path(bodies).open("rb", buffering=1 << 20) as stream:
            while length := stream.read(4):
                yield Lodgement(stream.read(*struct.unpack(">I", length)), "measured", recorded_at=at)

    engine = open_engine(url)
    state_look_alikes(engine)
    return lodging.lodge(engine, offers()).lodged


def fill(url: str, count: int, seed: int, recorded_at: str) -> int:
    """Makes look-alikes and lodges them; how many were lodged."""
    from smki.repository.database import open_engine
    from smki_demo.generator.filling import fill_with_volume

    return fill_with_volume(open_engine(url), count, seed=seed, recorded_at=datetime.fromisoformat(recorded_at)).lodged


def close(url: str, day: str) -> int:
    """Closes the window of a day; how many events it has."""
    from smki.obligations.user_guide import load_user_guide
    from smki.repository.database import open_engine
    from smki.repository.windows import close_windows

    cut_off = load_user_guide(Settings.from_environment().config).delta.cut_off
    return sum(window.events for window in close_windows(open_engine(url), date.fromisoformat(day), cut_off.at))


def produce(url: str, day: str, folder: str, workers: int, obligation: str = "full") -> dict[str, Any]:
    """Plans and produces an extract with that many workers, up to the file and its manifest; not verified."""
    from smki.kinds.extracts import production
    from smki.kinds.extracts.plan import plan_extract
    from smki.obligations.user_guide import load_user_guide
    from smki.repository.database import open_engine

    guide = load_user_guide(Settings.from_environment().config)
    plan = plan_extract(open_engine(url), guide.obligation(obligation), date.fromisoformat(day))
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


def gate(url: str, day: str, file: str, workers: int, obligation: str = "full") -> dict[str, Any]:
    """Verifies the file in that many processes, gathers the evidence from repository and ledger, and judges it."""
    from smki.gate.judging_process import begin_judging
    from smki.kinds import Source
    from smki.kinds.extracts.evidence import extract_evidence, has_rows
    from smki.obligations.user_guide import load_user_guide
    from smki.repository.database import open_engine
    from smki.store.manifest import read_manifest
    from smki.verify.marks import Marks
    from smki.verify.verification import examine_file

    settings, path, engine = Settings.from_environment(), Path(file), open_engine(url)
    source = Source.of(engine, load_user_guide(settings.config), settings)
    judged, manifest = source.guide.obligation(obligation), read_manifest(path)
    with begin_judging() as judge, TemporaryDirectory(prefix="smki-") as folder:
        marks, rows = Marks(Path(folder)), has_rows(judged.kind)
        verification = examine_file(path, source.schema, marks, manifest=manifest, workers=workers, keep_rows=rows)
        begun = time.perf_counter()
        evidence = extract_evidence(source, judged, date.fromisoformat(day), path, verification, marks)
        judgement = judge(evidence, "bench", datetime.now(UTC))
        gate_s = time.perf_counter() - begun
    return {
        "records": verification.records,
        "set_digest": str(verification.set_digest),
        "verdict": judgement.verdict,
        "failed": [f"{result.id}: {result.observed}" for result in judgement.failed],
        "judging_s": judgement.seconds,
        "gate_s": gate_s,  # beyond the verification; Great Expectations is loaded meanwhile, or waited for here
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
    answer(generate, lodge, fill, close, produce, verify, gate, upload, publish)
