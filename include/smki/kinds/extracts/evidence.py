"""The evidence on a full extract or a delta: what the verifier found in its bytes, beside repository and ledger.

* FULL of window n: its set digest is Σ entered − Σ departed over the windows 1 … n; and, closure, that of the newest
  full extract published before (of window m) + Σ entered − Σ departed over m+1 … n. A full extract of other statuses is
  held against the repository as of window n, and has no closure; of several statuses each is held against it apart.
* DELT of window n: each record is of a certificate that the window changed, with the status that it had at the window's
  end; and each of those is there.
* Where a digest does not agree, the certificates are named.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import pyarrow.compute as pc
from sqlalchemy import Connection, select

from smki.annex_b.gzip_reader import read_gzip
from smki.annex_b.version import AnnexB
from smki.certificates.model import Status
from smki.certificates.set_digest import SetDigest
from smki.errors import DocumentRefusedError, PlanError
from smki.gate.checks import Check, FileRow, GzipRow, NameRow, Row
from smki.gate.evidence import Evidence
from smki.gate.ledger import PastPublication, past_publications
from smki.gate.model import Figure
from smki.kinds import Source
from smki.kinds.extracts.agreement import expected_digest
from smki.kinds.extracts.checks import (
    DELTA,
    DeltaRow,
    ExtractRow,
    FullRow,
    RecordRow,
    SegmentRow,
    StatusRow,
    XmlRow,
    full_checks,
    words_of,
)
from smki.kinds.extracts.delta_records import compare_with_window
from smki.kinds.extracts.differences import MOST_NAMED, confirm_duplicates, full_differences
from smki.kinds.extracts.figures import OF_THE_FILE, delta_figures, full_figures
from smki.kinds.extracts.reading import ReadExtract
from smki.obligations.catalogue import DeltaExtract, FullExtract, Obligation, is_recovery_start
from smki.repository.authorities import issuer_faults
from smki.repository.database import reading
from smki.repository.holdings import (
    Named,
    changed_after_final,
    count_changed_manufacturing,
    count_manufacturing,
    digests_of_statuses,
    in_use_past_end,
)
from smki.repository.tables import artefact, publication
from smki.repository.windows import Window, find_window, list_windows
from smki.verify.faults import Fault
from smki.verify.marks import Marks
from smki.verify.verification import Verification

_HEAD_BYTES = 1 << 16  # bytes of XML in which the first record has begun
_BEHIND_THE_WINDOWS = (
    "it has exactly the certificates that the repository has now, which have changed behind the windows"
)
_EARLIER = "the windows agree among themselves, so the earlier full extract was published with other certificates"


@dataclass(frozen=True, slots=True)
class _Examined:
    """An extract whose bytes have been read, and where what it is held against comes from."""

    source: Source
    obligation: Obligation
    window: Window
    read: ReadExtract
    past: Sequence[PastPublication]  # oldest first

    @property
    def verification(self) -> Verification:
        return self.read.verification

    @property
    def marks(self) -> Marks:
        return self.read.marks

    @property
    def unread(self) -> str:
        """What could not be read, in words; empty where all was."""
        segments = self.verification.segments
        if not segments:
            return "nothing of it could be read"
        faulty = sum(bool(segment.fault) for segment in segments)
        left = "was left at what is wrong there" if faulty == 1 else "were left at what is wrong in each"
        return f"{faulty} of {len(segments)} segments {left}" if faulty else ""


def extract_evidence(source: Source, obligation: Obligation, business_date: date, read: ReadExtract) -> Evidence:
    """What an examined extract is judged on; where `has_rows` says so, it has to be examined with its rows.

    Raises WindowError while the day's window is not closed, RepositoryUnavailableError, PlanError for no extract.
    """
    window = find_window(source.engine, business_date)
    with reading(source.engine) as connection:
        yesterday, newest = business_date - timedelta(days=1), source.quality.history.publications
        past = past_publications(connection, obligation, yesterday, read.verification.sha256, newest)
    examined = _Examined(source, obligation, window, read, past)
    match obligation.kind:
        case FullExtract():
            return full_evidence(examined, obligation.kind)
        case DeltaExtract():
            return delta_evidence(examined)
        case _:
            raise PlanError(obligation.name, "it is no extract of certificates.")


def full_evidence(examined: _Examined, kind: FullExtract) -> Evidence:
    """What a full extract is judged on."""
    engine, window, verification = examined.source.engine, examined.window, examined.verification
    several = digests_of_statuses(engine, window.seq, kind.statuses) if len(kind.statuses) > 1 else {}
    expected = sum(several.values(), SetDigest()) if several else expected_digest(engine, kind, window.business_date)
    with reading(engine) as connection:
        closure = _closure(connection, examined, expected if is_recovery_start(kind) else None)
    figures = full_figures(
        examined.source.quality,
        examined.obligation.cut_off,
        window.business_date,
        verification,
        examined.past,
    )
    final = changed_after_final(engine, closure.since, window.seq, MOST_NAMED)
    twice = _duplicates(examined)
    manufacturing = count_manufacturing(engine, window.seq, kind.statuses)
    file = (
        *_file_rows(examined, final, twice, expected, manufacturing),
        FullRow(None if closure.digest is None else str(closure.digest)),
    )
    differing = _differences(examined, kind, expected)
    rows: dict[type[Row], Sequence[Row]] = {SegmentRow: segment_rows(verification, kind.statuses)}
    if several:
        rows[StatusRow] = _status_rows(examined, several)
    concerned = {
        "records.expired": _names_of_ended(examined),
        "windows.final": final.named,
        "xml.unique": twice,
        "full.count": differing,
        "full.set-digest": differing,
        "full.closure": (closure.basis, *(differing if closure.digest == expected else (_EARLIER,))),
    }
    return _evidence(examined, full_checks(kind), file, rows, figures, concerned)


def delta_evidence(examined: _Examined) -> Evidence:
    """What a delta is judged on."""
    engine, window, verification = examined.source.engine, examined.window, examined.verification
    readable = (segment.number for segment in verification.segments if not segment.fault)
    compared = compare_with_window(engine, window.seq, examined.marks, readable)
    figures = delta_figures(examined.source.quality, window.business_date, verification, examined.past)
    final = changed_after_final(engine, window.seq, window.seq, MOST_NAMED)
    twice = _duplicates(examined)
    manufacturing = count_changed_manufacturing(engine, window.seq)
    file = (
        *_file_rows(examined, final, twice, window.changed, manufacturing),
        DeltaRow(f"{compared.missing:,} certificates are missing" if compared.missing else ""),
    )
    rows: dict[type[Row], Sequence[Row]] = {SegmentRow: segment_rows(verification), RecordRow: compared.rows}
    concerned = {
        "records.expired": _names_of_ended(examined),
        "windows.final": final.named,
        "xml.unique": twice,
        "delta.complete": compared.missing_named,
    }
    return _evidence(examined, DELTA, file, rows, figures, concerned)


def xml_rows(source: Source, expected_name: str, verification: Verification) -> tuple[NameRow, GzipRow, XmlRow]:
    """What is said of any examined Annex B file as a whole."""
    unknown, _ = issuers_of(source, verification)

    def faults(kind: Fault) -> str:
        return " ".join(fault.rule for fault in verification.faults if fault.fault is kind)

    return (
        NameRow(verification.name, expected_name),
        GzipRow(faults(Fault.NAME), faults(Fault.GZIP)),
        XmlRow(
            content_fault=faults(Fault.CONTENT),
            duplicate_fault=faults(Fault.DUPLICATE),
            issuer_fault="; ".join(unknown),
            records=verification.records,
            set_digest=str(verification.set_digest),
        ),
    )


def issuers_of(source: Source, verification: Verification) -> tuple[list[str], list[str]]:
    """What is wrong with the issuers of an examined file, and what its reader has to know of them."""
    return issuer_faults(source.engine, {bytes.fromhex(name): count for name, count in verification.issuers.items()})


def segment_rows(verification: Verification, statuses: Collection[Status] = (Status.IN_USE,)) -> tuple[SegmentRow, ...]:
    """The verifier's rows, with the count of records that have one of some statuses in a column of its own."""
    return tuple(
        SegmentRow(
            number=segment.number,
            records=segment.records,
            in_use=sum(segment.statuses.get(status, 0) for status in statuses),
            fault=segment.fault,
            parsed=segment.parsed,
            item=segment.fault_text or f"segment {segment.number}: {_mix(segment.statuses)}",
        )
        for segment in verification.segments
    )


