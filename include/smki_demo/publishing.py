"""What the demo has Airflow do, and how it sees that it is done."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from sqlalchemy import Engine, select, update

from smki.errors import TransportError
from smki.obligations.catalogue import KeepForDays, UserGuide
from smki.publish.ledger import find_publication, list_artefacts, list_publications
from smki.repository.tables import artefact, publication
from smki.store.manifest import Manifest, get_manifest
from smki.store.objects import Store
from smki.watch.due import list_due
from smki.watch.findings_ledger import list_open_findings
from smki_airflow.names import AUDITOR, RETENTION
from smki_demo.stack import PRIMARY, Stack, start_site

DELTAS = 8  # as many days as the history has
_WAIT_S = 900  # for all runs to end
Say = Callable[[str], None]  # `say` shows progress and is overwritten; `tell` prints a line that stays


def start_publishing(stack: Stack, guide: UserGuide) -> None:
    """Unpauses the DAGs, once they are read, but the extracts' (`backfill_extracts`) and the auditor's.

    The auditor would tell of what is yet to be published.
    """
    wanted = {*guide.dags, RETENTION, AUDITOR}
    _wait_until(lambda: {dag["dag_id"] for dag in stack.api.get("dags")["dags"]} >= wanted, "the DAGs are not loaded")
    for dag_id in sorted(wanted - {AUDITOR, guide.delta.dag, guide.full.dag}):
        _unpause(stack, dag_id)


def backfill_extracts(stack: Stack, guide: UserGuide, today: date, say: Say, tell: Say) -> None:
    """Has the scheduler run the days that have no run yet, and waits until all have succeeded.

    The backfill is asked for while the DAG is paused: the scheduler of Airflow 3.3 ends where it makes the run of the
    last cut-off in the very moment in which a backfill makes it, too.
    """
    first = today - timedelta(days=DELTAS - 1)
    cut_offs = {one.dag: [due.cut_off for due in list_due(one, first, today)] for one in (guide.delta, guide.full)}
    wanted = sum(map(len, cut_offs.values()))
    for dag_id, instants in cut_offs.items():
        if set(instants) - set(_states(stack, dag_id)):
            stack.api.backfill(dag_id, min(instants), max(instants))
        _unpause(stack, dag_id)

    def done() -> bool:
        states = [
            state
            for dag_id, instants in cut_offs.items()
            for at, state in _states(stack, dag_id).items()
            if at in instants
        ]
        _refuse_failed(states)
        say(f"{states.count('success')} of {wanted} runs done")
        return states.count("success") == wanted

    _wait_until(done, "the runs did not end", HeldFiles(stack, tell))


def wait_for_current_files(stack: Stack, engine: Engine, guide: UserGuide, say: Say, tell: Say) -> None:
    """Waits until every file that is replaced in place is offered; their DAGs run by themselves."""
    wanted = {(site, terms.file) for site in stack.sites for terms in guide.all if terms.replaced_in_place}

    def done() -> bool:
        with engine.connect() as connection:
            offered = wanted & {
                (site, published.name) for site in stack.sites for published in list_publications(connection, site)
            }
        say(f"{len(offered)} of {len(wanted)} files")
        return offered == wanted

    _wait_until(done, "revocation lists and anchor files were not published", HeldFiles(stack, tell))


def remove_expired_delta(stack: Stack, engine: Engine, guide: UserGuide) -> None:
    """Lets the oldest delta's seven days be over, and has the retention DAG look; once in a demo's life."""
    if list_removed_deltas(engine, guide):
        return
    with engine.begin() as connection:
        oldest = min(
            (p for p in list_publications(connection, PRIMARY) if p.artefact.obligation == guide.delta.name),
            key=lambda published: published.artefact.business_date,
        )
        connection.execute(
            update(publication)
            .where(publication.c.name == oldest.name)
            .values(published_at=oldest.published_at - _delta_stays(guide) - timedelta(days=1))
        )
    _run(stack, RETENTION)


def renew_full(stack: Stack, engine: Engine, guide: UserGuide, today: date, tell: Say) -> Manifest:
    """Publishes the full extracts of yesterday and today, though none may be due; today's manifest.

    Where there are two sites, the second one is down while today's is published.
    """
    for day in (today - timedelta(days=1), today):
        name = guide.full.file_name(day)
        if _is_published(engine, PRIMARY, name):
            continue
        run_id = _begin(stack, guide.full.dag, any_day=day.isoformat())
        if day == today:
            for site in set(stack.sites) - {PRIMARY}:
                _break_and_heal(stack, engine, site, name, tell)
        _wait_for_run(stack, guide.full.dag, run_id)
    (artefact,) = list_artefacts(engine, name=guide.full.file_name(today), limit=1)
    return get_manifest(Store(stack.environment["SMKI_STORE"]), artefact.manifest)


def _break_and_heal(stack: Stack, engine: Engine, site: str, name: str, tell: Say) -> None:
    """Ends a site's server until the other one has the file; the site gets it by Airflow's next try."""
    running = stack.sites[site]
    stack.stop(running.process)
    tell(f"the server of {site} is down")
    _wait_until(lambda: _is_published(engine, PRIMARY, name), f"{PRIMARY} did not get {name}")
    tell(f"{PRIMARY} has {name}; the server of {site} comes back, and gets it by the next try")
    start_site(stack, site, running.port)


def _is_published(engine: Engine, site: str, name: str) -> bool:
    with engine.connect() as connection:
        return find_publication(connection, site, name) is not None


def wait_for_auditor(stack: Stack, engine: Engine, say: Callable[[str], None]) -> None:
    """Has the auditor look as a Party until it finds nothing wrong; a run of today may still be under way."""
    _unpause(stack, AUDITOR)

    def nothing_is_wrong() -> bool:
        _run(stack, AUDITOR)
        findings = [known.finding for known in list_open_findings(engine)]
        say(", ".join(f"{finding.kind}: {finding.item}" for finding in findings[:2]) or "nothing is wrong")
        return not findings

    _wait_until(nothing_is_wrong, "the auditor goes on finding something wrong (`smki status` says what)")


def list_removed_deltas(engine: Engine, guide: UserGuide) -> list[tuple[str, str]]:
    """Name and reason of each delta that retention has removed."""
    query = (
        select(publication.c.name, publication.c.end_reason)
        .join(artefact, artefact.c.id == publication.c.artefact_id)
        .where(publication.c.ended_at.is_not(None), artefact.c.obligation == guide.delta.name)
        .distinct()  # whatever the number of sites
    )
    with engine.connect() as connection:
        return [(row.name, row.end_reason) for row in connection.execute(query)]


def _delta_stays(guide: UserGuide) -> timedelta:
    retirement = guide.delta.kind.retirement
    assert isinstance(retirement, KeepForDays)  # noqa: S101  # of a delta
    return retirement.stays


def _run(stack: Stack, dag_id: str, **params: str) -> None:
    """Has a DAG run now, and waits until the run has succeeded."""
    _wait_for_run(stack, dag_id, _begin(stack, dag_id, **params))


def _begin(stack: Stack, dag_id: str, **params: str) -> str:
    """Has a DAG run now; the run's id."""
    return str(stack.api.post(f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": params})["dag_run_id"])


def _wait_for_run(stack: Stack, dag_id: str, run_id: str) -> None:
    def done() -> bool:
        state = stack.api.get(f"dags/{dag_id}/dagRuns/{run_id}")["state"]
        _refuse_failed([state])
        return bool(state == "success")

    _wait_until(done, f"a run of {dag_id} did not end")


def _unpause(stack: Stack, dag_id: str) -> None:
    stack.api.patch(f"dags/{dag_id}", {"is_paused": False})


def _states(stack: Stack, dag_id: str) -> dict[datetime, str]:
    """State of each run of a day, by logical date."""
    runs = stack.api.runs(dag_id)
    return {datetime.fromisoformat(run["logical_date"]): run["state"] for run in runs if run["logical_date"]}


def _refuse_failed(states: list[str]) -> None:
    if "failed" in states:
        raise TransportError(
            "a DAG run", "it failed.", "The demo's files are not complete.", "open its log in the Airflow UI."
        )


@dataclass(slots=True)
class HeldFiles:
    """The files that the gate holds while the demo waits; each is reported once."""

    stack: Stack
    tell: Say
    told: set[str] = field(default_factory=set)

    def addresses(self) -> list[str]:
        """Where a person has to decide, as the UI's addresses; reports those that are new."""
        asked = self.stack.api.get("dags/~/dagRuns/~/hitlDetails", response_received=False, state="awaiting_input")
        addresses = []
        for detail in asked["hitl_details"]:
            task = detail["task_instance"]
            path = f"dags/{task['dag_id']}/runs/{task['dag_run_id']}/tasks/{task['task_id']}/required_actions"
            addresses.append(f"{self.stack.api.base_url}/{path}")
            if addresses[-1] not in self.told:
                self.tell(f"{detail['subject']} The gate holds it until a person decides: {addresses[-1]}")
                self.told.add(addresses[-1])
        return addresses


def _wait_until(condition: Callable[[], bool], problem: str, held: HeldFiles | None = None) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not condition():
        addresses = held.addresses() if held else []
        if time.monotonic() > deadline:
            raise TransportError(
                "Airflow",
                f"{problem} within {_WAIT_S} s.",
                "The demo stops.",
                f"start again, and decide at {', '.join(addresses)}" if addresses else "read var/log.",
            )
        time.sleep(0.5)
