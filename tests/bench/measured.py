"""The measured processes of the publisher; each imports what it needs, so that none pays for another's imports."""

import hashlib
import os
import shutil
import statistics
import struct
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.measuring import answer
from smki.settings import Settings

if TYPE_CHECKING:
    from smki.publish.site import Site
    from smki.store.objects import Store
    from smki.verify.marks import Marks
    from smki.verify.verification import Verification


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


def produce(
    url: str, day: str, folder: str, workers: int, obligation: str = "full", predecessor: str = ""
) -> dict[str, Any]:
    """Plans and produces an extract with that many workers into the store of a folder; not verified.

    `predecessor` is the manifest of an extract in that store; without one all is rendered.
    """
    return asdict(_produce(url, day, _store(folder), workers, obligation, predecessor))


def write(folder: str, manifest: str) -> str:
    """Writes an extract of a folder's store into the folder; the file's path."""
    from smki.store.manifest import get_manifest
    from smki.store.paged_file import PagedFile

    made = get_manifest(_store(folder), manifest)
    PagedFile.stored(_store(folder), made).write(Path(folder) / made.name)
    return str(Path(folder) / made.name)


def verify(file: str) -> dict[str, Any]:
    """`verify_file` in one pass, without the manifest."""
    from smki.verify.verification import verify_file

    verified = verify_file(Path(file), Settings.from_environment().annex_b_xsd)
    return {"records": verified.records, "set_digest": str(verified.set_digest)}


def verify_stored(folder: str, manifest: str, workers: int) -> dict[str, Any]:
    """Verifies an extract of a folder's store page by page in that many processes, as if nobody had."""
    from smki.verify.verification import need_right

    _forget_checks(folder)
    verified = need_right(_examine(folder, manifest, workers)[0])
    return {"records": verified.records, "set_digest": str(verified.set_digest)}


def gate(url: str, day: str, folder: str, manifest: str, workers: int, obligation: str = "full") -> dict[str, Any]:
    """Verifies an extract as `verify_stored` does, gathers the evidence from repository and ledger, and judges it."""
    _forget_checks(folder)
    return _judge(url, day, folder, manifest, workers, obligation)


def renew(
    url: str, day: str, folder: str, predecessor: str, workers: int, site: dict[str, Any] | None
) -> dict[str, Any]:
    """A full extract from its predecessor: plan, produce, verify what is new, judge, publish; with the seconds of each.

    Nothing is published where there is no site.
    """
    begun = time.perf_counter()
    made = _produce(url, day, _store(folder), workers, "full", predecessor)
    produced = time.perf_counter()
    judged = _judge(url, day, folder, made.manifest, workers, "full")
    ended = time.perf_counter()
    verified_s = ended - produced - judged["gate_s"]
    published = publish_stored(url, site, folder, made.manifest, "full") if site else {}
    spent = {"produce_s": produced - begun, "verify_s": verified_s, "publish_s": time.perf_counter() - ended}
    return judged | asdict(made) | published | spent


@dataclass(frozen=True)
class _Made:
    name: str
    records: int
    bytes: int
    xml_bytes: int
    content_digest: str
    manifest: str
    pages: int
    taken_over: int
    rendered_bytes: int  # of the pages that were not taken over


def _produce(url: str, day: str, store: "Store", workers: int, obligation: str, predecessor: str) -> _Made:
    from smki.annex_b.version import CURRENT
    from smki.kinds.extracts import production
    from smki.kinds.extracts.plan import plan_extract
    from smki.obligations.user_guide import load_user_guide
    from smki.repository.database import open_engine
    from smki.store.manifest import get_manifest
    from smki.verify.basis import basis_of

    settings = Settings.from_environment()
    plan = plan_extract(
        open_engine(url),
        load_user_guide(settings.config).obligation(obligation),
        date.fromisoformat(day),
        basis=basis_of(CURRENT, settings.annex_b_xsd),
        predecessor=(predecessor, get_manifest(store, predecessor)) if predecessor else None,
    )
    sha256, manifest = production.produce(url, plan, store, workers=workers)
    new = np.isin(manifest.pages["number"], plan.rendered_pages()) if predecessor else slice(None)
    return _Made(
        name=manifest.name,
        records=manifest.records,
        bytes=manifest.size,
        xml_bytes=manifest.xml_bytes,
        content_digest=manifest.content_digest,
        manifest=sha256,
        pages=len(manifest.pages),
        taken_over=manifest.taken_over,
        rendered_bytes=int(manifest.pages["deflate_bytes"][new].sum()),
    )


