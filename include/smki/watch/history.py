"""The figures of past files of an obligation, from the ledger: what trends are drawn from."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Engine, func, select

from smki.obligations.catalogue import Obligation
from smki.repository.database import lost_connections
from smki.repository.tables import artefact, publication


@dataclass(frozen=True, slots=True)
class PastFile:
    """A file that was published."""

    business_date: date
    bytes: int
    records: int
    run: str  # that published it
    margin: timedelta  # from its publication on the last site to publish-by; negative where it came late


def past_files(engine: Engine, obligation: Obligation, count: int) -> list[PastFile]:
    """The newest `count` files of an obligation that has one a day or week, oldest first.

    Raises RepositoryUnavailableError.
    """
    published_at = func.max(publication.c.first_published_at)
    query = (
        select(
            artefact.c.business_date,
            func.max(artefact.c.bytes).label("bytes"),
            func.max(artefact.c.records).label("records"),
            func.max(publication.c.run).label("run"),
            published_at.label("published_at"),
        )
        .join_from(publication, artefact)
        .where(artefact.c.obligation == obligation.name, artefact.c.subject == obligation.subject)
        .group_by(artefact.c.business_date)
        .order_by(artefact.c.business_date.desc())
        .limit(count)
    )
    with lost_connections(), engine.connect() as connection:
        rows = connection.execute(query).all()
    return [
        PastFile(
            row.business_date, row.bytes, row.records, row.run, _margin(obligation, row.business_date, row.published_at)
        )
        for row in reversed(rows)
    ]


def _margin(obligation: Obligation, day: date, published_at: datetime) -> timedelta:
    return obligation.publish_by(day) - published_at
