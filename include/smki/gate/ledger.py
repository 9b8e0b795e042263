"""What the gate said and what people decided, in the ledger.

* Every gate run is kept, whatever its verdict. Of several runs over the same bytes the newest counts.
* A file is cleared if its newest run says PASS, or HOLD and a person released it. Nothing else is published.
* A HOLD is decided once, with a reason; the same decision again changes nothing.
* A figure's history is that of published files: what was held or failed is no measure for what comes.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, exists, func, select
from sqlalchemy.dialects.postgresql import distinct_on, insert

from smki.errors import PublicationRefusedError, UnknownGateRunError
from smki.gate.model import Judgement, Past, Verdict, is_cleared
from smki.obligations.catalogue import Obligation
from smki.repository.database import reading, writing
from smki.repository.tables import artefact, gate_decision, gate_run, publication


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided about a file that was held."""

    released: bool  # false: rejected
    reason: str
    decided_by: str
    decided_at: datetime  # UTC


@dataclass(frozen=True, slots=True)
class GateRun:
    """A judgement as the ledger has it."""

    id: int
    judgement: Judgement
    decision: Decision | None

    @property
    def is_cleared(self) -> bool:
        """Whether the file may be published."""
        return is_cleared(self.judgement.verdict, None if self.decision is None else self.decision.released)


@dataclass(frozen=True, slots=True)
class PastPublication:
    """The figures of a file that was published."""

    business_date: date
    figures: dict[str, float]  # by name


def record_judgement(engine: Engine, judgement: Judgement, manifest: str = "") -> int:
    """Records what the gate said of a file; `manifest` (SHA-256, hex) is what it is made of, if it is no single object.

    Returns the gate run's number. Raises RepositoryUnavailableError.
    """
    row = {
        "obligation": judgement.obligation,
        "subject": judgement.subject,
        "name": judgement.name,
        "sha256": judgement.sha256,
        "manifest": manifest,
        "business_date": judgement.business_date,
        "verdict": judgement.verdict,
        "suite_version": judgement.suite_version,
        "run": judgement.run,
        "judged_at": judgement.judged_at,
        "judgement": judgement.as_json(),
    }
    with writing(engine) as connection:
        number: int = connection.execute(insert(gate_run).values(row).returning(gate_run.c.id)).scalar_one()
    return number


def record_decision(engine: Engine, gate_run_id: int, decision: Decision) -> None:
    """Records what a person decided about a held file.

    Raises UnknownGateRunError where there is nothing to decide: no such run, not held, or decided otherwise before.
    """
    found = find_gate_run(engine, gate_run_id)
    if found.judgement.verdict is not Verdict.HOLD:
        rule = f"its verdict is {found.judgement.verdict}, and only a HOLD is decided."
        raise UnknownGateRunError(f"gate run {gate_run_id}", rule)
    values = {"gate_run_id": gate_run_id} | asdict(decision)
    with writing(engine) as connection:
        connection.execute(insert(gate_decision).values(values).on_conflict_do_nothing())
    before = find_gate_run(engine, gate_run_id).decision  # this one, unless somebody was faster
    if before is not None and before.released is not decision.released:
        did = "released" if before.released else "rejected"
        raise UnknownGateRunError(f"gate run {gate_run_id}", f"{before.decided_by} {did} it before: {before.reason}")


def check_cleared(connection: Connection, name: str, sha256: str) -> None:
    """Raises PublicationRefusedError unless the gate cleared these bytes under this name."""
    newest = _newest(connection, gate_run.c.name == name, gate_run.c.sha256 == sha256)
    if newest is not None and newest.is_cleared:
        return
    state = f"the newest gate run over it says {newest.judgement.verdict}" if newest else "no gate run has judged it"
    raise PublicationRefusedError(
        name,
        f"only what the gate cleared is published, and {state} (SHA-256 {sha256}).",
        next_step="see `smki gate history`, and have it judged again.",
    )


def find_gate_run(engine: Engine, gate_run_id: int) -> GateRun:
    """One gate run. Raises UnknownGateRunError."""
    with reading(engine) as connection:
        found = _gate_runs(connection, _SELECT.where(gate_run.c.id == gate_run_id))
    if not found:
        raise UnknownGateRunError(f"gate run {gate_run_id}", "the ledger has none of that number.")
    return found[0]


def newest_gate_run(engine: Engine, name: str, sha256: str | None = None) -> GateRun | None:
    """The newest over a file of this name; with a hash (hex) the newest over these bytes."""
    of_bytes = () if sha256 is None else (gate_run.c.sha256 == sha256,)
    with reading(engine) as connection:
        return _newest(connection, gate_run.c.name == name, *of_bytes)


