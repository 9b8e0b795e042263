"""What is said of a revocation list's file, row by row, and the checks on it."""

from typing import ClassVar

from smki.certificates.model import Status
from smki.gate.checks import GZIP, NAME, NO_FAULT, NO_KEY, Check, FileRow, OneOf, Row, breaker, row
from smki.gate.figures import SILENCE, Measure
from smki.gate.model import INSTANT

ENTRIES = Measure("entries", "Entries")
NUMBER = Measure("number", "CRL number")
NEXT_UPDATE = Measure("next_update", "nextUpdate", INSTANT)
NUMBER_STEP = Measure("number_step", "CRL number since the list before")
NEXT_UPDATE_STEP = Measure("next_update_step", "nextUpdate since the list before", "hours")
ENTRIES_LOST = Measure("entries_lost", "Entries that are gone")
UNLISTED = Measure("unlisted", "Revoked and not listed")


@row
class ListRow(FileRow):
    """What the file holds."""

    octets_fault: str  # it is not the lodged list
    signature_fault: str
    freshness_fault: str


@row
class EntryRow(Row):
    """A certificate on the list."""

    TABLE: ClassVar[str] = "entries"

    status: str  # in the repository; empty where it is not lodged
    item: str


LIST = (
    NAME,
    *GZIP,
    NO_KEY,
    Check(
        "list.octets",
        "A list is signed: published is what its issuer signed, to the octet.",
        ListRow.octets_fault,
        NO_FAULT,
        "the bytes of the lodged list",
    ),
    Check(
        "list.signature",
        "A forged or damaged list would make Parties trust revoked certificates.",
        ListRow.signature_fault,
        NO_FAULT,
        "its signature verifies under a lodged OCA Certificate, and it is of the kind its name promises",
    ),
    Check(
        "list.fresh",
        "Parties stop trusting anything below an issuer whose list has run out.",
        ListRow.freshness_fault,
        NO_FAULT,
        "thisUpdate has come, nextUpdate has not",
    ),
    Check(
        "list.entries",
        "A list and an extract that contradict each other leave the choice to the reader.",
        EntryRow.status,
        OneOf(("", Status.REVOKED, Status.EXPIRED)),
        "every listed certificate that is lodged has status R, or E",
    ),
    breaker("list.number", "A list that is older than the published one would forget revocations.", NUMBER_STEP),
    breaker("list.next-update", "A list that ends before the published one shortens its time.", NEXT_UPDATE_STEP),
    breaker("list.lost", "Entries leave a list only when their certificates have expired.", ENTRIES_LOST),
    breaker("list.unlisted", "What has status R in the extracts and is on no list is revoked for some only.", UNLISTED),
    breaker("list.silence", "After a long silence a person should know why, before it is ended.", SILENCE),
)
