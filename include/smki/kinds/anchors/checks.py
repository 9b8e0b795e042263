"""What is said of a file of the base set, row by row, and the checks on it."""

from typing import ClassVar

from smki.certificates.model import Role
from smki.gate.checks import GZIP, NAME, NO_FAULT, NO_KEY, Check, FileRow, OneOf, Row, SameAs, row
from smki.kinds.extracts.checks import XML, SegmentRow


@row
class RegionRow(FileRow):
    """A region's file."""

    octets_fault: str  # it does not hold what the configuration says
    wan_provider_fault: str


@row
class OwnRow(Row):
    """A certificate that one region's file has and the other has not."""

    TABLE: ClassVar[str] = "certificates of both regions"

    own: str  # its role
    item: str


@row
class DocumentRow(FileRow):
    """The document, or its table."""

    octets_fault: str  # it is not what the configuration makes
    document_fault: str  # of the certificates that it names


REGION_FILE = (
    NAME,
    *GZIP,
    *XML,
    Check(
        "anchors.octets",
        "A file of the set that was not made from anchor_slots.toml would put other anchors into Devices.",
        RegionRow.octets_fault,
        NO_FAULT,
        "exactly the certificates that anchor_slots.toml names for the region",
    ),
    Check(
        "anchors.status",
        "An anchor that is not in use cannot be relied on for the life of a Device.",
        SegmentRow.in_use,
        SameAs(SegmentRow.records),
        "every record has status I (in use)",
    ),
    Check(
        "anchors.regions",
        "Appendix O 2.3.3 (e), (f): both files are the same but for the WAN provider slot.",
        OwnRow.own,
        OneOf(("", f"role {Role.WAN_PROVIDER.value}")),
        "what one region has and the other has not is of a WAN provider",
    ),
    Check(
        "anchors.wan-provider",
        "A region without a WAN provider of its own has the other region's.",
        RegionRow.wan_provider_fault,
        NO_FAULT,
        "each region has a WAN provider of its own",
    ),
)
DOCUMENT = (
    NAME,
    NO_KEY,
    Check(
        "document.octets",
        "A document that was not made from anchor_slots.toml would have other anchors put into Devices.",
        DocumentRow.octets_fault,
        NO_FAULT,
        "exactly what anchor_slots.toml says",
    ),
    Check(
        "document.files",
        "The document says which certificate goes into which slot; of other files it says nothing.",
        DocumentRow.document_fault,
        NO_FAULT,
        "it names every certificate of both files",
    ),
)
