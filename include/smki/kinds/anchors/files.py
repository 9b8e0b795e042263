"""The two files of the base set: Annex B XML of Organisation and OCA Certificates, one XML to a .gz.

Certificates stand in slot order, each once. The octets depend on the certificates alone: there is no time in them (the
gzip header's MTIME is 0, which RFC 1952 reads as "none").
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from smki.annex_b.reading import decode_body, read_records
from smki.certificates.model import CertificateFields
from smki.certificates.reading import read_certificate
from smki.certificates.set_digest import SetDigest
from smki.kinds.anchors.problems import Problem, slot_error
from smki.kinds.anchors.slots import REGIONAL_SLOT, AnchorCertificate, AnchorSet, Region
from smki.kinds.extracts.rendering import render_head, render_records, render_tail
from smki.store.gzip_writer import write_single
from smki.verify.faults import Fault, FaultError
from smki.verify.frame import read_single
from smki.verify.verification import verify_file

NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_TYPES = {
    "class": pa.string(),
    "serial_number": pa.binary(),
    "eui64": pa.binary(),
    "common_name": pa.string(),
    "role": pa.int16(),
    "usage": pa.string(),
    "manufacturing": pa.bool_(),
    "body": pa.binary(),
    "status": pa.string(),
}


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """Facts of a file that was written and verified."""

    bytes: int
    sha256: str  # of the file, hex
    content_digest: str  # SHA-256 of what a .gz holds, or of the file itself; hex
    content_bytes: int
    records: int
    set_digest: SetDigest


def render_region(anchor_set: AnchorSet, region: Region, name: str) -> bytes:
    """The XML of a region's file, which is called `name` (with .gz)."""
    rows = [_row(certificate) for certificate in anchor_set.certificates(region)]
    columns = pa.table({key: pa.array([row[key] for row in rows], kind) for key, kind in _TYPES.items()})
    return b"".join([render_head(name.removesuffix(".gz")), *map(bytes, render_records(columns)), render_tail()])


def write_region(anchor_set: AnchorSet, region: Region, file: Path, schema: Path) -> WrittenFile:
    """Writes a region's file, and verifies it from its own octets.

    Raises PlanError, StagingError, VerificationError.
    """
    written = write_single(file, render_region(anchor_set, region, file.name), NO_TIME)
    verified = verify_file(file, schema)
    expected = SetDigest.of(certificate.body for certificate in anchor_set.certificates(region))
    if verified.set_digest != expected:
        raise FaultError(
            Fault.CONTENT,
            file.name,
            f"it holds set digest {verified.set_digest} and the configuration says {expected}.",
        )
    return WrittenFile(
        bytes=written.bytes,
        sha256=written.sha256,
        content_digest=written.content_digest,
        content_bytes=written.content_bytes,
        records=verified.records,
        set_digest=verified.set_digest,
    )


def own_certificates(files: Mapping[Region, Path]) -> dict[Region, list[CertificateFields]]:
    """What each region's finished file has and the others have not. Raises VerificationError for a damaged file."""
    held = {region: _bodies(file) for region, file in files.items()}
    shared = frozenset.intersection(*held.values())
    return {region: [read_certificate(body) for body in sorted(held[region] - shared)] for region in files}


def check_regions(files: Mapping[Region, Path]) -> None:
    """Compares finished files: what one region has and the other has not is of the WAN provider, and each has some.

    Raises AnchorSlotError with every other difference, VerificationError for a damaged file.
    """
    problems = []
    for region, own in own_certificates(files).items():
        file = files[region]
        if not own:
            problems.append(Problem(file.name, "it has no WAN provider of its own.", "state it in anchor_slots.toml."))
        problems += [
            Problem(
                f"{file.name}, certificate {fields.serial_number.hex().upper()}",
                "only this region has it, and regions differ in the WAN provider slot and nowhere else "
                "(Appendix O 2.3.3 (e), (f)).",
                "find out which of the two files is not made from anchor_slots.toml.",
            )
            for fields in own
            if fields.role != REGIONAL_SLOT.terms.role
        ]
    if problems:
        raise slot_error("the two regions' files", problems)


def digest_of(content: bytes) -> str:
    """SHA-256, hex."""
    return hashlib.sha256(content).hexdigest()


def _bodies(file: Path) -> frozenset[bytes]:
    records = read_records(io.BytesIO(read_single(file)), file.name)
    return frozenset(decode_body(record.body or "") for record in records)


def _row(certificate: AnchorCertificate) -> dict[str, object]:
    return {
        "class": certificate.certificate_class,
        "serial_number": certificate.serial_number,
        "eui64": certificate.eui64,
        "common_name": certificate.common_name,
        "role": certificate.role,
        "usage": certificate.usage,
        "manufacturing": certificate.manufacturing,
        "body": certificate.body,
        "status": certificate.status,
    }
