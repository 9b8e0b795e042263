"""The gate's suites: every expectation with its id, the sentence that it protects, and its severity.

What they are compared with comes from the repository and the ledger; `checks` has the forms that they take.

* ALL: any file. FILE, SEGMENTS and so on name the table that a check looks at.
* HOLD is for breakers, whose bounds (quality.toml) come with the artefact. All else is FAIL.
"""

import hashlib
from collections.abc import Sequence
from typing import assert_never

import great_expectations as gx
import great_expectations.expectations as gxe

from smki.certificates.model import CertificateClass, Role, Status
from smki.gate.bounds import Bounds
from smki.gate.checks import Check, breaker, clean, equal, in_set, present, whole, without
from smki.gate.evidence import NEW, Table
from smki.gate.model import Severity
from smki.obligations.catalogue import AnchorPart, AnchorSlots, DeltaExtract, FullExtract, Kind, RevocationList
from smki.repository.status import LEGAL
from smki.verify.faults import Fault

ALL = (
    equal(
        "all.name",
        "A Party finds a file by its name; a wrong day in it would be loaded in the wrong order.",
        Table.FILE,
        ("name", "expected_name"),
        "the name that the User Guide gives that day's file",
    ),
)
NO_KEY = (
    clean(
        "content.key-material",
        "A private key that leaves the repository has to be replaced everywhere.",
        Table.FILE,
        "private_key_fault",
        "no private key material",
    ),
)
GZIP = (
    clean(
        "gzip.name",
        "Appendix O 2.3.3: the file inside has the same name without .gz.",
        Table.FILE,
        "name_fault",
        "FNAME is the file's name without .gz",
    ),
    clean(
        "gzip.member",
        "What some readers of .gz see and others do not would give Parties different files.",
        Table.FILE,
        "gzip_fault",
        "one intact gzip member, nothing after it",
    ),
)
PRODUCED = (
    clean(
        "xml.content",
        "What is published has to be what was produced: a piece of another run or a disk's error is neither.",
        Table.FILE,
        "content_fault",
        "the octets that were produced, each segment once",
    ),
    without(
        Fault.CONTENT,
        "xml.segment",
        "A segment of another run is well formed and wrong.",
        "every segment holds what was produced for it",
    ),
)
XML = (
    without(
        Fault.GZIP,
        "xml.inflates",
        "A segment that cannot be read ends the file for a Party.",
        "every segment inflates",
    ),
    without(
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
    without(
        Fault.BODY, "xml.bodies", "A body that is no certificate cannot be installed.", "every body is a certificate"
    ),
    without(
        Fault.PRIVATE_KEY,
        "xml.key-material",
        "A private key that leaves the repository has to be replaced everywhere.",
        "no private key material",
    ),
    without(
        Fault.FIELDS,
        "xml.fields",
        "Parties choose a certificate by the fields beside it: swapped bodies would install another Device's key.",
        "every field says what its certificate says",
    ),
    clean(
        "xml.unique",
        "A certificate that stands in a file twice, perhaps with two statuses, leaves the choice to the reader.",
        Table.FILE,
        "duplicate_fault",
        "no issuer and serial number twice",
    ),
    clean(
        "xml.issuers",
        "A certificate of an issuer that the repository does not know came from somewhere else.",
        Table.FILE,
        "issuer_fault",
        "every issuer is known to the repository",
    ),
)
HEAD = (
    clean(
        "xml.head",
        "A Party's program stops at a head that says failure, and keeps AuditReference as the name of what it read.",
        Table.FILE,
        "head_fault",
        "ResponseCode 200, and AuditReference is the file's own name",
    ),
    *whole(
        equal(
            "records.manufacturing",
            "A Party that takes a test Device for one in a home, or the other way round, serves it wrongly.",
            Table.FILE,
            ("manufacturing", "expected_manufacturing"),
            "as many manufacturing flags as the repository has on these certificates",
        )
    ),
    clean(
        "windows.final",
        "Statuses E and R are final; what comes back from them was changed behind the rules.",
        Table.FILE,
        "final_fault",
        "no certificate changed after it had expired or was revoked",
    ),
)
FULL = (
    equal(
        "full.status",
        "Appendix O 2.3.3 (a): a full extract holds the certificates in use. Others would be trusted again.",
        Table.SEGMENTS,
        ("in_use", "records"),
        "every record has status I (in use)",
    ),
    *whole(
        equal(
            "full.count",
            "An empty or half-read repository gives a file that is well formed and wrong.",
            Table.FILE,
            ("records", "expected_records"),
            "as many certificates as are in use as of the window",
        ),
        equal(
            "full.set-digest",
            "The right number of wrong certificates is found by their digest.",
            Table.FILE,
            ("set_digest", "expected_set_digest"),
            "exactly the certificates in use as of the window",
        ),
        equal(
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
        breaker("full.change", "A repository shrinks or grows by leaps when something is wrong with it.", "records"),
        breaker("full.bytes", "Certificates are of one size; another one is another encoding.", "bytes_a_certificate"),
    ),
    breaker(
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
    present(
        "delta.belongs",
        "A record that the window did not change is of another day: a replayed delta takes a Party's copy back.",
        Table.RECORDS,
        "expected_status",
        "every record is of a certificate that the window changed",
    ),
    *whole(
        clean(
            "delta.complete",
            "A certificate that falls between two files is missing from a Party's copy for a week.",
            Table.FILE,
            "missing_fault",
            "every certificate that the window changed is there",
        ),
        equal(
            "delta.count",
            "An empty or half-read window gives a file that is well formed and wrong.",
            Table.FILE,
            ("records", "expected_records"),
            "as many records as certificates that the window changed",
        ),
        equal(
            "delta.set-digest",
            "The right number of wrong certificates is found by their digest.",
            Table.FILE,
            ("set_digest", "expected_set_digest"),
            "exactly the certificates that the window changed",
        ),
    ),
    equal(
        "delta.status",
        "A wrong status makes a Party trust a revoked certificate, or drop one that is in use.",
        Table.RECORDS,
        ("status", "expected_status"),
        "every record has its status at the window's end",
    ),
    in_set(
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
    *whole(
        breaker(
            "delta.volume",
            "A day with many more changes than others has a reason; so has one with next to none.",
            "records",
        ),
        breaker("delta.mix", "Mass expiry or mass removal looks like this on its first day.", "status_shift"),
        breaker("delta.bytes", "Certificates are of one size; another one is another encoding.", "bytes_a_certificate"),
    ),
    breaker(
        "delta.silence", "After a long silence a person should know why, before it is ended.", "days_since_previous"
    ),
)
REVOCATION = (
    clean(
        "list.octets",
        "A list is signed: published is what its issuer signed, to the octet.",
        Table.FILE,
        "octets_fault",
        "the octets of the lodged list",
    ),
    clean(
        "list.signature",
        "A forged or damaged list would make Parties trust revoked certificates.",
        Table.FILE,
        "signature_fault",
        "its signature verifies under a lodged OCA Certificate, and it is of the kind its name promises",
    ),
    clean(
        "list.fresh",
        "Parties stop trusting anything below an issuer whose list has run out.",
        Table.FILE,
        "freshness_fault",
        "thisUpdate has come, nextUpdate has not",
    ),
    in_set(
        "list.entries",
        "A list and an extract that contradict each other leave the choice to the reader.",
        Table.ENTRIES,
        "status",
        ["", Status.REVOKED, Status.EXPIRED],
        "every listed certificate that is lodged has status R, or E",
    ),
    breaker("list.number", "A list that is older than the published one would forget revocations.", "number_step"),
    breaker("list.next-update", "A list that ends before the published one shortens its time.", "next_update_step"),
    breaker("list.lost", "Entries leave a list only when their certificates have expired.", "entries_lost"),
    breaker(
        "list.unlisted", "What has status R in the extracts and is on no list is revoked for some only.", "unlisted"
    ),
    breaker(
        "list.silence", "After a long silence a person should know why, before it is ended.", "days_since_previous"
    ),
)
ANCHORS = (
    clean(
        "anchors.octets",
        "A file of the set that was not made from anchor_slots.toml would put other anchors into Devices.",
        Table.FILE,
        "octets_fault",
        "exactly the certificates that anchor_slots.toml names for the region",
    ),
    equal(
        "anchors.status",
        "An anchor that is not in use cannot be relied on for the life of a Device.",
        Table.SEGMENTS,
        ("in_use", "records"),
        "every record has status I (in use)",
    ),
    in_set(
        "anchors.regions",
        "Appendix O 2.3.3 (e), (f): both files are the same but for the WAN provider slot.",
        Table.REGIONS,
        "own",
        ["", f"role {Role.WAN_PROVIDER.value}"],
        "what one region has and the other has not is of a WAN provider",
    ),
    clean(
        "anchors.wan-provider",
        "A region without a WAN provider of its own has the other region's.",
        Table.FILE,
        "wan_provider_fault",
        "each region has a WAN provider of its own",
    ),
)
DOCUMENT = (
    clean(
        "document.octets",
        "A document that was not made from anchor_slots.toml would have other anchors put into Devices.",
        Table.FILE,
        "octets_fault",
        "exactly what anchor_slots.toml says",
    ),
    clean(
        "document.files",
        "The document says which certificate goes into which slot; of other files it says nothing.",
        Table.FILE,
        "document_fault",
        "it names every certificate of both files",
    ),
)


def suite_of(kind: Kind) -> tuple[Check, ...]:
    """The checks that a file of a kind has to pass."""
    match kind:
        case FullExtract():
            return (*ALL, *GZIP, *PRODUCED, *XML, *HEAD, *FULL)
        case DeltaExtract():
            return (*ALL, *GZIP, *PRODUCED, *XML, *HEAD, *DELTA)
        case RevocationList():
            return (*ALL, *GZIP, *NO_KEY, *REVOCATION)
        case AnchorSlots(part):
            of_certificates = part in (AnchorPart.NORTH, AnchorPart.CENTRAL_SOUTH)
            return (*ALL, *GZIP, *XML, *ANCHORS) if of_certificates else (*ALL, *NO_KEY, *DOCUMENT)
        case never:
            assert_never(never)


def suite_version(checks: Sequence[Check]) -> str:
    """Says which checks judged: their digest, and the version of what ran them."""
    stated = "\n".join(
        f"{check.id} {check.severity} {check.table} {check.expectation(Bounds(0, 1)).configuration.to_json_dict()}"
        for check in checks
    )
    return f"{hashlib.sha256(stated.encode()).hexdigest()[:8]} on Great Expectations {gx.__version__}"
