"""The evidence on a full extract or a delta: what the verifier found in its bytes, beside repository and ledger.

* FULL of window n: its set digest is Σ entered − Σ departed over the windows 1 … n; and, closure, that of the newest
  full extract published before (of window m) + Σ entered − Σ departed over m+1 … n.
* DELT of window n: each record is of a certificate that the window changed, with the status that it had at the window's
  end; and each of those is there.
* Where a digest does not agree, the certificates are named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Engine, select

from smki.annex_b.gzip_reader import read_gzip
from smki.annex_b.version import AnnexB
from smki.certificates.model import Status
from smki.certificates.set_digest import SetDigest
from smki.errors import DocumentRefusedError
from smki.gate.evidence import FAULT_TEXT, NEW, Evidence, Source, Table
from smki.gate.figures import delta_figures, full_figures
from smki.gate.ledger import past_publications
from smki.kinds.extracts.agreement import expected_digest
from smki.kinds.extracts.differences import MOST_NAMED, confirmed_duplicates, full_differences
from smki.obligations.catalogue import DeltaExtract, FullExtract, Obligation
from smki.repository.database import lost_connections
from smki.repository.holdings import changed_after_final, changed_by, known_issuers, manufacturing_in_use, named
from smki.repository.tables import artefact, publication
from smki.repository.windows import Window, find_window, list_windows
from smki.store.manifest import manifest_path, read_manifest
from smki.verify.faults import Fault
from smki.verify.marks import Marks
from smki.verify.verification import Verification

_HEAD_BYTES = 1 << 16  # bytes of XML in which the first record has begun
_OF_THE_FILE = ("bytes", "days_since_previous")  # figures that need no record to have been read
_BEHIND_THE_WINDOWS = (
    "it has exactly the certificates that the repository has now, which have changed behind the windows"
)
_EARLIER = "the windows agree among themselves, so the earlier full extract was published with other certificates"


def extract_evidence(
    source: Source, obligation: Obligation, business_date: date, file: Path, verification: Verification, marks: Marks
) -> Evidence:
    """What an examined extract is judged on; a delta has to be examined with its rows.

    Raises WindowError while the day's window is not closed, RepositoryUnavailableError.
    """
    engine = source.engine
    window = find_window(engine, business_date)
    kind = obligation.kind
    assert isinstance(kind, FullExtract | DeltaExtract)  # noqa: S101  # whoever calls has matched it
    expected = expected_digest(engine, kind, business_date)
    with lost_connections(), engine.connect() as connection:
        past = past_publications(
            connection, obligation, business_date - timedelta(days=1), verification.sha256, source.quality.publications
        )
        closure = _closure(connection, engine, obligation, window, expected)
    is_full = isinstance(kind, FullExtract)
    figures = (full_figures if is_full else delta_figures)(source.quality, business_date, verification, past)
    row = xml_row(engine, obligation.file_name(business_date), verification)
    row |= {figure.name: figure.value for figure in figures}
    row |= {
        "expected_records": expected.count,
        "expected_set_digest": str(expected),
        "head_fault": _head_fault(file, verification.format),
    }
    unread = _unread(verification)
    if unread:
        figures = tuple(figure for figure in figures if figure.name in _OF_THE_FILE)
    tables = {Table.SEGMENTS: segment_table(verification)}
    resurrected = changed_after_final(engine, closure.since if is_full else window.seq, window.seq)
    row["final_fault"] = f"{len(resurrected):,} certificates were changed after E or R" if resurrected else ""
    named_items: dict[str, Sequence[str]] = {"windows.final": resurrected[:MOST_NAMED]}
    if verification.repeated:
        in_segments = any(segment.deflate_bytes for segment in verification.segments)
        manifest = read_manifest(file) if in_segments and manifest_path(file).exists() else None
        twice = confirmed_duplicates(file, manifest, source.schema, verification, marks)
        row["duplicate_fault"] = row["duplicate_fault"] if twice else ""
        named_items["xml.unique"] = twice
    row["manufacturing"] = sum(segment.manufacturing for segment in verification.segments)
    if is_full:
        row["closure_set_digest"] = str(closure.digest)
        row["expected_manufacturing"] = manufacturing_in_use(engine, window.seq)
        differing: tuple[str, ...] = ()
        if not unread and verification.set_digest != expected:
            state = f"in use as of window {window.seq}"
            differing = full_differences(engine, window.seq, file, verification, marks).in_words(state)
            if not differing and not verification.repeated:
                differing = (_BEHIND_THE_WINDOWS,)
        named_items |= dict.fromkeys(("full.count", "full.set-digest"), differing)
        named_items["full.closure"] = (closure.basis, *(differing if closure.digest == expected else (_EARLIER,)))
    else:
        changed = changed_by(engine, window.seq)
        row["expected_manufacturing"] = int(pc.sum(changed["manufacturing"]).as_py() or 0)
        records, missing = _against_window(
            marks.rows(segment.number for segment in verification.segments if not segment.fault), changed
        )
        tables[Table.RECORDS] = records
        row["missing_fault"] = f"{len(missing):,} certificates are missing" if missing else ""
        named_items["delta.complete"] = missing[:MOST_NAMED]
    tables[Table.FILE] = pd.DataFrame([row])
    return Evidence(
        obligation=obligation,
        name=verification.name,
        business_date=business_date,
        bytes=verification.bytes,
        sha256=verification.sha256,
        tables=tables,
        figures=figures,
        named=named_items,
        unread=unread,
    )


def xml_row(engine: Engine, expected_name: str, verification: Verification) -> dict[str, object]:
    """What the table FILE says of any examined Annex B file."""
    known = known_issuers(engine)
    unknown = {name: count for name, count in verification.issuers.items() if bytes.fromhex(name) not in known}

    def faults(kind: Fault) -> str:
        return " ".join(fault.rule for fault in verification.faults if fault.fault is kind)

    return {
        "name": verification.name,
        "expected_name": expected_name,
        "name_fault": faults(Fault.NAME),
        "gzip_fault": faults(Fault.GZIP),
        "content_fault": faults(Fault.CONTENT),
        "duplicate_fault": faults(Fault.DUPLICATE),
        "issuer_fault": f"{sum(unknown.values()):,} records of {len(unknown)} unknown issuers" if unknown else "",
        "records": verification.records,
        "set_digest": str(verification.set_digest),
    }


def _unread(verification: Verification) -> str:
    """What could not be read, in words; empty where all was."""
    if not verification.segments:
        return "nothing of it could be read"
    faulty = sum(bool(segment.fault) for segment in verification.segments)
    left = "was left at what is wrong there" if faulty == 1 else "were left at what is wrong in each"
    return f"{faulty} of {len(verification.segments)} segments {left}" if faulty else ""


def _head_fault(file: Path, annex_b: AnnexB) -> str:
    """What is wrong with the document's head; nothing where it cannot be read at all, which other checks say."""
    try:
        with file.open("rb") as stream:
            head, _, _ = read_gzip(stream, file.name).read(_HEAD_BYTES).partition(annex_b.record_start)
    except DocumentRefusedError:
        return ""
    expected = annex_b.head_texts(file.name.removesuffix(".gz"))
    wrong = [
        f"{name} is not {value!r}." for name, value in expected if f"<{name}>{value}</{name}>".encode() not in head
    ]
    return " ".join(wrong)


