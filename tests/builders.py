"""What tests build with: days and windows, certificates with quirks, files as others would make them."""

import gzip
import hashlib
import io
import resource
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from cryptography import x509
from lxml import etree
from sqlalchemy import Engine, text

from smki.annex_b.reading import Record, decode_body, pybase64
from smki.annex_b.version import V1, AnnexB
from smki.certificates.batch_reading import BatchReader
from smki.certificates.model import CertificateClass, Status
from smki.certificates.names import comparable_name
from smki.certificates.reading import read_certificate
from smki.certificates.set_digest import SetDigest
from smki.gate.ledger import record_judgement
from smki.gate.model import Judgement
from smki.kinds.extracts.plan import plan_extract
from smki.kinds.extracts.production import produce
from smki.kinds.extracts.rendering import render_pages
from smki.obligations.catalogue import Obligation
from smki.publish.artefact import Artefact
from smki.repository.authorities import TrustedRoot, UncheckedIssuer, state_unchecked_issuers, trust_roots
from smki.repository.database import libpq_url
from smki.repository.lodging import LodgingReport, lodge
from smki.repository.offers import Lodgement
from smki.repository.status import CertificateReference, StatusChange, set_statuses
from smki.settings import INCLUDE
from smki.store.manifest import Frame, Manifest, put_manifest
from smki.store.objects import Store
from smki.store.paged_file import PagedFile
from smki.store.pages import PAGE, PAGES_2, PageFormat, Pages, PageXml, write_segment
from smki.verify.basis import basis_of
from smki_demo.generator import volume
from smki_demo.generator.pki import Authority, Pki, organisations
from smki_demo.generator.volume import volume_bodies

XSD = INCLUDE / "schema" / V1.schema
DAILY_DELTA, FULL_EXTRACT = "smki_daily_delta", "smki_full_extract"
REVOCATION_LISTS, ANCHOR_SLOTS = "smki_revocation_lists", "smki_anchor_slots"
_SUNDAY = date(2025, 6, 1)  # so that window 7, 14 … ends on a day on which a full extract is due


def day(window: int) -> date:
    """The business date of a window; the first one is 1."""
    return _SUNDAY + timedelta(days=window)


def cut_off(business_date: date) -> datetime:
    """Midnight, as the shipped user guide says."""
    return datetime.combine(business_date, time(), UTC)


def during(window: int, hour: float = 12) -> datetime:
    """An instant inside a window, hours after it opens."""
    return cut_off(day(window)) - timedelta(hours=24 - hour)


def look_alikes(count: int, seed: int = 1) -> list[bytes]:
    """Device Certificates (DER) that nobody signed."""
    return list(_look_alikes(count, seed))


@cache
def _look_alikes(count: int, seed: int) -> tuple[bytes, ...]:
    return tuple(body for batch in volume_bodies(count, seed=seed) for body in batch.to_pylist()) if count else ()


def lodge_bodies(
    engine: Engine, bodies: Iterable[bytes], at: datetime | None = None, status: Status = Status.IN_USE
) -> LodgingReport:
    return lodge(engine, [Lodgement(body, "test", status, recorded_at=at) for body in bodies])


def have_not(engine: Engine, of_class: CertificateClass, *issuers: x509.Name) -> None:
    """States that the certificates of these issuers cannot be had."""
    stated = [UncheckedIssuer(issuer.public_bytes(), of_class, "test") for issuer in issuers]
    state_unchecked_issuers(engine, stated)


def have_not_issuers(engine: Engine, bodies: Iterable[bytes]) -> Counter[bytes]:
    """States the issuers of end entities as ones that cannot be had; how many of them each has, by comparable Name."""
    counts: Counter[bytes] = Counter()
    stated: dict[bytes, UncheckedIssuer] = {}
    for body in bodies:
        fields = read_certificate(body)
        signer = CertificateClass.DCA if fields.certificate_class is CertificateClass.DEVICE else CertificateClass.OCA
        counts[comparable := comparable_name(fields.issuer)] += 1
        stated[comparable] = UncheckedIssuer(fields.issuer, signer, "test")
    state_unchecked_issuers(engine, list(stated.values()))
    return counts