def _evidence(
    examined: _Examined,
    checks: tuple[Check, ...],
    file: tuple[FileRow, ...],
    rows: Mapping[type[Row], Sequence[Row]],
    figures: tuple[Figure, ...],
    concerned: Mapping[str, Sequence[str]],
) -> Evidence:
    verification, unread = examined.verification, examined.unread
    return Evidence(
        obligation=examined.obligation,
        name=verification.name,
        business_date=examined.window.business_date,
        bytes=verification.bytes,
        sha256=verification.sha256,
        checks=checks,
        file=file,
        rows=rows,
        figures=tuple(figure for figure in figures if not unread or figure.name in OF_THE_FILE),
        concerned=concerned,
        remarks=(*issuers_of(examined.source, verification)[1], *examined.read.pages_in_words()),
        unread=unread,
    )


def _file_rows(
    examined: _Examined, final: Named, twice: Sequence[str], expected: SetDigest, manufacturing: int
) -> tuple[FileRow, ...]:
    """What is said of any extract as a whole, the figures expected by the repository beside its own."""
    verification = examined.verification
    name, gzip_row, xml = xml_rows(
        examined.source, examined.obligation.file_name(examined.window.business_date), verification
    )
    return (
        name,
        gzip_row,
        xml if twice else replace(xml, duplicate_fault=""),
        ExtractRow(
            head_fault=_head_fault(examined.read, verification.format),
            final_fault=f"{final.count:,} certificates were changed after E or R" if final.count else "",
            expected_records=expected.count,
            expected_set_digest=str(expected),
            manufacturing=sum(segment.manufacturing for segment in verification.segments),
            expected_manufacturing=manufacturing,
            expired_fault=f"one in use ended {ended:%Y-%m-%d %H:%M} UTC" if (ended := _ended(examined)) else "",
        ),
    )


