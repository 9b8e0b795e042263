"""The evidence on a revocation list's file: what its bytes hold, beside the lodged list and the one published before.

A list has to be the newest lodged one of its kind, to the octet (SEC Appendix O 2.3.3 (c), (d)). Number and nextUpdate
that go back, entries that are gone and revocations that it does not list trip a breaker: its issuer signed it, so a
person decides.
"""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

import pandas as pd
from sqlalchemy import Engine

from smki.certificates.reading import is_private_key
from smki.errors import VerificationError
from smki.gate.bounds import Bounds
from smki.gate.evidence import Evidence, Source, Table
from smki.gate.figures import figure, silence
from smki.gate.ledger import PastPublication, past_publications
from smki.gate.model import Figure
from smki.kinds.revocation.examination import ListExamination, examine_revocation_file
from smki.kinds.revocation.lodging import latest_list
from smki.kinds.revocation.reading import RevocationListFields
from smki.obligations.catalogue import Obligation, RevocationList
from smki.repository.database import lost_connections
from smki.repository.holdings import named, revoked_of, statuses_of
from smki.verify.faults import Fault

_SHOWN = 100


def list_evidence(source: Source, obligation: Obligation, file: Path, now: datetime) -> Evidence:
    """What a list's file is judged on at `now` (UTC).

    Raises VerificationError while no list of the kind is lodged, RepositoryUnavailableError, StagingError.
    """
    engine, kind = source.engine, obligation.kind
    assert isinstance(kind, RevocationList)  # noqa: S101  # whoever calls has matched it
    with lost_connections(), engine.connect() as connection:
        lodged = latest_list(connection, kind.list_kind)
        if lodged is None:
            raise VerificationError(
                file.name,
                f"no {kind.list_kind} is lodged that it could be.",
                "It cannot be judged.",
                "lodge the list; `smki revocation list` shows what is there.",
            )
        day = lodged.this_update.date()
        examined = examine_revocation_file(engine, file, lodged, now)
        # Whatever its day: a list that went back is older than the published one.
        past = past_publications(connection, obligation, date.max, examined.sha256, source.quality.publications)
    unlisted = _unlisted(engine, examined.fields, now)
    figures = (
        *_list_figures(source, examined, past, len(unlisted)),
        silence(day, past, source.quality.revocation_silent),
    )
    row = {
        "name": examined.name,
        "expected_name": obligation.file_name(day),
        "name_fault": _faults(examined, Fault.NAME),
        "gzip_fault": _faults(examined, Fault.GZIP),
        "octets_fault": _faults(examined, Fault.CONTENT),
        "private_key_fault": _faults(examined, Fault.PRIVATE_KEY) or _key_in_header(file),
        "signature_fault": _faults(examined, Fault.SIGNATURE),
        "freshness_fault": _faults(examined, Fault.FRESHNESS),
    }
    return Evidence(
        obligation=obligation,
        name=examined.name,
        business_date=day,
        bytes=examined.bytes,
        sha256=examined.sha256,
        tables={
            Table.FILE: pd.DataFrame([row | {one.name: one.value for one in figures}]),
            Table.ENTRIES: _entries(engine, examined.fields),
        },
        figures=figures,
        named={"list.unlisted": [named(serial.hex().upper(), None) for serial in sorted(unlisted)[:_SHOWN]]},
    )


def _faults(examined: ListExamination, kind: Fault) -> str:
    return " ".join(fault.rule for fault in examined.faults if fault.fault is kind)


def _key_in_header(file: Path) -> str:
    """A comment in the gzip header is no part of what the file holds, and goes out with it."""
    return "its gzip header holds a private key." if is_private_key(file.read_bytes()) else ""


def _entries(engine: Engine, fields: RevocationListFields | None) -> pd.DataFrame:
    """The table ENTRIES: a row a listed certificate with its status in the repository, "" where it is not lodged."""
    serials = [entry.serial_number for entry in fields.entries] if fields else []
    statuses = statuses_of(engine, fields.issuer, serials) if fields else {}
    rows = [
        {"status": statuses.get(serial, ""), "item": f"{named(serial.hex().upper(), None)}: {statuses.get(serial, '')}"}
        for serial in serials
    ]
    return pd.DataFrame(rows, columns=["status", "item"])


def _unlisted(engine: Engine, fields: RevocationListFields | None, now: datetime) -> frozenset[bytes]:
    if fields is None:
        return frozenset()
    return revoked_of(engine, fields.issuer, now) - {entry.serial_number for entry in fields.entries}


def _list_figures(
    source: Source, examined: ListExamination, past: Sequence[PastPublication], unlisted: int
) -> tuple[Figure, ...]:
    before = past[-1].figures if past else {}
    fields = examined.fields
    number = fields.number if fields else 0
    ends = int(fields.next_update.timestamp()) if fields else 0
    entries = len(fields.entries) if fields else 0
    rule = source.quality.entries_lost
    most = max(rule.floor, before.get("entries", 0) * rule.percent / 100)
    since = "against the list published before" if before else "no earlier publication to be held against"
    forward = Bounds(0 if before else None, None, since)
    return (
        figure("entries", "Entries", "", entries, past),
        figure("number", "CRL number", "", number, past),
        figure("next_update", "nextUpdate", "s since 1970", ends, past),
        figure("bytes", "Size of the file", "octets", examined.bytes, past),
        figure(
            "number_step", "CRL number since the list before", "", number - before.get("number", number), (), forward
        ),
        figure(
            "next_update_step",
            "nextUpdate since the list before",
            "hours",
            round((ends - before.get("next_update", ends)) / 3600, 2),
            (),
            forward,
        ),
        figure(
            "entries_lost",
            "Entries that are gone",
            "",
            max(0, before.get("entries", 0) - entries),
            (),
            Bounds(None, most, since),
        ),
        figure("unlisted", "Revoked and not listed", "", unlisted, (), Bounds(None, 0, "every status R is listed")),
    )
