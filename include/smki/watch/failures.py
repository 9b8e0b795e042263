"""The errors of failed tasks, so that whoever is told of a miss is told its likely cause, with Airflow up or down."""

from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Engine, and_, delete, insert, or_, select

from smki.repository.database import lost_connections
from smki.repository.tables import task_failure

_KEPT = timedelta(days=90)
_LONGEST = 2000  # letters; an error in our four parts has some hundred


@dataclass(frozen=True, slots=True)
class Failure:
    """A try of a task that failed."""

    run: str  # the run's label, `DAG/RUN`
    task: str
    business_date: date | None  # of the run; none where an event began it
    error: str
    failed_at: datetime  # UTC

    @property
    def dag(self) -> str:
        """Id of the DAG."""
        return self.run.partition("/")[0]


def record_failure(engine: Engine, failure: Failure) -> None:
    """Keeps an error, for some months. Raises RepositoryUnavailableError."""
    row = asdict(failure) | {"dag": failure.dag, "error": failure.error[:_LONGEST]}
    with lost_connections(), engine.begin() as connection:
        connection.execute(delete(task_failure).where(task_failure.c.failed_at < failure.failed_at - _KEPT))
        connection.execute(insert(task_failure).values(row))


def last_failure(engine: Engine, dag: str, business_date: date, since: datetime) -> Failure | None:
    """The last error of a DAG's runs of a day, and of those without a day at or after `since` (UTC)."""
    columns = task_failure.c
    query = (
        select(columns.run, columns.task, columns.business_date, columns.error, columns.failed_at)
        .where(
            columns.dag == dag,
            or_(
                columns.business_date == business_date,
                and_(columns.business_date.is_(None), columns.failed_at >= since),
            ),
        )
        .order_by(columns.failed_at.desc(), columns.id.desc())
        .limit(1)
    )
    with lost_connections(), engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else Failure(*row)