def _ended(examined: _Examined) -> datetime | None:
    """When the first of the file's certificates in use ended (UTC), if it did by the cut-off."""
    until = examined.verification.in_use_until
    return until if until and until <= examined.window.cutoff else None


def _names_of_ended(examined: _Examined) -> Sequence[str]:
    window = examined.window
    return in_use_past_end(examined.source.engine, window.seq, window.cutoff, MOST_NAMED) if _ended(examined) else ()


def _duplicates(examined: _Examined) -> tuple[str, ...]:
    """What really stands in it twice; equal keys alone may be chance."""
    verification = examined.verification
    if not verification.repeated:
        return ()
    units = [segment.number for segment in verification.segments if not segment.fault]
    return confirm_duplicates(examined.read.examine_again, verification.repeated, units, examined.marks)


def _differences(examined: _Examined, kind: FullExtract, expected: SetDigest) -> tuple[str, ...]:
    """In which certificates a full extract differs from the repository, one line each."""
    verification, window = examined.verification, examined.window
    if examined.unread or verification.set_digest == expected:
        return ()
    found = full_differences(
        examined.source.engine, window.seq, kind.statuses, examined.read.open, verification.name, examined.marks
    ).in_words(f"{words_of(kind)} as of window {window.seq}")
    return found if found or verification.repeated else (_BEHIND_THE_WINDOWS,)


def _status_rows(examined: _Examined, expected: Mapping[Status, SetDigest]) -> tuple[StatusRow, ...]:
    """The certificates of each status in the file, beside those that have it as of the window."""
    found = dict.fromkeys(expected, SetDigest())
    for segment in examined.verification.segments:
        if not segment.fault:
            records = examined.marks.rows([segment.number])
            for status in found:
                of_status = records.filter(pc.equal(records["status"], str(status)))
                found[status] += SetDigest.of_hashes(of_status["sha256"].to_pylist())
    return tuple(
        StatusRow(
            set_digest=str(found[status]),
            expected_set_digest=str(digest),
            item=f"status {status}: {found[status].count:,} in the file, {digest.count:,} in the repository",
        )
        for status, digest in expected.items()
    )


def _head_fault(read: ReadExtract, annex_b: AnnexB) -> str:
    """What is wrong with the document's head; nothing where it cannot be read at all, which other checks say."""
    try:
        with read.open() as stream:
            head, _, _ = read_gzip(stream, read.verification.name).read(_HEAD_BYTES).partition(annex_b.record_start)
    except DocumentRefusedError:
        return ""
    expected = annex_b.head_texts(read.verification.name.removesuffix(".gz"))
    wrong = [
        f"{name} is not {value!r}." for name, value in expected if f"<{name}>{value}</{name}>".encode() not in head
    ]
    return " ".join(wrong)


@dataclass(frozen=True, slots=True)
class _Closure:
    digest: SetDigest | None  # none: of its statuses there is no sum
    basis: str
    since: int  # the first window that no full extract before holds


def _closure(connection: Connection, examined: _Examined, expected: SetDigest | None) -> _Closure:
    """What a full extract has to be, from the one published before it; `expected` is what it is without one."""
    columns, window = artefact.c, examined.window
    before = connection.execute(
        select(columns.name, columns.window_seq, columns.set_digest)
        .join_from(publication, artefact, columns.id == publication.c.artefact_id)
        .where(
            columns.obligation == examined.obligation.name,
            columns.subject == examined.obligation.subject,
            columns.window_seq < window.seq,
        )
        .order_by(columns.window_seq.desc(), publication.c.id.desc())
        .limit(1)
    ).one_or_none()
    if before is None:
        return _Closure(expected, "no full extract was published before; it is held against the sum of all windows", 1)
    digest = None if expected is None else SetDigest.parse(before.set_digest)
    for one in list_windows(examined.source.engine):
        if digest is not None and before.window_seq < one.seq <= window.seq:
            digest = digest + one.entered - one.departed
    return _Closure(
        digest,
        f"held against {before.name} and the windows {before.window_seq + 1} to {window.seq}",
        before.window_seq + 1,
    )


def _mix(statuses: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {status}" for status, count in sorted(statuses.items())) or "no records"
