"""The gate's suites: every expectation with its id, the sentence that it protects, and its severity.

They are Great Expectations' own, over small tables (`evidence`) whose figures come from the bytes that will be
published; what they are compared with comes from the repository and the ledger. A column of faults holds the text of
what is wrong, or nothing; a check on it wants nothing.

* ALL: any file. FILE, SEGMENTS and so on name the table that a check looks at.
* HOLD is for breakers, whose bounds (quality.toml) come with the artefact. All else is FAIL.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity

from smki.certificates.model import CertificateClass, Role, Status
from smki.gate.bounds import Bounds
from smki.gate.evidence import FAULT_TEXT, NEW, Table
from smki.gate.model import Severity
from smki.obligations.model import Obligation
from smki.quality.faults import Fault
from smki.repository.status import LEGAL

_GX_SEVERITY = {Severity.FAIL: FailureSeverity.CRITICAL, Severity.HOLD: FailureSeverity.WARNING}


Expect = Callable[[Bounds], Expectation]


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation of a suite."""

    id: str
    protects: str
    severity: Severity
    table: Table
    column: str  # whose values are shown where it does not pass
    expected: str  # in words; empty: its bounds are
    expect: Expect
    figure: str | None = None  # that it bounds
    whole: bool = False  # it says something of the whole file, so every part has to have been read

    def expectation(self, bounds: Bounds) -> Expectation:
        """For Great Expectations, with its bounds where it is a breaker."""
        expectation = self.expect(bounds)
        expectation.severity = _GX_SEVERITY[self.severity]
        expectation.meta = {"id": self.id}
        expectation.description = self.protects
        return expectation


def _clean(check_id: str, protects: str, table: Table, column: str, expected: str) -> Check:
    """A column of faults holds none."""
    return Check(
        check_id,
        protects,
        Severity.FAIL,
        table,
        column,
        expected,
        lambda _: gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[""]),
    )


def _without(fault: Fault, check_id: str, protects: str, expected: str) -> Check:
    """No segment has this fault."""
    return Check(
        check_id,
        protects,
        Severity.FAIL,
        Table.SEGMENTS,
        FAULT_TEXT,
        expected,
        lambda _: gxe.ExpectColumnValuesToNotBeInSet(column="fault", value_set=[str(fault)]),
    )


def _equal(check_id: str, protects: str, table: Table, columns: tuple[str, str], expected: str) -> Check:
    first, second = columns
    return Check(
        check_id,
        protects,
        Severity.FAIL,
        table,
        first,
        expected,
        lambda _: gxe.ExpectColumnPairValuesToBeEqual(
            column_A=first, column_B=second, ignore_row_if="either_value_is_missing"
        ),
    )


def _in_set(check_id: str, protects: str, table: Table, column: str, values: Iterable[str], expected: str) -> Check:
    listed = list(values)
    return Check(
        check_id,
        protects,
        Severity.FAIL,
        table,
        column,
        expected,
        lambda _: gxe.ExpectColumnValuesToBeInSet(column=column, value_set=listed),
    )


def _present(check_id: str, protects: str, table: Table, column: str, expected: str) -> Check:
    return Check(
        check_id,
        protects,
        Severity.FAIL,
        table,
        column,
        expected,
        lambda _: gxe.ExpectColumnValuesToNotBeNull(column=column),
    )


def _breaker(check_id: str, protects: str, figure: str) -> Check:
    """A figure of the file lies within its bounds."""
    return Check(
        check_id,
        protects,
        Severity.HOLD,
        Table.FILE,
        figure,
        "",
        lambda bounds: gxe.ExpectColumnValuesToBeBetween(
            column=figure,
            min_value=float("-inf") if bounds.low is None else bounds.low,
            max_value=float("inf") if bounds.high is None else bounds.high,
        ),
        figure,
    )


def _whole(*checks: Check) -> tuple[Check, ...]:
    return tuple(replace(check, whole=True) for check in checks)


