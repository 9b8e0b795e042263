"""A repository with ten weeks behind it, its ledger, and what the gate says of files that are made from it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Engine, text

from builders import (
    XSD,
    change,
    cut_off,
    day,
    during,
    lodge_bodies,
    look_alikes,
    made_artefact,
    made_judgement,
    produced,
    reference,
    store_in,
    trust_pki,
    written,
)
from smki.certificates.model import Role, Status
from smki.certificates.reading import read_certificate
from smki.certificates.set_digest import SetDigest
from smki.gate.bounds import BandRule, Quality, load_quality
from smki.gate.evidence import Evidence
from smki.gate.judging import judge
from smki.gate.ledger import record_judgement
from smki.gate.model import Judgement
from smki.kinds import Source
from smki.kinds.anchors.evidence import file_evidence
from smki.kinds.anchors.production import load_anchor_set, produce_set
from smki.kinds.anchors.slots import AnchorSet
from smki.kinds.evidence import gather_evidence
from smki.kinds.extracts.evidence import extract_evidence
from smki.kinds.extracts.reading import ReadExtract, has_rows, read_file, read_stored
from smki.kinds.revocation.file import newest_list
from smki.kinds.revocation.lodging import LodgedList, lodge_revocation_lists
from smki.obligations.catalogue import Obligation, UserGuide
from smki.publish.ledger import record_artefact, record_publication
from smki.publish.recipe import PublishedFile
from smki.repository.offers import RevocationListOffer
from smki.repository.windows import close_windows
from smki.settings import INCLUDE
from smki.store.gzip_writer import write_single
from smki.store.manifest import Manifest, manifest_path, write_manifest
from smki.store.objects import Store
from smki.store.pages import PageFormat
from smki.verify.verification import examine_stored
from smki_demo.generator.anchor_slots import write_anchor_slots
from smki_demo.generator.pki import Pki
from smki_demo.generator.revocation import ARL_VALIDITY, CRL_VALIDITY, Revoked, revocation_list

LISTS = ("arl", "crl")
TODAY = day(70)  # a Sunday: a full extract and a delta are due
NOW = cut_off(TODAY) + timedelta(hours=2)
PAGES = PageFormat(2, certificates=24, pages=2)
_LIVELY = range(50, 71)  # windows in which something happens; the deltas of 60 … 69 are published
_VOLUME = BandRule(spread=8.0, least_percent=20.0, floor=5, young_percent=400.0)


class Stage(StrEnum):
    """How far window 70 has come."""

    OPEN = "open"
    CLOSED = "closed"


def small_quality() -> Quality:
    """The shipped bounds, with floors for a repository of a hundred certificates."""
    shipped = load_quality(INCLUDE / "config")
    changed = {
        "full": shipped.full.model_copy(update={"shrink_floor": 8, "growth_floor": 40}),
        "delta": shipped.delta.model_copy(update={"volume": _VOLUME, "few_floor": 1, "status_floor": 5}),
        "extract": shipped.extract.model_copy(update={"least_records": 5}),
    }
    return shipped.model_copy(update=changed)


@dataclass(frozen=True)
class Extract:
    """A file, and what it is to be."""

    obligation: str
    file: Path
    manifest: Manifest | None = None  # none: it is read as `smki gate judge FILE` reads a file of others
    store: Store | None = None  # where its pages lie, for a DAG to read; none: the file is read
    business_date: date = TODAY


WAYS: dict[str, Callable[[Extract], Extract]] = {  # to read one that lies in the store
    "in the store": lambda extract: extract,
    "with its manifest": lambda extract: replace(extract, store=None),
    "alone": lambda extract: replace(extract, store=None, manifest=None),
}


@dataclass(frozen=True)
class World:
    """A repository, the PKI behind it, and a folder for files."""

    engine: Engine
    guide: UserGuide
    pki: Pki
    folder: Path
    quality: Quality
    made: dict[Any, Any] | None = None  # files that were made before, where the repository never changes

    @property
    def source(self) -> Source:
        return Source(self.engine, self.guide, self.quality, XSD, self.folder / "anchor_slots.toml")

    def sql(self, statement: str, **values: object) -> int:
        """Runs a statement behind the rules; returns how many rows it touched, which has to be more than none."""
        with self.engine.begin() as connection:
            touched = connection.execute(text(statement), values).rowcount
        assert touched
        return touched

    def column(self, query: str, **values: object) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(query), values).scalars())

    def event(self, certificate_id: int, status: str, window: int | None = None) -> None:
        """Writes an event behind the rules, into a closed window or for the next one."""
        self.sql(
            "INSERT INTO status_event (certificate_id, status, reason, recorded_at, window_seq) "
            "VALUES (:id, :status, 'by hand', :at, :window)",
            id=certificate_id,
            status=status,
            at=during(window or 70),
            window=window,
        )

    def close(self, window: int) -> None:
        close_windows(self.engine, day(window), cut_off)

    def produce(self, obligation: str, window: int = 70) -> Extract:
        """The extract of a window, by the real pipeline."""
        terms = self.guide.obligation(obligation)
        file = self.folder / terms.file_name(day(window))
        if self.made is not None and (obligation, window) in self.made:
            data, manifest, store = self.made[obligation, window]
            file.write_bytes(data)
            return Extract(obligation, file, manifest, store, day(window))
        _, manifest = produced(self.engine, terms, day(window), self.folder, page_format=PAGES)
        store = store_in(self.folder)
        if self.made is not None:
            self.made[obligation, window] = file.read_bytes(), manifest, store
        return Extract(obligation, file, manifest, store, day(window))

    def write(self, obligation: str, manifest: Manifest) -> Extract:
        """An extract that lies in this folder's store, as a file."""
        return Extract(obligation, written(self.folder, manifest)[0], manifest, store_in(self.folder))

    def newest_list(self, obligation: str) -> LodgedList:
        lodged = newest_list(self.engine, self.guide.obligation(obligation))
        assert lodged is not None
        return lodged

    def list_file(self, obligation: str, body: bytes | None = None) -> Path:
        """The newest list of its kind as a file, or these bytes in its place."""
        lodged = self.newest_list(obligation)
        file = self.folder / self.guide.obligation(obligation).file
        write_single(file, lodged.body if body is None else body, lodged.this_update)
        return file

    def lodge_list(self, body: bytes, at: datetime) -> None:
        report = lodge_revocation_lists(self.engine, [RevocationListOffer(body, "test")], at, at)
        assert not report.refusals, report.refusals

    @contextmanager
    def reading(self, extract: Extract, obligation: Obligation | None = None) -> Iterator[ReadExtract]:
        """An extract of that obligation, else of the guide's, read in its way."""
        kind = (obligation or self.guide.obligation(extract.obligation)).kind
        if extract.manifest is not None and extract.store is not None:
            found = examine_stored(extract.store, extract.manifest, XSD, keep_rows=has_rows(kind))
            yield read_stored(extract.store, extract.manifest, XSD, *found)
            return
        if extract.manifest is None:
            manifest_path(extract.file).unlink(missing_ok=True)
        else:
            write_manifest(extract.file, extract.manifest)
        with read_file(extract.file, kind, XSD) as read:
            yield read

    def evidence(self, extract: Extract) -> Evidence:
        with self.reading(extract) as read:
            return self.evidence_of(extract, read)

    def gather(self, obligation: str, file: Path, day: date = TODAY, now: datetime = NOW) -> Evidence:
        """The evidence on a file as `smki gate judge FILE` gathers it."""
        return gather_evidence(self.source, self.guide.obligation(obligation), day, file, now)

    def evidence_of(self, extract: Extract, read: ReadExtract) -> Evidence:
        """The evidence on an extract that has been examined."""
        return extract_evidence(self.source, self.guide.obligation(extract.obligation), extract.business_date, read)

    def judged(self, extract: Extract) -> Judgement:
        """The judgement; of an extract that lies in the store, the same checks trip for its file with its manifest."""
        judgement = judge(self.evidence(extract), "test", NOW)
        if extract.store is not None:
            of_file = self.judged(replace(extract, store=None))
            assert {one.id for one in of_file.failed} == {one.id for one in judgement.failed}
        return judgement

    def judged_list(self, obligation: str, file: Path, now: datetime = NOW) -> Judgement:
        return judge(self.gather(obligation, file, now=now), "test", now)

    def anchors(self) -> AnchorSet:
        """The set that the repository's certificates make; its four files are in the folder."""
        if self.made is not None and "anchors" in self.made:
            anchor_set, files = self.made["anchors"]
            for name, data in files.items():
                (self.folder / name).write_bytes(data)
            return cast("AnchorSet", anchor_set)
        write_anchor_slots(self.engine, self.folder / "anchor_slots.toml")
        anchor_set = load_anchor_set(self.engine, self.folder / "anchor_slots.toml", NOW)
        produced_files = produce_set(anchor_set, self.guide, self.folder)
        if self.made is not None:
            files = {one.name: (self.folder / one.name).read_bytes() for one in produced_files}
            self.made["anchors"] = anchor_set, files
        return anchor_set

    def anchor_file(self, obligation: str) -> Path:
        return self.folder / self.guide.obligation(obligation).file

    def judged_anchor(self, obligation: str, anchor_set: AnchorSet, file: Path | None = None) -> Judgement:
        """The judgement of a file of the set, which lies in the folder with the others."""
        file = file or self.anchor_file(obligation)
        evidence = file_evidence(self.source, self.guide.obligation(obligation), file, anchor_set, TODAY)
        return judge(evidence, "test", NOW)

    def publish(self, evidence: Evidence, *, window: int | None = None, digest: str = str(SetDigest())) -> None:
        """Puts a file into the ledger: judged, passed and published."""
        at = cut_off(evidence.business_date) + timedelta(hours=3)
        about = evidence.obligation.name, evidence.name, evidence.business_date, evidence.sha256
        judgement = made_judgement(*about, bytes=evidence.bytes, judged_at=at, figures=evidence.figures)
        number = record_judgement(self.engine, judgement)
        artefact = made_artefact(
            *about,
            window_seq=window,
            bytes=evidence.bytes,
            set_digest=SetDigest.parse(digest),
            version=number if evidence.obligation.name in LISTS else None,
        )
        published = PublishedFile(f"/{evidence.name}", evidence.bytes, evidence.sha256, already_there=False)
        with self.engine.begin() as connection:
            record_artefact(connection, artefact)
            record_publication(connection, "primary", evidence.name, published, "test")

    def publish_extract(self, obligation: str, window: int) -> None:
        evidence = self.evidence(self.produce(obligation, window))
        digest = str(evidence.table("file")["set_digest"].iloc[0])
        self.publish(evidence, window=window, digest=digest)

    def publish_list(self, obligation: str, now: datetime) -> None:
        self.publish(self.gather(obligation, self.list_file(obligation), now=now))


