"""Produces the whole set: two files, the document and its table, all from one checked configuration.

Either all four are there or the call raises: there is never half a set. Whether each is as its rules want it is for the
gate to say.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine

from smki.certificates.set_digest import SetDigest
from smki.kinds.anchors.configuration import load_anchor_configuration
from smki.kinds.anchors.document import DescribedFile, render_document, render_table
from smki.kinds.anchors.files import NO_TIME, render_region
from smki.kinds.anchors.lodged import find_lodged
from smki.kinds.anchors.rules import SlotResult, build_set, check_places
from smki.kinds.anchors.slots import AnchorSet, Region
from smki.obligations.catalogue import AnchorPart, Obligation, UserGuide
from smki.store.gzip_writer import SingleFile, write_single
from smki.store.local_files import write_whole

REGION_OF = {AnchorPart.NORTH: Region.NORTH, AnchorPart.CENTRAL_SOUTH: Region.CENTRAL_SOUTH}


@dataclass(frozen=True, slots=True)
class ProducedFile:
    """One of the four, as it was written."""

    obligation: Obligation
    written: SingleFile
    records: int
    set_digest: SetDigest

    @property
    def name(self) -> str:
        """On the server."""
        return self.obligation.file


def check_configured(engine: Engine, configuration: Path, now: datetime) -> tuple[SlotResult, ...]:
    """A result for each place of a configuration file at `now` (UTC).

    Raises AnchorConfigurationError, RepositoryUnavailableError.
    """
    read = load_anchor_configuration(configuration)
    return check_places(read, find_lodged(engine, read), now)


def load_anchor_set(engine: Engine, configuration: Path, now: datetime) -> AnchorSet:
    """The base set of a configuration file. Raises also AnchorSlotError, with all that is wrong at `now` (UTC)."""
    read = load_anchor_configuration(configuration)
    return build_set(read, check_places(read, find_lodged(engine, read), now), configuration.name)


def produce_set(anchor_set: AnchorSet, guide: UserGuide, folder: Path) -> tuple[ProducedFile, ...]:
    """Writes the four files into `folder`; a repeated call replaces them. Raises PlanError, StoreError."""
    contents = render_set(anchor_set, guide)
    produced = []
    for part, one in guide.anchors().items():
        written = _write(folder / one.file, contents[part], compressed=part in REGION_OF)
        certificates = anchor_set.certificates(REGION_OF.get(part))
        digest = SetDigest.of(certificate.body for certificate in certificates)
        produced.append(ProducedFile(one, written, len(certificates), digest))
    return tuple(produced)


def render_set(anchor_set: AnchorSet, guide: UserGuide) -> dict[AnchorPart, bytes]:
    """What the four hold: the XML of a region's file, and the document and its table as they are."""
    files = guide.anchors()
    xml = {part: render_region(anchor_set, region, files[part].file) for part, region in REGION_OF.items()}
    described = {
        region: DescribedFile(
            files[part].file, files[part].clause, digest_of(xml[part]), len(anchor_set.certificates(region))
        )
        for part, region in REGION_OF.items()
    }
    return xml | {
        AnchorPart.DOCUMENT: render_document(
            anchor_set, described, files[AnchorPart.TABLE].file, guide.index.file if guide.index else ""
        ),
        AnchorPart.TABLE: render_table(anchor_set),
    }


def content_digests(anchor_set: AnchorSet, guide: UserGuide) -> dict[str, str]:
    """File name → content digest of what `produce_set` would write."""
    files = guide.anchors()
    return {files[part].file: digest_of(content) for part, content in render_set(anchor_set, guide).items()}


def digest_of(content: bytes) -> str:
    """SHA-256, hex."""
    return hashlib.sha256(content).hexdigest()


def _write(file: Path, content: bytes, *, compressed: bool) -> SingleFile:
    if compressed:
        return write_single(file, content, NO_TIME)
    write_whole(file, content)
    sha256 = digest_of(content)
    return SingleFile(len(content), sha256, sha256, len(content))