ALL = (
    _equal(
        "all.name",
        "A Party finds a file by its name; a wrong day in it would be loaded in the wrong order.",
        Table.FILE,
        ("name", "expected_name"),
        "the name that the User Guide gives that day's file",
    ),
)
NO_KEY = (
    _clean(
        "content.key-material",
        "A private key that leaves the repository has to be replaced everywhere.",
        Table.FILE,
        "private_key_fault",
        "no private key material",
    ),
)
GZIP = (
    _clean(
        "gzip.name",
        "Appendix O 2.3.3: the file inside has the same name without .gz.",
        Table.FILE,
        "name_fault",
        "FNAME is the file's name without .gz",
    ),
    _clean(
        "gzip.member",
        "What some readers of .gz see and others do not would give Parties different files.",
        Table.FILE,
        "gzip_fault",
        "one intact gzip member, nothing after it",
    ),
)
PRODUCED = (
    _clean(
        "xml.content",
        "What is published has to be what was produced: a piece of another run or a disk's error is neither.",
        Table.FILE,
        "content_fault",
        "the octets that were produced, each segment once",
    ),
    _without(
        Fault.CONTENT,
        "xml.segment",
        "A segment of another run is well formed and wrong.",
        "every segment holds what was produced for it",
    ),
)
XML = (
    _without(
        Fault.GZIP,
        "xml.inflates",
        "A segment that cannot be read ends the file for a Party.",
        "every segment inflates",
    ),
    _without(
        Fault.XML,
        "xml.schema",
        "A Party's program reads by Annex B and stops at the first thing that breaks it.",
        "every segment is valid by the schema, and hides nothing",
    ),
    Check(
        "xml.plain",
        "What one program reads and another skips, such as a comment, would give Parties different files.",
        Severity.FAIL,
        Table.SEGMENTS,
        "parsed",
        "nothing but records, as the publisher writes them",
        lambda _: gxe.ExpectColumnValuesToBeInSet(column="parsed", value_set=[False]),
    ),
    _without(
        Fault.BODY, "xml.bodies", "A body that is no certificate cannot be installed.", "every body is a certificate"
    ),
    _without(
        Fault.PRIVATE_KEY,
        "xml.key-material",
        "A private key that leaves the repository has to be replaced everywhere.",
        "no private key material",
    ),
    _without(
        Fault.FIELDS,
        "xml.fields",
        "Parties choose a certificate by the fields beside it: swapped bodies would install another Device's key.",
        "every field says what its certificate says",
    ),
    _clean(
        "xml.unique",
        "A certificate that stands in a file twice, perhaps with two statuses, leaves the choice to the reader.",
        Table.FILE,
        "duplicate_fault",
        "no issuer and serial number twice",
    ),
    _clean(
        "xml.issuers",
        "A certificate of an issuer that the repository does not know came from somewhere else.",
        Table.FILE,
        "issuer_fault",
        "every issuer is known to the repository",
    ),
)
HEAD = (
    _clean(
        "xml.head",
        "A Party's program stops at a head that says failure, and keeps AuditReference as the name of what it read.",
        Table.FILE,
        "head_fault",
        "ResponseCode 200, and AuditReference is the file's own name",
    ),
    *_whole(
        _equal(
            "records.manufacturing",
            "A Party that takes a test Device for one in a home, or the other way round, serves it wrongly.",
            Table.FILE,
            ("manufacturing", "expected_manufacturing"),
            "as many manufacturing flags as the repository has on these certificates",
        )
    ),
    _clean(
        "windows.final",
        "Statuses E and R are final; what comes back from them was changed behind the rules.",
        Table.FILE,
        "final_fault",
        "no certificate changed after it had expired or was revoked",
    ),
)
FULL = (
    _equal(
        "full.status",
        "Appendix O 2.3.3 (a): a full extract holds the certificates in use. Others would be trusted again.",
        Table.SEGMENTS,
        ("in_use", "records"),
        "every record has status I (in use)",
    ),
    *_whole(
        _equal(
            "full.count",
            "An empty or half-read repository gives a file that is well formed and wrong.",
            Table.FILE,
            ("records", "expected_records"),
            "as many certificates as are in use as of the window",
        ),
        _equal(
            "full.set-digest",
            "The right number of wrong certificates is found by their digest.",
            Table.FILE,
            ("set_digest", "expected_set_digest"),
            "exactly the certificates in use as of the window",
        ),
        _equal(
            "full.closure",
            "A Party that loads the full extract before and every delta since has to have exactly this file.",
            Table.FILE,
            ("set_digest", "closure_set_digest"),
            "the full extract before + what entered − what left status I since",
        ),
        Check(
            "full.empty",
            "Publishing nothing is the worst incident that comparable systems had.",
            Severity.HOLD,
            Table.FILE,
            "records",
            "at least one certificate",
            lambda _: gxe.ExpectColumnValuesToBeBetween(column="records", min_value=1),
        ),
        _breaker("full.change", "A repository shrinks or grows by leaps when something is wrong with it.", "records"),
        _breaker("full.bytes", "Certificates are of one size; another one is another encoding.", "bytes_a_certificate"),
    ),
    _breaker(
        "full.silence", "After a long silence a person should know why, before it is ended.", "days_since_previous"
    ),
)
_LEGAL_MOVES = {
    *(f"{NEW}→{new}" for new in Status),
    *(f"{old}→{new}" for old, allowed in LEGAL.items() for new in allowed),
    # There and back within one window:
    f"{Status.IN_USE}→{Status.IN_USE}",
    f"{Status.NOT_IN_USE}→{Status.NOT_IN_USE}",
}
DELTA = (
    _present(
        "delta.belongs",
        "A record that the window did not change is of another day: a replayed delta takes a Party's copy back.",
        Table.RECORDS,
        "expected_status",
        "every record is of a certificate that the window changed",
    ),
    *_whole(
        _clean(
            "delta.complete",
            "A certificate that falls between two files is missing from a Party's copy for a week.",
            Table.FILE,
            "missing_fault",
            "every certificate that the window changed is there",
        ),
        _equal(
            "delta.count",
            "An empty or half-read window gives a file that is well formed and wrong.",
            Table.FILE,
            ("records", "expected_records"),
            "as many records as certificates that the window changed",
        ),
        _equal(
            "delta.set-digest",
            "The right number of wrong certificates is found by their digest.",
            Table.FILE,
            ("set_digest", "expected_set_digest"),
            "exactly the certificates that the window changed",
        ),
    ),
    _equal(
        "delta.status",
        "A wrong status makes a Party trust a revoked certificate, or drop one that is in use.",
        Table.RECORDS,
        ("status", "expected_status"),
        "every record has its status at the window's end",
    ),
    _in_set(
        "delta.moves",
        "Statuses E and R are final; what comes back from them was changed behind the rules.",
        Table.RECORDS,
        "move",
        sorted(
            f"{certificate_class} {move}"
            for certificate_class in CertificateClass
            for move in _LEGAL_MOVES
            if not (certificate_class is CertificateClass.DEVICE and move.endswith(Status.REVOKED))
        ),
        "every change of status is a legal one",
    ),
    *_whole(
        _breaker(
            "delta.volume",
            "A day with many more changes than others has a reason; so has one with next to none.",
            "records",
        ),
        _breaker("delta.mix", "Mass expiry or mass removal looks like this on its first day.", "status_shift"),
        _breaker(
            "delta.bytes", "Certificates are of one size; another one is another encoding.", "bytes_a_certificate"
        ),
    ),
    _breaker(
        "delta.silence", "After a long silence a person should know why, before it is ended.", "days_since_previous"
    ),
)
REVOCATION = (
    _clean(
        "list.octets",
        "A list is signed: published is what its issuer signed, to the octet.",
        Table.FILE,
        "octets_fault",
        "the octets of the lodged list",
    ),
    _clean(
        "list.signature",
        "A forged or damaged list would make Parties trust revoked certificates.",
        Table.FILE,
        "signature_fault",
        "its signature verifies under a lodged OCA Certificate, and it is of the kind its name promises",
    ),
    _clean(
        "list.fresh",
        "Parties stop trusting anything below an issuer whose list has run out.",
        Table.FILE,
        "freshness_fault",
        "thisUpdate has come, nextUpdate has not",
    ),
    _in_set(
        "list.entries",
        "A list and an extract that contradict each other leave the choice to the reader.",
        Table.ENTRIES,
        "status",
        ["", Status.REVOKED, Status.EXPIRED],
        "every listed certificate that is lodged has status R, or E",
    ),
    _breaker("list.number", "A list that is older than the published one would forget revocations.", "number_step"),
    _breaker("list.next-update", "A list that ends before the published one shortens its time.", "next_update_step"),
    _breaker("list.lost", "Entries leave a list only when their certificates have expired.", "entries_lost"),
    _breaker(
        "list.unlisted", "What has status R in the extracts and is on no list is revoked for some only.", "unlisted"
    ),
    _breaker(
        "list.silence", "After a long silence a person should know why, before it is ended.", "days_since_previous"
    ),
)
ANCHORS = (
    _clean(
        "anchors.octets",
        "A file of the set that was not made from anchor_slots.toml would put other anchors into Devices.",
        Table.FILE,
        "octets_fault",
        "exactly the certificates that anchor_slots.toml names for the region",
    ),
    _equal(
        "anchors.status",
        "An anchor that is not in use cannot be relied on for the life of a Device.",
        Table.SEGMENTS,
        ("in_use", "records"),
        "every record has status I (in use)",
    ),
    _in_set(
        "anchors.regions",
        "Appendix O 2.3.3 (e), (f): both files are the same but for the WAN provider slot.",
        Table.REGIONS,
        "own",
        ["", f"role {Role.WAN_PROVIDER.value}"],
        "what one region has and the other has not is of a WAN provider",
    ),
    _clean(
        "anchors.wan-provider",
        "A region without a WAN provider of its own has the other region's.",
        Table.FILE,
        "wan_provider_fault",
        "each region has a WAN provider of its own",
    ),
)
DOCUMENT = (
    _clean(
        "document.octets",
        "A document that was not made from anchor_slots.toml would have other anchors put into Devices.",
        Table.FILE,
        "octets_fault",
        "exactly what anchor_slots.toml says",
    ),
    _clean(
        "document.files",
        "The document says which certificate goes into which slot; of other files it says nothing.",
        Table.FILE,
        "document_fault",
        "it names every certificate of both files",
    ),
)