def _judge(url: str, day: str, folder: str, manifest: str, workers: int, obligation: str) -> dict[str, Any]:
    from smki.gate.judging_process import begin_judging
    from smki.gate.ledger import record_judgement
    from smki.kinds import Source
    from smki.kinds.extracts.evidence import extract_evidence
    from smki.kinds.extracts.reading import has_rows, read_stored
    from smki.repository.database import open_engine
    from smki.repository.project import Project
    from smki.store.manifest import get_manifest

    source = Source.of(Project(Settings.from_environment(), open_engine(url)))
    judged = source.guide.obligation(obligation)
    with begin_judging() as judge:
        verification, marks = _examine(folder, manifest, workers, keep_rows=has_rows(judged.kind))
        begun = time.perf_counter()
        read = read_stored(_store(folder), get_manifest(_store(folder), manifest), source.schema, verification, marks)
        evidence = extract_evidence(source, judged, date.fromisoformat(day), read)
        judgement = judge(evidence, "bench", datetime.now(UTC))
        gate_s = time.perf_counter() - begun
    record_judgement(source.engine, judgement)
    return {
        "records": verification.records,
        "set_digest": str(verification.set_digest),
        "verdict": judgement.verdict,
        "failed": [f"{result.id}: {result.observed}" for result in judgement.failed],
        "judging_s": judgement.seconds,
        "gate_s": gate_s,  # beyond the verification; Great Expectations is loaded meanwhile, or waited for here
    }


def _examine(folder: str, manifest: str, workers: int, *, keep_rows: bool = False) -> "tuple[Verification, Marks]":
    from smki.store.manifest import get_manifest
    from smki.verify.verification import examine_stored

    store, schema = _store(folder), Settings.from_environment().annex_b_xsd
    return examine_stored(store, get_manifest(store, manifest), schema, workers=workers, keep_rows=keep_rows)


def _store(folder: str) -> "Store":
    from smki.store.objects import Store

    return Store.folder(Path(folder) / "store")


def _forget_checks(folder: str) -> None:
    shutil.rmtree(Path(folder) / "store" / "checked", ignore_errors=True)


def upload(site: dict[str, Any], file: str, name: str) -> float:
    """`upload` of a file into the site's folder; seconds from before the login to after the last answer."""
    from smki.publish.part_writer import upload as upload_file
    from smki.publish.ranges import Range
    from smki.publish.site import open_sftp
    from smki.store.content import SmallFile

    target = _site(site)
    content = SmallFile(name, Path(file).read_bytes())
    begun = time.perf_counter()
    with open_sftp(target) as sftp:
        whole = [Range(0, content.size)]
        upload_file(sftp, content, f"{target.folder}/{name}", whole, lambda _done, _total: None)
    return time.perf_counter() - begun


def publish(site: dict[str, Any], file: str, name: str, sha256: str) -> float:
    """`publish_file`, the whole recipe: upload, sync, read back and hash, rename, look again; seconds likewise."""
    from smki.publish.recipe import publish_file
    from smki.publish.site import open_sftp
    from smki.store.content import SmallFile

    target = _site(site)
    content = SmallFile(name, Path(file).read_bytes())
    begun = time.perf_counter()
    with open_sftp(target) as sftp:
        publish_file(sftp, content, f"{target.folder}/{name}", sha256, lambda _done, _total: None)
    return time.perf_counter() - begun


def take(url: str, folder: str, manifest: str) -> int:
    """Takes over a full extract of a folder's store, as a file, into an empty repository; how many were lodged."""
    from smki.obligations.user_guide import load_user_guide
    from smki.repository.database import open_engine
    from smki.repository.takeover import take_over
    from smki_demo.generator.filling import state_look_alikes

    engine, guide = open_engine(url), load_user_guide(Settings.from_environment().config)
    state_look_alikes(engine)
    file = Path(write(folder, manifest))
    lodged = sum(one.lodged for one in take_over(engine, guide, file, []))
    file.unlink()
    return lodged