def trust_pki(engine: Engine, pki: Pki) -> None:
    """Trusts a PKI whose authorities need not be lodged, and look-alikes, for tests of something else."""
    trust_roots(engine, pki.trusted_roots)
    have_not(engine, CertificateClass.OCA, pki.root_oca.name, pki.issuing_oca.name)
    have_not(engine, CertificateClass.DCA, pki.root_dca.name, pki.issuing_dca.name, volume.ISSUER)


def trust(engine: Engine, of_class: CertificateClass, *roots: bytes) -> None:
    """States CA certificates (DER) as trusted roots."""
    trust_roots(engine, [TrustedRoot(hashlib.sha256(root).digest(), of_class) for root in roots])


@dataclass(frozen=True)
class Nameless:
    """A PKI whose CA names say nothing: roots Z0 and Y0, under the first of which two keys sign by one name."""

    valid_from: datetime
    root_oca: Authority
    root_dca: Authority
    first: Authority  # Z1, under the OCA root
    second: Authority  # Z1 again, with another key
    device: Authority  # ODCA1, under the DCA root

    @classmethod
    def create(cls, valid_from: datetime) -> "Nameless":
        root_oca, root_dca = Authority.root("Z0", valid_from), Authority.root("Y0", valid_from)
        first, second = root_oca.issuing("Z1", valid_from), root_oca.issuing("Z1", valid_from)
        return cls(valid_from, root_oca, root_dca, first, second, root_dca.issuing("ODCA1", valid_from))

    @property
    def authorities(self) -> list[bytes]:
        return [one.der for one in (self.root_oca, self.root_dca, self.first, self.second, self.device)]

    def issued_by(self, oca: Authority) -> list[bytes]:
        """Certificates of all Organisations by one of the two keys, and of a Device."""
        pki = Pki(self.root_oca, oca, self.root_dca, self.device)
        return [*organisations(pki, self.valid_from), *pki.device_certificates(b"\x02DEV\0\0\0\1", self.valid_from)]


def reference(body: bytes) -> CertificateReference:
    fields = read_certificate(body)
    return CertificateReference(fields.serial_number, fields.issuer)


def change(engine: Engine, bodies: Iterable[bytes], status: Status, at: datetime | None = None) -> int:
    return set_statuses(engine, [StatusChange(reference(body), status, "test", at) for body in bodies])


def state_as_of(engine: Engine, seq: int) -> dict[bytes, str]:
    """Every certificate that windows 1 … seq know, with its status then: plainly, from the events."""
    query = text(
        """
        SELECT c.body, e.status FROM certificate c
        JOIN (SELECT DISTINCT ON (certificate_id) certificate_id, status FROM status_event
              WHERE window_seq <= :seq ORDER BY certificate_id, id DESC) e ON e.certificate_id = c.id
        ORDER BY c.id
        """
    )
    with engine.connect() as connection:
        return {body: status for body, status in connection.execute(query, {"seq": seq})}  # noqa: C416  # rows, typed


def in_use(state: dict[bytes, str]) -> list[bytes]:
    return [body for body, status in state.items() if status == "I"]


def cleared(engine: Engine, artefact: Artefact) -> Artefact:
    """The artefact, once the gate has passed it: without that nothing is published."""
    judgement = made_judgement(
        artefact.obligation,
        artefact.name,
        artefact.business_date,
        artefact.sha256,
        subject=artefact.subject,
        bytes=artefact.bytes,
        run=artefact.run,
        judged_at=artefact.verified_at,
    )
    record_judgement(engine, judgement)
    return artefact


def made_judgement(obligation: str, name: str, business_date: date, sha256: str, **facts: Any) -> Judgement:
    """A judgement of which only what is stated matters; the file passes unless `results` say otherwise."""
    usual = {
        "bytes": 1,
        "run": "test",
        "judged_at": cut_off(business_date),
        "suite_version": "test",
        "results": (),
        "figures": (),
        "seconds": 0.1,
    }
    return Judgement(obligation, name, business_date, sha256=sha256, **usual | facts)


