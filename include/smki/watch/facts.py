"""What the ledger and the repository say of the due files: one read, so that states are computed from one moment."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Select, func, or_, select

from smki.gate.model import Verdict
from smki.obligations.catalogue import Obligation, Terms, UserGuide
from smki.repository.database import lost_connections
from smki.repository.tables import (
    artefact,
    delta_window,
    gate_decision,
    gate_run,
    publication,
    revocation_list,
    status_event,
)

_LIST_KINDS = {Obligation.ARL: "ARL", Obligation.CRL: "CRL"}
_DATED = (Obligation.FULL, Obligation.DELTA)


@dataclass(frozen=True, slots=True)
class Offered:
    """A file that a site offers, or offered."""

    site: str
    name: str
    bytes: int
    records: int
    sha256: str  # hex
    run: str  # who published it
    first_published_at: datetime  # UTC; a file that was lost and put there again keeps it
    ended_at: datetime | None  # UTC


@dataclass(frozen=True, slots=True)
class Judged:
    """A gate run over a file."""

    id: int
    name: str
    sha256: str  # hex
    verdict: Verdict
    judged_at: datetime  # UTC
    released: bool | None  # what a person decided of a HOLD; None: nothing yet
    decided_by: str | None
    reason: str | None

    @property
    def cleared(self) -> bool:
        """Whether it may be published."""
        return self.verdict is Verdict.PASS or bool(self.verdict is Verdict.HOLD and self.released)


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it, as of one moment."""

    sites: tuple[str, ...]  # that every file has to be on
    first_day: date | None  # business date of the first window; none while nothing is lodged
    begins: dict[Obligation, datetime]  # of files that are replaced in place: since when there is something to publish
    _offered: dict[str, list[Offered]] = field(default_factory=dict)  # by name, oldest first
    _judged: dict[str, list[Judged]] = field(default_factory=dict)  # by name, oldest first

    def offered(self, name: str) -> list[Offered]:
        """What was published under a name, oldest first."""
        return self._offered.get(name, [])

    def judged(self, name: str) -> list[Judged]:
        """The gate runs over files of a name, oldest first."""
        return self._judged.get(name, [])

    def since(self, terms: Terms) -> date | None:
        """The first business date that a file is due for; none while there is nothing to publish."""
        if not terms.replaced_in_place:
            return self.first_day
        begun = self.begins.get(terms.obligation)
        if begun is None:
            return None
        day = begun.astimezone(UTC).date()
        return day if begun <= terms.cut_off(day) else day + timedelta(days=1)


def load_facts(engine: Engine, guide: UserGuide, sites: Iterable[str], first: date) -> Facts:
    """What is known of all that is due from the business date `first` on. Raises RepositoryUnavailableError."""
    begin = datetime.combine(first - timedelta(days=1), datetime.min.time(), UTC)
    with lost_connections(), engine.connect() as connection:
        windows = connection.execute(select(func.min(delta_window.c.business_date))).scalar_one()
        oldest = None
        if windows is None:  # else a look at every event there ever was
            oldest = connection.execute(select(func.min(status_event.c.recorded_at))).scalar_one()
        lists = _pairs(
            connection,
            select(revocation_list.c.kind, func.min(revocation_list.c.lodged_at)).group_by(revocation_list.c.kind),
        )
        judged_since = _pairs(
            connection,
            select(gate_run.c.obligation, func.min(gate_run.c.judged_at))
            .where(gate_run.c.obligation.not_in(_DATED))
            .group_by(gate_run.c.obligation),
        )
        publications = connection.execute(
            select(
                publication.c.site,
                publication.c.name,
                artefact.c.bytes,
                artefact.c.records,
                artefact.c.sha256,
                publication.c.run,
                publication.c.first_published_at,
                publication.c.ended_at,
            )
            .join_from(publication, artefact)
            .where(
                or_(
                    artefact.c.business_date >= first,
                    publication.c.ended_at.is_(None),
                    publication.c.ended_at >= begin,
                )
            )
            .order_by(publication.c.id)
        ).all()
        runs = connection.execute(
            select(
                gate_run.c.id,
                gate_run.c.name,
                gate_run.c.sha256,
                gate_run.c.verdict,
                gate_run.c.judged_at,
                gate_decision.c.released,
                gate_decision.c.decided_by,
                gate_decision.c.reason,
            )
            .join_from(gate_run, gate_decision, isouter=True)
            .where(or_(gate_run.c.business_date >= first, gate_run.c.judged_at >= begin))
            .order_by(gate_run.c.judged_at, gate_run.c.id)
        ).all()
    begins = {Obligation(name): at for name, at in judged_since.items()}
    begins |= {obligation: lists[kind] for obligation, kind in _LIST_KINDS.items() if kind in lists}
    offered: dict[str, list[Offered]] = {}
    for row in publications:
        offered.setdefault(row.name, []).append(Offered(*row))
    judged: dict[str, list[Judged]] = {}
    for row in runs:
        judged.setdefault(row.name, []).append(Judged(*row[:3], Verdict(row.verdict), *row[4:]))
    return Facts(tuple(sites), windows or _first_day(guide, oldest), begins, offered, judged)


def _pairs(connection: Connection, query: Select[Any]) -> dict[str, datetime]:
    return {row[0]: row[1] for row in connection.execute(query)}


def _first_day(guide: UserGuide, oldest_event: datetime | None) -> date | None:
    """The day of the first window, where none is closed yet."""
    if oldest_event is None:
        return None
    day = oldest_event.astimezone(UTC).date()
    return day if oldest_event <= guide.delta.cut_off(day) else day + timedelta(days=1)