def publish_stored(url: str, site: dict[str, Any], folder: str, manifest: str, obligation: str) -> dict[str, Any]:
    """Publishes an extract of a folder's store that the gate has cleared; its bytes, and those that were sent."""
    from smki.kinds.extracts.agreement import expected_digest
    from smki.obligations.user_guide import load_user_guide
    from smki.publish.artefact import Artefact
    from smki.publish.ledger import publish_artefact
    from smki.repository.database import open_engine
    from smki.store.manifest import get_manifest
    from smki.store.paged_file import PagedFile

    engine, made = open_engine(url), get_manifest(_store(folder), manifest)
    content = PagedFile.stored(_store(folder), made)
    guide = load_user_guide(Settings.from_environment().config)
    artefact = Artefact(
        obligation=obligation,
        name=made.name,
        business_date=made.business_date,
        window_seq=made.window_seq,
        bytes=made.size,
        sha256=content.sha256(),
        content_digest=made.content_digest,
        xml_bytes=made.xml_bytes,
        records=made.records,
        set_digest=expected_digest(engine, guide.obligation(obligation).kind, made.business_date),
        run="bench",
        verified_at=datetime.now(UTC),
        manifest=manifest,
    )
    published = publish_artefact(engine, _site(site), artefact, content, "bench", lambda _done, _total: None)
    return {"bytes": made.size, "sent_bytes": published.sent_bytes}


def audit(url: str, site: dict[str, Any], folder: str) -> int:
    """Looks at a site as the auditor does; how many pages it read back."""
    from smki.obligations.user_guide import load_user_guide
    from smki.repository.database import open_engine
    from smki.watch.auditor import audit_site

    settings = Settings.from_environment()
    guide, most = load_user_guide(settings.config), settings.audit_bytes_a_day
    return audit_site(open_engine(url), _store(folder), _site(site), guide, datetime.now(UTC), bytes_a_day=most).pages


def publish_index(url: str, site: dict[str, Any], folder: str, signer: dict[str, str]) -> None:
    """Publishes the index of what a site offers, signed by a key of these settings."""
    from smki.kinds.index import publishing
    from smki.kinds.index.signing import load_signer
    from smki.obligations.user_guide import load_user_guide
    from smki.repository.database import open_engine

    os.environ.update(signer)
    settings = Settings.from_environment()
    signs, guide = load_signer(settings), load_user_guide(settings.config)
    assert signs is not None
    publishing.publish_index(open_engine(url), _store(folder), _site(site), guide, signs, lambda: datetime.now(UTC))


def copy(site: dict[str, Any], folder: str, into: str = "copy.sqlite", signer: str = "") -> str:
    """Makes a Party's copy of what a site offers, as `smki sync` does; the set digest of what is in use in it.

    `signer` is the file of the certificate that is pinned; without one by names and sizes.
    """
    from smki.party.copy import LocalCopy
    from smki.party.signed_index import load_signers
    from smki.party.synchronising import Wish, synchronise

    path = Path(folder) / into
    synchronise(_site(site), path, Wish(load_signers([Path(signer)]) if signer else ()))
    with LocalCopy(path, read_only=True) as made:
        return str(made.in_use)


def find(folder: str) -> dict[str, float]:
    """Looks certificates of a Party's copy up, each by what identifies it; ms that a question lasts."""
    from smki.party.copy import LocalCopy
    from smki.party.lookup import Question
    from smki.party.lookup import find as find_held

    lasted = []
    with LocalCopy(Path(folder) / "copy.sqlite", read_only=True) as held:
        ((last,),) = held.read("SELECT max(id) FROM certificate_body", ())
        query = "SELECT eui64, serial_number, sha256, body FROM certificate WHERE id >= ? LIMIT 1"
        for place in range(1, last, max(1, last // 100)):
            ((eui64, serial, sha256, body),) = held.read(query, (place,))
            sha1 = hashlib.sha1(body, usedforsecurity=False).digest()
            for question in (
                Question(eui64=eui64),
                Question(serial_number=serial),
                Question(sha1=sha1),
                Question(sha256=sha256),
            ):
                begun = time.perf_counter()
                found = find_held(held, question, 21)
                lasted.append((time.perf_counter() - begun) * 1000)
                if body not in [one.body for one in found]:
                    raise LookupError(f"{question} does not find certificate {place}")
    return {"median_ms": statistics.median(lasted), "most_ms": max(lasted), "questions": len(lasted)}


def _site(stated: dict[str, Any]) -> "Site":
    from smki.publish.site import Site

    return Site(**stated | {"key_file": Path(stated["key_file"])})


if __name__ == "__main__":
    answer(
        *(generate, lodge, fill, close, produce, write, verify, verify_stored, gate, renew, upload, publish),
        *(take, publish_stored, publish_index, audit, copy, find),
    )