def made_artefact(obligation: str, name: str, business_date: date, sha256: str = "", **facts: Any) -> Artefact:
    """An artefact of which only what is stated matters."""
    usual = {
        "window_seq": None,
        "bytes": 1,
        "content_digest": sha256,
        "xml_bytes": 1,
        "records": 1,
        "set_digest": SetDigest(),
        "run": "test",
        "verified_at": cut_off(business_date),
    }
    return Artefact(obligation, name, business_date, sha256=sha256, **usual | facts)


def stored_artefact(store: Store, manifest: Manifest) -> Artefact:
    """The artefact of an extract, whose manifest is put into the store that its pages are in."""
    return made_artefact(
        manifest.obligation,
        manifest.name,
        manifest.business_date,
        PagedFile.stored(store, manifest).sha256(),
        window_seq=manifest.window_seq,
        bytes=manifest.size,
        content_digest=manifest.content_digest,
        xml_bytes=manifest.xml_bytes,
        records=manifest.records,
        manifest=put_manifest(store, manifest),
    )


SMALL_PAGES = PageFormat(2, certificates=4, pages=4)  # so that few certificates make many pages and segments
XML_NAME = "SMKIKR_FULL_2025-06-08.xml"


def produced(
    engine: Engine,
    terms: Obligation,
    business_date: date,
    folder: Path,
    *,
    workers: int = 1,
    page_format: PageFormat = PAGES_2,
) -> tuple[Path, Manifest]:
    """An extract of a closed window, from scratch, with its manifest; the store lies beside it."""
    basis = basis_of(V1, XSD)
    plan = plan_extract(engine, terms, business_date, basis=basis, page_format=page_format)
    return written(folder, produce(libpq_url(engine), plan, store_in(folder), workers=workers)[1])


@contextmanager
def full_disk() -> Iterator[None]:
    """Within it, this process can write nothing more into any file, as on a disk without room."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, usual[1]))  # Python ignores the signal: it is an error of the write
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


def store_in(folder: Path) -> Store:
    """The store of a test."""
    return Store.folder(folder / "store")


def written(folder: Path, manifest: Manifest) -> tuple[Path, Manifest]:
    """A file of the store of a test, on the disk."""
    PagedFile.stored(store_in(folder), manifest).write(folder / manifest.name)
    return folder / manifest.name, manifest


def records_of(file: Path, annex_b: AnnexB = V1) -> list[Record]:
    """The records of an extract, read by means that share nothing with the publisher's."""
    with gzip.open(file) as stream:
        root = etree.fromstring(stream.read())
    return [
        Record(*(record.findtext(tag) for tag in annex_b.field_tags))
        for record in root.iter(annex_b.tag(annex_b.record))
    ]


def contents_of(file: Path) -> dict[bytes, str]:
    """Bodies (DER) and statuses of an extract, which holds each certificate once."""
    records = records_of(file)
    contents = {decode_body(record.body or ""): record.status or "" for record in records}
    assert len(contents) == len(records)
    return contents


def columns_of(bodies: Sequence[bytes], status: str = "I") -> pa.Table:
    """Certificates as `read_columns` gives them."""
    read = BatchReader().read(pa.array(bodies, pa.binary()))
    fields = [read.profiles[profile] for profile in read.profile]
    columns = {
        "class": pa.array([f.certificate_class or CertificateClass.OCA for f in fields], pa.string()),
        "serial_number": read.serial_numbers,
        "eui64": read.eui64s,
        "common_name": pa.array([f.common_name for f in fields], pa.string()),
        "role": pa.array([f.role for f in fields], pa.int16()),
        "usage": pa.array([f.usage for f in fields], pa.string()),
        "manufacturing": pa.array([False] * len(fields), pa.bool_()),
        "body": pa.array(bodies, pa.binary()),
        "status": pa.array([status] * len(fields), pa.string()),
    }
    return pa.table(columns)


def rendered(bodies: Sequence[bytes], status: str = "I", annex_b: AnnexB = V1) -> bytes:
    """Certificates as our own files hold them."""
    columns = columns_of(bodies, status)
    return b"".join(page.xml for page in render_pages(columns, np.zeros(columns.num_rows, np.int64), annex_b))


