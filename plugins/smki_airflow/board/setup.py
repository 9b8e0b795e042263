"""What Airflow lacks to do its part. No state of an obligation says it before a file is late.

* A lane of a site whose pool is missing, or has no slot: whatever needs it waits for ever.
* A DAG that is paused or that Airflow does not know: those of the obligations, retention and the auditor.
* A site at which the auditor has not looked for a while, whatever keeps it from doing so: what is wrong there opens no
  finding.
* No connection by which people are told. It has to be one that the API server has, too.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from smki.obligations.catalogue import UserGuide
from smki.watch.status_report import StatusReport
from smki_airflow.board.airflow import Session, has_connection, is_paused, usable_pools
from smki_airflow.names import AUDITOR, RETENTION, SMTP, WEBHOOK, lane_pool


@dataclass(frozen=True, slots=True)
class Lack:
    """One thing that somebody has to set in Airflow."""

    item: str
    rule: str  # what is wrong with it, and what that does
    next_step: str

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def list_lacks(session: Session, guide: UserGuide, report: StatusReport) -> list[Lack]:
    """Pools first, as nothing says so elsewhere."""
    return [*_pools(session, report.sites), *_dags(session, guide), *_looks(report), *_channels()]


def _pools(session: Session, sites: Iterable[str]) -> Iterator[Lack]:
    there = usable_pools(session)
    for pool in (lane_pool(site, in_place=in_place) for site in sites for in_place in (False, True)):
        if pool not in there:
            yield Lack(
                f"Pool {pool}",
                "is missing or has no slot: its tasks wait for ever.",
                f"Make it, with one slot: airflow pools set {pool} 1 lane",
            )


def _dags(session: Session, guide: UserGuide) -> Iterator[Lack]:
    for dag_id in (*guide.dags, RETENTION, AUDITOR):
        match is_paused(session, dag_id):
            case True:
                yield Lack(f"DAG {dag_id}", "is paused: no run of it begins.", "Unpause it in Airflow.")
            case None:
                yield Lack(
                    f"DAG {dag_id}",
                    "is not known to Airflow: no run of it begins.",
                    "See Airflow’s list of DAGs for an import error, and whether the DAG processor runs.",
                )


def _looks(report: StatusReport) -> Iterator[Lack]:
    for look in report.looks:
        if look.is_overdue:
            ago = f"since {look.looked_at:%Y-%m-%d %H:%M} UTC" if look.looked_at else "ever"
            yield Lack(
                f"Site {look.site}",
                f"was not looked at {ago}: what is wrong there is told to nobody.",
                f"See the last runs of the DAG {AUDITOR}, or the output of smki audit, and mend what they name.",
            )


def _channels() -> Iterator[Lack]:
    if not any(map(has_connection, (SMTP, WEBHOOK))):
        yield Lack(
            f"Connections {SMTP} and {WEBHOOK}",
            "are both missing: nobody is told of findings.",
            "Add one of them: docs/deployment.md, Tell people.",
        )