def waiting_gate_runs(engine: Engine, since: datetime) -> list[GateRun]:
    """What the gate holds and nobody has decided, oldest first: of the runs from `since` the newest over each name."""
    newest = select(func.max(gate_run.c.id)).where(gate_run.c.judged_at >= since).group_by(gate_run.c.name)
    held = (gate_run.c.verdict == Verdict.HOLD, gate_decision.c.gate_run_id.is_(None))
    with reading(engine) as connection:
        return _gate_runs(connection, _SELECT.where(gate_run.c.id.in_(newest), *held).order_by(gate_run.c.id))


def list_unpublished(connection: Connection, since: datetime) -> list[tuple[str, str]]:
    """SHA-256 and manifest (hex) of what the gate has judged since then (UTC) and may still be published.

    That is what it holds or has cleared, and no site was ever given.
    """
    newest = (
        select(gate_run.c.id)
        .where(gate_run.c.judged_at >= since)
        .ext(distinct_on(gate_run.c.name, gate_run.c.sha256))
        .order_by(gate_run.c.name, gate_run.c.sha256, gate_run.c.id.desc())
    )
    rows = connection.execute(
        select(gate_run.c.sha256, gate_run.c.manifest)
        .join_from(gate_run, gate_decision, isouter=True)
        .where(
            gate_run.c.id.in_(newest),
            gate_run.c.verdict != Verdict.FAIL,
            gate_decision.c.released.is_not(False),
            ~_PUBLISHED,
        )
    )
    return [(row.sha256, row.manifest) for row in rows]


def list_gate_runs(
    engine: Engine, *, obligation: str | None = None, verdict: Verdict | None = None, limit: int = 50
) -> list[GateRun]:
    """The newest gate runs, newest first."""
    query = _SELECT.order_by(gate_run.c.id.desc()).limit(limit)
    if obligation is not None:
        query = query.where(gate_run.c.obligation == obligation)
    if verdict is not None:
        query = query.where(gate_run.c.verdict == verdict)
    with reading(engine) as connection:
        return _gate_runs(connection, query)


def past_publications(
    connection: Connection, obligation: Obligation, until: date, sha256: str, count: int
) -> list[PastPublication]:
    """The newest `count` published files of an obligation with a business date up to `until`, oldest first.

    The file with this hash is left out: nothing is its own history.
    """
    newest_of_each = (
        select(gate_run.c.id, gate_run.c.business_date, gate_run.c.judgement["figures"].label("figures"))
        .where(
            gate_run.c.obligation == obligation.name,
            gate_run.c.subject == obligation.subject,
            gate_run.c.business_date <= until,
            gate_run.c.sha256 != sha256,
            _PUBLISHED,
        )
        .ext(distinct_on(gate_run.c.name, gate_run.c.sha256))
        .order_by(gate_run.c.name, gate_run.c.sha256, gate_run.c.id.desc())
        .subquery()
    )
    rows = connection.execute(
        select(newest_of_each).order_by(newest_of_each.c.business_date.desc(), newest_of_each.c.id.desc()).limit(count)
    ).all()
    return [
        PastPublication(
            row.business_date, {one["name"]: one["value"] for one in row.figures if one.get("compared", True)}
        )
        for row in reversed(rows)
    ]


def past_values(past: Sequence[PastPublication], figure: str) -> tuple[Past, ...]:
    """The history of one figure; publications that have none are left out."""
    return tuple(Past(one.business_date, one.figures[figure]) for one in past if figure in one.figures)


# Whether some site was ever given what a gate run judged.
_PUBLISHED = exists(
    select(publication.c.id)
    .join(artefact, artefact.c.id == publication.c.artefact_id)
    .where(artefact.c.name == gate_run.c.name, artefact.c.sha256 == gate_run.c.sha256)
)
_SELECT = select(
    gate_run.c.id,
    gate_run.c.judgement,
    gate_decision.c.released,
    gate_decision.c.reason,
    gate_decision.c.decided_by,
    gate_decision.c.decided_at,
).join_from(gate_run, gate_decision, isouter=True)


def _newest(connection: Connection, *conditions: ColumnElement[bool]) -> GateRun | None:
    newest = _SELECT.where(*conditions).order_by(gate_run.c.id.desc()).limit(1)
    return next(iter(_gate_runs(connection, newest)), None)


def _gate_runs(connection: Connection, query: Select[Any]) -> list[GateRun]:
    return [_gate_run(row) for row in connection.execute(query)]


def _gate_run(row: Row[Any]) -> GateRun:
    decision = None
    if row.reason is not None:
        decision = Decision(row.released, row.reason, row.decided_by, row.decided_at)
    return GateRun(row.id, Judgement.from_json(row.judgement), decision)