_NUMBER = count(1)


def lived(world: World, signed: list[bytes]) -> None:
    """Fills an empty repository: 69 closed windows, what happened in the 70th, and what was published before.

    Window 70 changes ten certificates: five enter status I, one comes back to it, and one each is pending, not in use,
    expired and revoked.
    """
    engine = world.engine
    trust_pki(engine, world.pki)
    lodge_bodies(engine, [*signed, *look_alikes(60)], during(1))
    suppliers = [body for body in signed if read_certificate(body).role == Role.SUPPLIER]
    before = look_alikes(60)
    for window in _LIVELY:
        fresh = look_alikes(5, seed=window)
        lodge_bodies(engine, fresh, during(window))
        change(engine, before[:1], Status.NOT_IN_USE, during(window))
        if window == 70:
            change(engine, before[1:2], Status.EXPIRED, during(window))
            lodge_bodies(engine, look_alikes(1, seed=1000), during(window), Status.PENDING)
            change(engine, look_alikes(5, seed=68)[:1], Status.IN_USE, during(window))
        if window >= 68:
            _issue_lists(world, window, suppliers[: window - 67])
        if window < 70:
            world.close(window)
        if 60 <= window < 70:
            world.publish_extract("delta", window)
        if window in (68, 69):
            for obligation in LISTS:
                world.publish_list(obligation, during(window, 13))
        before = fresh
    for window in range(7, 70, 7):
        world.publish_extract("full", window)


def _issue_lists(world: World, window: int, revoked: list[bytes]) -> None:
    """List number 1 in window 68 … 3 in window 70; the ARL has entries of authorities that were never lodged."""
    at, number = during(window), window - 67
    entries = [Revoked(reference(body).serial_number, at) for body in revoked]
    world.lodge_list(revocation_list(world.pki.issuing_oca, number, at, at + CRL_VALIDITY, entries), at)
    gone = [Revoked(bytes([serial]) * 16, at) for serial in range(1, 16)]
    world.lodge_list(revocation_list(world.pki.root_oca, number, at, at + ARL_VALIDITY, gone), at)