def assembled(
    folder: Path, xml: Sequence[bytes], name: str = f"{XML_NAME}.gz", annex_b: AnnexB = V1
) -> tuple[Path, Manifest]:
    """A file of our own make with this XML as head, pages and tail, and a manifest that tells the truth about them.

    Each page is a segment and a unit of its own; an empty one is none.
    """
    head, *pieces, tail = xml
    pages = [
        PageXml(number, piece.count(annex_b.record_end), memoryview(piece))
        for number, piece in enumerate(filter(None, pieces))
    ]
    return written(folder, stored(store_in(folder), [[page] for page in pages], (head, tail), name, annex_b))


def stored(
    store: Store,
    segments: Iterable[Sequence[PageXml]],
    frame: tuple[bytes, bytes] = (b"", b""),
    name: str = f"{XML_NAME}.gz",
    annex_b: AnnexB = V1,
) -> Manifest:
    """An extract in the store: segments with these pages, XML as head and tail, and a manifest that tells the truth."""
    found = [write_segment(store, pages) for pages in segments]
    for number, segment in enumerate(found):
        segment.pages["segment"] = number
    pages = np.concatenate([np.empty(0, PAGE), *(segment.pages for segment in found)])
    sizes = tuple(len(segment.pages) for segment in found)
    return manifest_of(
        pages[np.argsort(pages["number"])],
        page_format=PageFormat(2, pages=max(sizes, default=1)),
        name=name,
        format=annex_b,
        basis=basis_of(annex_b, XSD),
        head=Frame.of(frame[0]),
        tail=Frame.of(frame[1]),
        segments=tuple(segment.sha256 for segment in found),
        sizes=sizes,
    )


def manifest_of(pages: Pages, **facts: Any) -> Manifest:
    """The manifest of a full extract of window 7 with these pages; `facts` say what else is to be in it."""
    made_up: dict[str, Any] = {
        "page_format": PageFormat(2, pages=1),
        "format": V1,
        "obligation": "full",
        "statuses": "I",
        "name": f"{XML_NAME}.gz",
        "business_date": day(7),
        "cutoff": cut_off(day(7)),
        "window_seq": 7,
        "basis": "",
        "predecessor": "",
        "taken_over": 0,
        "head": Frame.of(b"<head>"),
        "tail": Frame.of(b"</tail>"),
        "segments": (),
        "sizes": (),
        "pages": pages,
    }
    return Manifest(**made_up | facts)


def record_of(body: bytes, status: str = "I") -> Record:
    """The Annex B record of a certificate."""
    fields = read_certificate(body)
    name = fields.eui64.hex("-").upper() if fields.eui64 else fields.common_name
    is_device = fields.certificate_class == "DEVICE"
    return Record(
        subject_name=None if is_device else name,
        subject_alt_name=name if is_device else None,
        serial=fields.serial_number.hex().upper(),
        status=status,
        body=pybase64.b64encode(body).decode(),
        role=None if fields.role is None else str(fields.role),
        usage=fields.usage,
        manufacturing="false",
    )


def document(records: Sequence[Record], *, pretty: bool = False, annex_b: AnnexB = V1, prefix: str = "") -> bytes:
    """An Annex B document as somebody else's program would write it; `prefix` stands for the namespace, if there is."""
    names = {prefix or None: annex_b.namespace} if annex_b.namespace else None
    root = etree.Element(annex_b.tag(annex_b.root), nsmap=names)
    for name, value in annex_b.head_texts("by others.xml"):
        etree.SubElement(root, annex_b.tag(name)).text = value
    for record in records:
        element = etree.SubElement(root, annex_b.tag(annex_b.record))
        for one in annex_b.elements:
            if (value := getattr(record, one.field)) is not None:
                etree.SubElement(element, annex_b.tag(one.name)).text = value
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=pretty)


def zipped(folder: Path, xml: bytes, name: str = "SMKIKR_DELT_2025-06-02.xml.gz") -> Path:
    """A .gz by Python's gzip, its FNAME the file's name without .gz."""
    stream = io.BytesIO()
    with gzip.GzipFile(name.removesuffix(".gz"), "wb", 1, stream, mtime=0) as out:
        out.write(xml)
    file = folder / name
    file.write_bytes(stream.getvalue())
    return file
