"""The two files of the base set: Annex B XML of Organisation and OCA Certificates, one XML to a .gz.

Certificates stand in slot order, each once. The bytes depend on the certificates alone: there is no time in them (the
gzip header's MTIME is 0, which RFC 1952 reads as "none"). Both files are the same but for their WAN providers.
"""

import hashlib
import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from smki.annex_b.reading import decode_body, read_records
from smki.certificates.reading import read_certificate
from smki.kinds.anchors.slots import REGIONAL_SLOT, AnchorSet, Region
from smki.kinds.extracts.rendering import render_head, render_pages, render_tail
from smki.verify.frame import read_single

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
class HeldCertificate:
    """A certificate in a region's file."""

    sha256: bytes  # fingerprint
    serial_number: bytes  # big-endian magnitude
    role: int | None

    @property
    def is_regional(self) -> bool:
        """Whether it may be in one region's file only: it is of the WAN provider (Appendix O 2.3.3 (e), (f))."""
        return self.role == REGIONAL_SLOT.terms.role


def render_region(anchor_set: AnchorSet, region: Region, name: str) -> bytes:
    """The XML of a region's file, which is called `name` (with .gz)."""
    certificates = anchor_set.certificates(region)
    columns = pa.table(
        {
            key: pa.array([getattr(one, "certificate_class" if key == "class" else key) for one in certificates], kind)
            for key, kind in _TYPES.items()
        }
    )
    pages = render_pages(columns, np.zeros(columns.num_rows, np.int64))
    return b"".join([render_head(name.removesuffix(".gz")), *(page.xml for page in pages), render_tail()])


def read_region(file: Path) -> frozenset[HeldCertificate]:
    """What a region's finished file holds. Raises VerificationError, DataError and StoreError for a damaged one."""
    records = read_records(io.BytesIO(read_single(file)), file.name)
    bodies = {decode_body(record.body or "") for record in records}
    return frozenset(
        HeldCertificate(hashlib.sha256(body).digest(), fields.serial_number, fields.role)
        for body in bodies
        for fields in [read_certificate(body)]
    )


def own_certificates(held: Mapping[Region, Collection[HeldCertificate]]) -> dict[Region, list[HeldCertificate]]:
    """What each region's file has and the others have not: each has some, and `is_regional` is true of all of them."""
    shared = frozenset.intersection(*map(frozenset, held.values()))
    return {region: sorted(set(ours) - shared, key=lambda one: one.sha256) for region, ours in held.items()}
