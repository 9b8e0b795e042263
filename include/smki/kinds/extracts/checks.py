"""What is said of an extract, row by row, and the checks on it. The first half of both is of any Annex B file."""

from typing import ClassVar

from smki.certificates.model import AUTHORITY, CertificateClass, Status
from smki.gate.checks import (
    GZIP,
    NAME,
    NO_FAULT,
    AtLeast,
    Check,
    FileRow,
    NoneOf,
    OneOf,
    Present,
    Row,
    SameAs,
    breaker,
    row,
)
from smki.gate.figures import RECORDS, SILENCE
from smki.gate.model import Severity
from smki.kinds.extracts.figures import BYTES_A_CERTIFICATE, STATUS_SHIFT
from smki.obligations.catalogue import FullExtract, is_recovery_start
from smki.repository.status import LEGAL
from smki.verify.faults import Fault

NEW = "–"  # in the place of the status before a change, where a certificate had none


@row
class XmlRow(FileRow):
    """Any Annex B file."""

    content_fault: str  # it is not what was produced
    duplicate_fault: str
    issuer_fault: str
    records: int
    set_digest: str


@row
class SegmentRow(Row):
    """A segment of any Annex B file; a file that is read in one pass has one."""

    TABLE: ClassVar[str] = "segments"

    number: int
    records: int
    in_use: int  # records with status I; of a full extract of other statuses: with one of these
    fault: str  # a Fault, or empty
    parsed: bool  # something else stands in it than records as the publisher writes them
    item: str


@row
class ExtractRow(FileRow):
    """A full extract or delta."""

    head_fault: str
    final_fault: str  # certificates that changed though E and R are final
    expected_records: int
    expected_set_digest: str
    manufacturing: int  # records that have the flag
    expected_manufacturing: int
    expired_fault: str  # certificates with status I that have ended


@row
class FullRow(FileRow):
    """A full extract."""

    closure_set_digest: str | None  # none: of these statuses there is no sum


@row
class StatusRow(Row):
    """What a full extract of several statuses holds of one of them."""

    TABLE: ClassVar[str] = "statuses"

    set_digest: str
    expected_set_digest: str
    item: str


@row
class DeltaRow(FileRow):
    """A delta."""

    missing_fault: str  # certificates that the window changed and that are not there


@row
class RecordRow(Row):
    """A record of a delta, or several that are judged the same."""

    TABLE: ClassVar[str] = "records"

    status: str
    expected_status: str | None  # at the window's end; none: the window did not change the certificate
    move: str  # class, status before and status in the file
    alike: int
    item: str


XML = (
    Check(
        "xml.inflates",
        "A segment that cannot be read ends the file for a Party.",
        SegmentRow.fault,
        NoneOf((Fault.GZIP.value,)),
        "every segment inflates",
    ),
    Check(
        "xml.schema",
        "A Party's program reads by Annex B and stops at the first thing that breaks it.",
        SegmentRow.fault,
        NoneOf((Fault.XML.value,)),
        "every segment is valid by the schema, and hides nothing",
    ),
    Check(
        "xml.plain",
        "What one program reads and another skips, such as a comment, would give Parties different files.",
        SegmentRow.parsed,
        OneOf((False,)),
        "nothing but records, as the publisher writes them",
    ),
    Check(
        "xml.bodies",
        "A body that is no certificate cannot be installed.",
        SegmentRow.fault,
        NoneOf((Fault.BODY.value,)),
        "every body is a certificate",
    ),
    Check(
        "xml.key-material",
        "A private key that leaves the repository has to be replaced everywhere.",
        SegmentRow.fault,
        NoneOf((Fault.PRIVATE_KEY.value,)),
        "no private key material",
    ),
    Check(
        "xml.fields",
        "Parties choose a certificate by the fields beside it: swapped bodies would install another Device's key.",
        SegmentRow.fault,
        NoneOf((Fault.FIELDS.value,)),
        "every field says what its certificate says",
    ),
    Check(
        "xml.unique",
        "A certificate that stands in a file twice, perhaps with two statuses, leaves the choice to the reader.",
        XmlRow.duplicate_fault,
        NO_FAULT,
        "no issuer and serial number twice",
    ),
    Check(
        "xml.issuers",
        "A certificate whose issuer is no lodged authority was signed by nobody that a Party trusts.",
        XmlRow.issuer_fault,
        NO_FAULT,
        "every issuer is a lodged authority, or stated as one whose certificate cannot be had",
    ),
)

_EXTRACT = (
    NAME,
    *GZIP,
    Check(
        "xml.content",
        "What is published has to be what was produced: a piece of another run or a disk's error is neither.",
        XmlRow.content_fault,
        NO_FAULT,
        "the bytes that were produced, each segment once",
    ),
    Check(
        "xml.segment",
        "A segment of another run is well formed and wrong.",
        SegmentRow.fault,
        NoneOf((Fault.CONTENT.value,)),
        "every segment holds what was produced for it",
    ),
    *XML,
    Check(
        "xml.head",
        "A Party's program stops at a head that says failure, and keeps AuditReference as the name of what it read.",
        ExtractRow.head_fault,
        NO_FAULT,
        "ResponseCode 200, and AuditReference is the file's own name",
    ),
    Check(
        "records.manufacturing",
        "A Party that takes a test Device for one in a home, or the other way round, serves it wrongly.",
        ExtractRow.manufacturing,
        SameAs(ExtractRow.expected_manufacturing),
        "as many manufacturing flags as the repository has on these certificates",
        of_all=True,
    ),
    Check(
        "records.expired",
        "Parties take status I for valid. A person may release what was closed before closing a window recorded E.",
        ExtractRow.expired_fault,
        NO_FAULT,
        "no certificate in use whose notAfter has come by the cut-off",
        severity=Severity.HOLD,
    ),
    Check(
        "windows.final",
        "Statuses E and R are final; what comes back from them was changed behind the rules.",
        ExtractRow.final_fault,
        NO_FAULT,
        "no certificate changed after it had expired or was revoked",
    ),
)