def segment_table(verification: Verification) -> pd.DataFrame:
    """The table SEGMENTS: the verifier's rows, with the count of records in use in a column of its own."""
    rows = [
        {
            "number": segment.number,
            "records": segment.records,
            "in_use": segment.statuses.get(Status.IN_USE, 0),
            "fault": segment.fault,
            "parsed": segment.parsed,
            FAULT_TEXT: segment.fault_text or f"segment {segment.number}: {_mix(segment.statuses)}",
        }
        for segment in verification.segments
    ]
    return pd.DataFrame(rows, columns=["number", "records", "in_use", "fault", "parsed", FAULT_TEXT])


def _against_window(records: pa.Table, changed: pa.Table) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The table RECORDS, and the certificates that the window changed and no record has, by name."""
    held = records.select(["status", "class", "serial_number", "sha256"]).to_pandas().astype(object)
    # Two certificates with one body: it was written over another one, and the fields beside it say so.
    window = changed.to_pandas().astype(object).drop_duplicates("sha256").set_index("sha256")
    beside = window[["before", "after"]].reindex(held["sha256"])
    before = beside["before"].fillna(NEW)
    moves = [
        f"{one_class} {old}→{new}" for one_class, old, new in zip(held["class"], before, held["status"], strict=True)
    ]
    items = [
        f"{named(serial.hex().upper(), None)}: {move}"
        for serial, move in zip(held["serial_number"], moves, strict=True)
    ]
    table = pd.DataFrame(
        {
            "status": held["status"],
            "expected_status": beside["after"].to_numpy(),
            "move": pd.Series(moves, dtype=object),
            "item": pd.Series(items, dtype=object),
        }
    )
    missing = window.loc[~window.index.isin(held["sha256"])]
    named_missing = tuple(
        f"{named(serial.hex().upper(), None)}: {old or NEW}→{new}"
        for serial, old, new in zip(missing["serial_number"], missing["before"], missing["after"], strict=True)
    )
    return table, named_missing


@dataclass(frozen=True, slots=True)
class _Closure:
    digest: SetDigest
    basis: str
    since: int  # the first window that no full extract before holds


def _closure(
    connection: Connection, engine: Engine, obligation: Obligation, window: Window, expected: SetDigest
) -> _Closure:
    """What a full extract of that window has to be, from the one published before it."""
    columns = artefact.c
    before = connection.execute(
        select(columns.name, columns.window_seq, columns.set_digest)
        .join_from(publication, artefact, columns.id == publication.c.artefact_id)
        .where(columns.obligation == obligation.name, columns.window_seq < window.seq)
        .order_by(columns.window_seq.desc(), publication.c.id.desc())
        .limit(1)
    ).one_or_none()
    if before is None:
        return _Closure(expected, "no full extract was published before; it is held against the sum of all windows", 1)
    digest = SetDigest.parse(before.set_digest)
    for one in list_windows(engine):
        if before.window_seq < one.seq <= window.seq:
            digest = digest + one.entered - one.departed
    return _Closure(
        digest,
        f"held against {before.name} and the windows {before.window_seq + 1} to {window.seq}",
        before.window_seq + 1,
    )


def _mix(statuses: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {status}" for status, count in sorted(statuses.items())) or "no records"