SUITES: Mapping[Obligation, tuple[Check, ...]] = {
    Obligation.FULL: (*ALL, *GZIP, *PRODUCED, *XML, *HEAD, *FULL),
    Obligation.DELTA: (*ALL, *GZIP, *PRODUCED, *XML, *HEAD, *DELTA),
    Obligation.ARL: (*ALL, *GZIP, *NO_KEY, *REVOCATION),
    Obligation.CRL: (*ALL, *GZIP, *NO_KEY, *REVOCATION),
    Obligation.ANCHOR_NORTH: (*ALL, *GZIP, *XML, *ANCHORS),
    Obligation.ANCHOR_CENTRAL_SOUTH: (*ALL, *GZIP, *XML, *ANCHORS),
    Obligation.ANCHOR_DOCUMENT: (*ALL, *NO_KEY, *DOCUMENT),
    Obligation.ANCHOR_TABLE: (*ALL, *NO_KEY, *DOCUMENT),
}


def suite_version(checks: Sequence[Check]) -> str:
    """Says which checks judged: their digest, and the version of what ran them."""
    stated = "\n".join(
        f"{check.id} {check.severity} {check.table} {check.expectation(Bounds(0, 1)).configuration.to_json_dict()}"
        for check in checks
    )
    return f"{hashlib.sha256(stated.encode()).hexdigest()[:8]} on Great Expectations {gx.__version__}"
