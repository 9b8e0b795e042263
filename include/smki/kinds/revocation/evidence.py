"""The evidence on a revocation list's file: what its bytes hold, beside the lodged list and the one published before.

* It is one gzip member, intact, under its name, without private key material.
* It holds the newest lodged list of its kind, byte for byte (SEC Appendix O 2.3.3 (c), (d)).
* Its signature verifies, now and from these bytes, under a lodged certificate of its issuer, and its kind is the one
  that its name promises. Its thisUpdate has come and its nextUpdate has not passed.
* Number and nextUpdate that go back, entries that are gone and revocations that it does not list trip a breaker: its
  issuer signed it, so a person decides.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from smki.certificates.reading import is_private_key
from smki.errors import RevocationListRefusedError, VerificationError
from smki.gate.bounds import Bounds, Quality
from smki.gate.checks import GzipRow, KeyRow, NameRow
from smki.gate.evidence import Evidence
from smki.gate.figures import BYTES, silence
from smki.gate.ledger import PastPublication, past_publications
from smki.gate.model import Figure
from smki.kinds import Source
from smki.kinds.revocation.checks import (
    ENTRIES,
    ENTRIES_LOST,
    LIST,
    NEXT_UPDATE,
    NEXT_UPDATE_STEP,
    NUMBER,
    NUMBER_STEP,
    UNLISTED,
    EntryRow,
    ListRow,
)
from smki.kinds.revocation.file import newest_list
from smki.kinds.revocation.lodging import CLOCK_SKEW, LodgedList, kind_of
from smki.kinds.revocation.reading import RevocationListFields, read_revocation_list
from smki.obligations.catalogue import Obligation
from smki.repository.database import reading
from smki.repository.holdings import certificate_in_words, revoked_of, statuses_of
from smki.verify.faults import Fault, FaultError
from smki.verify.frame import read_single

_MOST_NAMED = 100


@dataclass(frozen=True, slots=True)
class ListExamination:
    """What a list's file holds, and what is wrong with it."""

    name: str
    bytes: int  # of the file
    sha256: str  # of the file, hex
    fields: RevocationListFields | None  # none where it cannot be read
    faults: tuple[FaultError, ...]
    key_in_frame: bool  # a private key stands in the bytes around the list: a comment in the gzip header goes out, too

    def fault(self, kind: Fault) -> str:
        """What of this kind is wrong, in words."""
        return " ".join(fault.rule for fault in self.faults if fault.fault is kind)


def file_evidence(source: Source, obligation: Obligation, file: Path, now: datetime) -> Evidence:
    """What the file of the newest list is judged on. Raises also VerificationError while no list of the kind is lodged,
    PlanError for no list.
    """
    lodged = newest_list(source.engine, obligation)
    if lodged is None:
        raise VerificationError(
            file.name,
            "no list is lodged that it could be.",
            next_step="lodge the list; `smki revocation list` shows what is there.",
        )
    return list_evidence(source, obligation, lodged, file, now)


def list_evidence(source: Source, obligation: Obligation, lodged: LodgedList, file: Path, now: datetime) -> Evidence:
    """What a list's file is judged on at `now` (UTC). Raises RepositoryUnavailableError and StoreError."""
    examined = examine_list(source.engine, file, lodged, now)
    with reading(source.engine) as connection:
        # Whatever its day: a list that went back is older than the published one.
        newest = source.quality.history.publications
        past = past_publications(connection, obligation, date.max, examined.sha256, newest)
    day = lodged.this_update.date()
    unlisted = _find_unlisted(source.engine, examined.fields, now)
    return Evidence(
        obligation=obligation,
        name=examined.name,
        business_date=day,
        bytes=examined.bytes,
        sha256=examined.sha256,
        checks=LIST,
        file=(
            NameRow(examined.name, obligation.file_name(day)),
            GzipRow(examined.fault(Fault.NAME), examined.fault(Fault.GZIP)),
            KeyRow(
                examined.fault(Fault.PRIVATE_KEY)
                or ("its gzip header holds a private key." if examined.key_in_frame else "")
            ),
            ListRow(
                octets_fault=examined.fault(Fault.CONTENT),
                signature_fault=examined.fault(Fault.SIGNATURE),
                freshness_fault=examined.fault(Fault.FRESHNESS),
            ),
        ),
        rows={EntryRow: _entry_rows(source.engine, examined.fields)},
        figures=_figures(source.quality, examined, day, past, len(unlisted)),
        concerned={
            "list.unlisted": [
                certificate_in_words(serial.hex().upper(), None) for serial in sorted(unlisted)[:_MOST_NAMED]
            ]
        },
    )


