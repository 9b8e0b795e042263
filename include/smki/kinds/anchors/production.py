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
from smki.obligations.catalogue import Obligation, Terms, UserGuide
from smki.store.staging import write_whole

REGION_OF = {Obligation.ANCHOR_NORTH: Region.NORTH, Obligation.ANCHOR_CENTRAL_SOUTH: Region.CENTRAL_SOUTH}
OBLIGATIONS = (*REGION_OF, Obligation.ANCHOR_DOCUMENT, Obligation.ANCHOR_TABLE)


@dataclass(frozen=True, slots=True)
class ProducedFile:
    """One of the four, as it was written."""

    terms: Terms
    written: WrittenFile

    @property
    def name(self) -> str:
        """On the server."""
        return self.terms.file


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
    regional = {
        obligation: write_region(anchor_set, region, folder / guide.terms(obligation).file, schema)
        for obligation, region in REGION_OF.items()
    }
    check_regions({region: folder / guide.terms(obligation).file for obligation, region in REGION_OF.items()})
    written = dict(regional)
    for obligation, content in _documents(anchor_set, guide).items():
        write_whole(folder / guide.terms(obligation).file, content)
        written[obligation] = _plain(content, anchor_set)
    return tuple(ProducedFile(guide.terms(obligation), written[obligation]) for obligation in OBLIGATIONS)


def content_digests(anchor_set: AnchorSet, guide: UserGuide) -> dict[str, str]:
    """File name → content digest of what `produce_set` would write."""
    contents = {
        obligation: render_region(anchor_set, region, guide.terms(obligation).file)
        for obligation, region in REGION_OF.items()
    } | _documents(anchor_set, guide)
    return {guide.terms(obligation).file: digest_of(content) for obligation, content in contents.items()}


def _documents(anchor_set: AnchorSet, guide: UserGuide) -> dict[Obligation, bytes]:
    described = {}
    for obligation, region in REGION_OF.items():
        terms = guide.terms(obligation)
        xml = render_region(anchor_set, region, terms.file)
        described[region] = DescribedFile(
            terms.file, terms.clause, digest_of(xml), len(anchor_set.certificates(region))
        )
    return {
        Obligation.ANCHOR_DOCUMENT: render_document(anchor_set, described),
        Obligation.ANCHOR_TABLE: render_table(anchor_set),
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