def words_of(kind: FullExtract) -> str:
    """What the certificates of a full extract are, in words."""
    return "in use" if is_recovery_start(kind) else f"of status {', '.join(sorted(kind.statuses))}"


def full_checks(kind: FullExtract) -> tuple[Check, ...]:
    """The checks on a full extract of some statuses; of several, the status beside each certificate has to be right."""
    held = words_of(kind)
    return (
        *_EXTRACT,
        Check(
            "full.status",
            "Appendix O 2.3.3 (a): a full extract holds the certificates in use. Others would be trusted again."
            if is_recovery_start(kind)
            else f"This extract holds the certificates {held}. Others would be taken for these.",
            SegmentRow.in_use,
            SameAs(SegmentRow.records),
            "every record has status I (in use)" if is_recovery_start(kind) else f"every record is {held}",
        ),
        *([_STATUSES] if len(kind.statuses) > 1 else []),
        Check(
            "full.count",
            "An empty or half-read repository gives a file that is well formed and wrong.",
            XmlRow.records,
            SameAs(ExtractRow.expected_records),
            f"as many certificates as are {held} as of the window",
            of_all=True,
        ),
        Check(
            "full.set-digest",
            "The right number of wrong certificates is found by their digest.",
            XmlRow.set_digest,
            SameAs(ExtractRow.expected_set_digest),
            f"exactly the certificates {held} as of the window",
            of_all=True,
        ),
        Check(
            "full.closure",
            "A Party that loads the full extract before and every delta since has to have exactly this file.",
            XmlRow.set_digest,
            SameAs(FullRow.closure_set_digest),
            "the full extract before + what entered − what left status I since",
            of_all=True,
        ),
        Check(
            "full.empty",
            "Publishing nothing is the worst incident that comparable systems had.",
            XmlRow.records,
            AtLeast(1),
            "at least one certificate",
            severity=Severity.HOLD,
            of_all=True,
        ),
        breaker("full.change", "A repository shrinks or grows by leaps when something is wrong with it.", RECORDS),
        breaker("full.bytes", "Certificates are of one size; another one is another encoding.", BYTES_A_CERTIFICATE),
        breaker(
            "full.silence",
            "After a long silence a person should know why, before it is ended.",
            SILENCE,
            of_all=False,
        ),
    )


_STATUSES = Check(
    "full.statuses",
    "A wrong status makes a Party trust a revoked certificate, or drop one that is in use.",
    StatusRow.set_digest,
    SameAs(StatusRow.expected_set_digest),
    "of each status exactly the certificates that have it as of the window",
    of_all=True,
)
_LEGAL_MOVES = {
    *(f"{NEW}→{new}" for new in Status),
    *(f"{old}→{new}" for old, allowed in LEGAL.items() for new in allowed),
    # There and back within one window, or an event of a clock that stepped back after the last one took effect:
    *(f"{status}→{status}" for status in Status),
}
DELTA = (
    *_EXTRACT,
    Check(
        "delta.belongs",
        "A record that the window did not change is of another day: a replayed delta takes a Party's copy back.",
        RecordRow.expected_status,
        Present(),
        "every record is of a certificate that the window changed",
    ),
    Check(
        "delta.complete",
        "A certificate that falls between two files is missing from a Party's copy for a week.",
        DeltaRow.missing_fault,
        NO_FAULT,
        "every certificate that the window changed is there",
        of_all=True,
    ),
    Check(
        "delta.count",
        "An empty or half-read window gives a file that is well formed and wrong.",
        XmlRow.records,
        SameAs(ExtractRow.expected_records),
        "as many records as certificates that the window changed",
        of_all=True,
    ),
    Check(
        "delta.set-digest",
        "The right number of wrong certificates is found by their digest.",
        XmlRow.set_digest,
        SameAs(ExtractRow.expected_set_digest),
        "exactly the certificates that the window changed",
        of_all=True,
    ),
    Check(
        "delta.status",
        "A wrong status makes a Party trust a revoked certificate, or drop one that is in use.",
        RecordRow.status,
        SameAs(RecordRow.expected_status),
        "every record has its status at the window's end",
    ),
    Check(
        "delta.moves",
        "Statuses E and R are final; what comes back from them was changed behind the rules.",
        RecordRow.move,
        OneOf(
            tuple(
                sorted(
                    f"{certificate_class} {move}"
                    for certificate_class in (AUTHORITY, CertificateClass.ORGANISATION, CertificateClass.DEVICE)
                    for move in _LEGAL_MOVES
                    if not (certificate_class is CertificateClass.DEVICE and move.endswith(Status.REVOKED))
                )
            )
        ),
        "every change of status is a legal one",
    ),
    breaker(
        "delta.volume",
        "A day with many more changes than others has a reason; so has one with next to none.",
        RECORDS,
    ),
    breaker("delta.mix", "Mass expiry or mass removal looks like this on its first day.", STATUS_SHIFT),
    breaker("delta.bytes", "Certificates are of one size; another one is another encoding.", BYTES_A_CERTIFICATE),
    breaker(
        "delta.silence", "After a long silence a person should know why, before it is ended.", SILENCE, of_all=False
    ),
)