def examine_list(engine: Engine, file: Path, expected: LodgedList, now: datetime) -> ListExamination:
    """What `file` holds, held against the lodged list that it has to be, at `now` (UTC). Raises StoreError."""
    fields, faults = None, []
    try:
        content = read_single(file)
    except FaultError as fault:
        faults.append(fault)
    else:
        faults += _content_faults(file, content, expected)
        try:
            fields = read_revocation_list(content)
            faults += _list_faults(engine, file, fields, content, expected, now)
        except RevocationListRefusedError as error:
            faults.append(
                FaultError(Fault.SIGNATURE, file.name, f"{error.item}: {error.rule}", next_step=error.next_step)
            )
    file_bytes = file.read_bytes()
    return ListExamination(
        name=file.name,
        bytes=len(file_bytes),
        sha256=hashlib.sha256(file_bytes).hexdigest(),
        fields=fields,
        faults=tuple(faults),
        key_in_frame=is_private_key(file_bytes),
    )


def _content_faults(file: Path, content: bytes, expected: LodgedList) -> Iterator[FaultError]:
    if is_private_key(content):
        next_step = "have the key replaced wherever it is in use."
        yield FaultError(Fault.PRIVATE_KEY, file.name, "it holds a private key.", next_step=next_step)
    if content != expected.body:
        yield FaultError(Fault.CONTENT, file.name, f"it does not hold the bytes of {expected}.")


def _list_faults(
    engine: Engine, file: Path, fields: RevocationListFields, content: bytes, expected: LodgedList, now: datetime
) -> Iterator[FaultError]:
    """Raises RevocationListRefusedError for a list without an issuer or whose signature does not verify."""
    if not (fields.this_update <= now + CLOCK_SKEW and now < fields.next_update):
        what = "nextUpdate" if fields.next_update <= now else "thisUpdate"
        yield FaultError(
            Fault.FRESHNESS,
            file.name,
            f"the {what} of {expected} {'has passed' if what == 'nextUpdate' else 'has not come'}: it is valid from "
            f"{fields.this_update:%Y-%m-%d %H:%M:%S} to {fields.next_update:%Y-%m-%d %H:%M:%S} UTC and it is "
            f"{now:%Y-%m-%d %H:%M:%S}.",
            next_step="have its issuer issue the next list and lodge it; it is published at once.",
        )
    with reading(engine) as connection:
        kind = kind_of(connection, fields, content)
    if kind is not expected.kind:
        rule = f"it holds an {kind} and is to be an {expected.kind}."
        yield FaultError(Fault.SIGNATURE, file.name, rule, next_step="see `smki revocation list`.")


def _entry_rows(engine: Engine, fields: RevocationListFields | None) -> tuple[EntryRow, ...]:
    if fields is None:
        return ()
    serials = [entry.serial_number for entry in fields.entries]
    statuses = statuses_of(engine, fields.issuer, serials)
    return tuple(
        EntryRow(status, f"{certificate_in_words(serial.hex().upper(), None)}: {status}")
        for serial in serials
        for status in [str(statuses.get(serial, ""))]
    )


def _find_unlisted(engine: Engine, fields: RevocationListFields | None, now: datetime) -> frozenset[bytes]:
    """Serial numbers of the issuer's revoked certificates that the list does not have."""
    if fields is None:
        return frozenset()
    return revoked_of(engine, fields.issuer, now) - {entry.serial_number for entry in fields.entries}


def _figures(
    quality: Quality, examined: ListExamination, day: date, past: Sequence[PastPublication], unlisted: int
) -> tuple[Figure, ...]:
    before, fields = past[-1].figures if past else {}, examined.fields
    number = fields.number if fields else 0
    ends = int(fields.next_update.timestamp()) if fields else 0
    entries = len(fields.entries) if fields else 0
    entries_before = before.get(ENTRIES.name, 0)
    rule = quality.revocation.entries_lost
    since = "against the list published before" if before else "no earlier publication to be held against"
    forward = Bounds(0 if before else None, None, since)
    rising = Bounds(1 if NUMBER.name in before else None, None, since)
    most_lost = Bounds(None, max(rule.floor, entries_before * rule.percent / 100), since)
    return (
        ENTRIES.figure(entries, past),
        NUMBER.figure(number, past),
        NEXT_UPDATE.figure(ends, past),
        BYTES.figure(examined.bytes, past),
        NUMBER_STEP.figure(number - before.get(NUMBER.name, number), (), rising, compared=NUMBER.name in before),
        NEXT_UPDATE_STEP.figure(
            round((ends - before.get(NEXT_UPDATE.name, ends)) / 3600, 2), (), forward, compared=bool(before)
        ),
        ENTRIES_LOST.figure(max(0, entries_before - entries), (), most_lost, compared=bool(before)),
        UNLISTED.figure(unlisted, (), Bounds(None, 0, "every status R is listed")),
        silence(day, past, timedelta(days=quality.revocation.silent_days)),
    )
