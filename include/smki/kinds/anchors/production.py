"""Produces the whole set: two files, the document and its table, all from one checked configuration.

Either all four are there, each as its rules want it, or the call raises: there is never half a set.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine

from smki.certificates.set_digest import SetDigest
from smki.kinds.anchors.configuration import load_anchor_configuration
from smki.kinds.anchors.document import DescribedFile, render_document
from smki.kinds.anchors.files import WrittenFile, check_regions, digest_of, render_region, write_region
from smki.kinds.anchors.lodged import find_lodged
from smki.kinds.anchors.rules import Verdict, approved, judge
from smki.kinds.anchors.slots import AnchorSet, Region
from smki.kinds.anchors.table import render_table
from smki.obligations.catalogue import AnchorPart, Obligation, UserGuide
from smki.store.staging import write_whole

REGION_OF = {AnchorPart.NORTH: Region.NORTH, AnchorPart.CENTRAL_SOUTH: Region.CENTRAL_SOUTH}


@dataclass(frozen=True, slots=True)
class ProducedFile:
    """One of the four, as it was written."""

    obligation: Obligation
    written: WrittenFile

    @property
    def name(self) -> str:
        """On the server."""
        return self.obligation.file


def judge_configured(engine: Engine, configuration: Path, now: datetime) -> tuple[Verdict, ...]:
    """A verdict for each place of a configuration file at `now` (UTC).

    Raises AnchorConfigurationError, RepositoryUnavailableError.
    """
    read = load_anchor_configuration(configuration)
    return judge(read, find_lodged(engine, read), now)


def checked_set(engine: Engine, configuration: Path, now: datetime) -> AnchorSet:
    """The base set of a configuration file. Raises also AnchorSlotError, with all that is wrong at `now` (UTC)."""
    read = load_anchor_configuration(configuration)
    return approved(read, judge(read, find_lodged(engine, read), now), configuration.name)


def produce_set(anchor_set: AnchorSet, guide: UserGuide, folder: Path, schema: Path) -> tuple[ProducedFile, ...]:
    """Writes the four files into `folder` and verifies them; a repeated call replaces them.

    Raises AnchorSlotError, VerificationError, PlanError, StagingError.
    """
    files = guide.anchors()
    written = {
        part: write_region(anchor_set, region, folder / files[part].file, schema) for part, region in REGION_OF.items()
    }
    check_regions({region: folder / files[part].file for part, region in REGION_OF.items()})
    for part, content in _documents(anchor_set, guide).items():
        write_whole(folder / files[part].file, content)
        written[part] = _plain(content, anchor_set)
    return tuple(ProducedFile(obligation, written[part]) for part, obligation in files.items())


def content_digests(anchor_set: AnchorSet, guide: UserGuide) -> dict[str, str]:
    """File name → content digest of what `produce_set` would write."""
    files = guide.anchors()
    contents = {
        part: render_region(anchor_set, region, files[part].file) for part, region in REGION_OF.items()
    } | _documents(anchor_set, guide)
    return {files[part].file: digest_of(content) for part, content in contents.items()}


def _documents(anchor_set: AnchorSet, guide: UserGuide) -> dict[AnchorPart, bytes]:
    described = {}
    for part, region in REGION_OF.items():
        obligation = guide.anchors()[part]
        xml = render_region(anchor_set, region, obligation.file)
        described[region] = DescribedFile(
            obligation.file, obligation.clause, digest_of(xml), len(anchor_set.certificates(region))
        )
    return {
        AnchorPart.DOCUMENT: render_document(anchor_set, described),
        AnchorPart.TABLE: render_table(anchor_set),
    }


def _plain(content: bytes, anchor_set: AnchorSet) -> WrittenFile:
    """Facts of a file that is published as it is."""
    certificates = anchor_set.certificates()
    digest = digest_of(content)
    return WrittenFile(
        bytes=len(content),
        sha256=digest,
        content_digest=digest,
        content_bytes=len(content),
        records=len(certificates),
        set_digest=SetDigest.of(certificate.body for certificate in certificates),
    )
