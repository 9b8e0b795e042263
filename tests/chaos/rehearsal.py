"""A stack whose partners can fail, days to publish on it, and what has to hold after each of them.

PostgreSQL, both sites and the object store are real, each behind a `Door` that only Airflow's tasks go through. The
scheduler is Airflow's; its own database is not behind a door.
"""

import hashlib
import json
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from sqlalchemy import Engine, text

from builders import DAILY_DELTA, FULL_EXTRACT, change, contents_of, have_not_issuers, lodge_bodies, look_alikes
from chaos.proxy import HOST, Door
from object_storage import s3_server
from smki.certificates.model import Status
from smki.obligations.catalogue import UserGuide
from smki.obligations.user_guide import load_user_guide
from smki.party.signed_index import load_signers
from smki.party.synchronising import Wish, synchronise
from smki.publish.ledger import publication_history
from smki.repository import embedded
from smki.repository.database import open_engine
from smki.repository.windows import find_window, in_use_digest
from smki.settings import INCLUDE
from smki.store.objects import Store
from smki_airflow.names import connection_id
from smki_demo.airflow_api import AirflowApi
from smki_demo.stack import Stack, running_stack, start_airflow

SITES = ("primary", "dr")
DATABASE, STORE, PRIMARY, DR = "database", "store", *SITES
DAY = timedelta(days=1)
FAILED = ("up_for_retry", "failed")  # states of tasks
_FIRST_BODIES, _BODIES_A_DAY = 300, 24
_RUN_S = 300
_LOST_S = 10  # after which a task whose process says nothing is taken for dead


@dataclass
class Rehearsal:
    """The stack, its doors, and the day that was published last."""

    stack: Stack
    engine: Engine  # past the door
    guide: UserGuide
    doors: dict[str, Door]
    storage: dict[str, str]  # variables by which the store is opened past its door
    day: date
    bodies: list[bytes] = field(default_factory=list)  # that are lodged, oldest first

    @property
    def api(self) -> AirflowApi:
        return self.stack.api

    def folder(self, site: str) -> Path:
        return self.stack.var / ("sftp" if site == PRIMARY else f"sftp-{site}")

    def begin_day(self) -> str:
        """The next day's changes, and a run that publishes its delta; the run's id."""
        self.day += DAY
        new = look_alikes(_BODIES_A_DAY, seed=self.day.toordinal())
        at = self.guide.delta.cut_off.at(self.day) - timedelta(hours=6)
        lodge_bodies(self.engine, new, at)
        change(self.engine, self.bodies[: _BODIES_A_DAY // 2], Status.NOT_IN_USE, at + timedelta(hours=1))
        self.bodies = [*self.bodies[_BODIES_A_DAY // 2 :], *new]
        return self.trigger(DAILY_DELTA, {"logical_date": self.guide.delta.cut_off.at(self.day).isoformat()})

    def trigger(self, dag_id: str, asked: dict[str, Any]) -> str:
        return str(self.api.post(f"dags/{dag_id}/dagRuns", asked)["dag_run_id"])

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        return self.api.tasks(DAILY_DELTA, run_id)

    def task_state(self, run_id: str, task_id: str) -> str:
        (found,) = [task["state"] for task in self.tasks(run_id) if task["task_id"] == task_id]
        return str(found)

    def clear_all(self, dag_id: str) -> None:
        """Clears all runs of a DAG whole, one after the other, and waits until they have ended."""
        for run in self.api.runs(dag_id):
            body = {"dag_run_id": run["dag_run_id"], "dry_run": False, "only_failed": False, "reset_dag_runs": True}
            self.api.post(f"dags/{dag_id}/clearTaskInstances", body)
            until(lambda run_id=run["dag_run_id"]: self.state(run_id, dag_id) == "success", "a cleared run")

    def unpause(self) -> None:
        """Lets both DAGs run, once Airflow has them."""
        wanted = {FULL_EXTRACT, DAILY_DELTA}
        until(lambda: wanted <= {dag["dag_id"] for dag in self.api.get("dags")["dags"]}, "the DAGs")
        for dag_id in wanted:
            self.api.patch(f"dags/{dag_id}", {"is_paused": False})

    def stop_airflow(self) -> None:
        for process in [one for one in self.stack.processes if "airflow" in map(str, one.args)]:
            self.stack.stop(process)

    def store(self) -> Store:
        """The store, past its door."""
        os.environ.update(self.storage)
        return Store(self.storage["SMKI_STORE"])

    def state(self, run_id: str, dag_id: str = DAILY_DELTA) -> str:
        return str(self.api.get(f"dags/{dag_id}/dagRuns/{run_id}")["state"])

    def retry_as_a_person(self, run_id: str, tasks: list[str]) -> None:
        """Clears tasks that failed or wait for their retry, and what follows them."""
        body = {
            "dag_run_id": run_id,
            "dry_run": False,
            "only_failed": False,
            "reset_dag_runs": True,
            "include_downstream": True,
            "task_ids": tasks,
        }
        self.api.post(f"dags/{DAILY_DELTA}/clearTaskInstances", body)

    def finish(self, run_id: str, dag_id: str = DAILY_DELTA) -> str:
        """The run's state once it has ended; what fails is cleared meanwhile."""

        def ended() -> bool:
            failed = [task["task_id"] for task in self.tasks(run_id) if task["state"] in FAILED]
            if failed:
                self.retry_as_a_person(run_id, failed)
            return self.state(run_id, dag_id) in ("success", "failed") and not failed

        until(ended, f"the end of {run_id}")
        return self.state(run_id, dag_id)

    def wrong(self, day: date | None = None) -> list[str]:
        """What does not hold though that day, or the newest one, is published."""
        of_day = day or self.day
        copies = [] if day else self._wrong_copies()
        return [*self._wrong_files(of_day), *self._wrong_ledger(of_day), *copies]

    def _wrong_files(self, day: date) -> Iterator[str]:
        name = self.guide.delta.file_name(day)
        window = find_window(self.engine, day)
        for site in SITES:
            file = self.folder(site) / name
            if not file.exists():
                yield f"{name} is not on {site}"
                continue
            held = contents_of(file)
            if held != _changed(self.engine, window.seq):
                yield f"{name} on {site} has other certificates or statuses than window {window.seq}"
            parts = [path.name for path in file.parent.glob(".*.part")]
            if parts:
                yield f"left on {site}: {', '.join(parts)}"

    def _wrong_ledger(self, day: date) -> Iterator[str]:
        name = self.guide.delta.file_name(day)
        digests = set()
        with self.engine.connect() as connection:
            for site in SITES:
                history = publication_history(connection, site, name)
                if len(history) != 1 or history[0].ended_at:
                    yield f"the ledger has {len(history)} publications of {name} on {site}"
                    continue
                digests.add(history[0].artefact.content_digest)
                if history[0].artefact.sha256 != _sha256(self.folder(site) / name):
                    yield f"the ledger has another SHA-256 of {name} on {site}"
            waiting = connection.execute(
                text("SELECT count(*) FROM status_event WHERE window_seq IS NULL AND recorded_at <= :at"),
                {"at": self.guide.delta.cut_off.at(day)},
            ).scalar_one()
        if len(digests) > 1:
            yield f"{name} has another content on each site"
        if waiting:
            yield f"{waiting} events are in no window"

    def _wrong_copies(self) -> Iterator[str]:
        """What a Party has that follows the signed index of each site."""
        expected = in_use_digest(self.engine, find_window(self.engine, self.day).seq)
        signers = load_signers([Path(self.stack.environment["SMKI_INDEX_CERTIFICATE"])])
        for site in SITES:
            applied = synchronise(self.stack.site(site), self.stack.var / f"copy-{site}.sqlite", Wish(signers))
            if not applied or applied[-1].in_use != expected:
                yield f"a Party of {site} does not reach the state of {self.day}"


class Reader:
    """Looks at the sites' folders all the time, as Parties do: what each file under a final name was."""

    def __init__(self, folders: list[Path]) -> None:
        self.seen: dict[str, set[str]] = {}
        self._folders, self._ended = folders, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> list[str]:
        """The files that were seen with more than one content."""
        self._ended.set()
        self._thread.join()
        return sorted(name for name, contents in self.seen.items() if len(contents) > 1)

    def _look(self) -> None:
        known: dict[Path, tuple[int, int]] = {}
        while not self._ended.wait(0.02):
            for folder in self._folders:
                for file in folder.glob("SMKIKR_*.xml.gz"):
                    with suppress(FileNotFoundError):
                        stands = file.stat()
                        if known.get(file) != (facts := (stands.st_ino, stands.st_size)):
                            known[file] = facts
                            self.seen.setdefault(f"{folder.name}/{file.name}", set()).add(_sha256(file))


@contextmanager
def rehearsing(days: int) -> Iterator[Rehearsal]:
    """A stack with a repository that begins so many days ago, whose first full extract is published."""
    guide = load_user_guide(INCLUDE / "config")
    first = datetime.now(UTC).date() - (days + 1) * DAY
    while not guide.full.cut_off.falls_on(first):
        first -= DAY
    with (
        tempfile.TemporaryDirectory(prefix="smki chaos ") as folder,
        s3_server() as storage,
        running_stack(Path(folder), sites=SITES) as stack,
    ):
        engine = open_engine(stack.repository_url)
        stack.environment |= storage
        doors = _put_doors(stack, urlsplit(storage["AWS_ENDPOINT_URL"]).port or 0)
        made = Rehearsal(stack, engine, guide, doors, storage, first, look_alikes(_FIRST_BODIES))
        have_not_issuers(engine, made.bodies[:1])
        lodge_bodies(engine, made.bodies, guide.delta.cut_off.at(first) - timedelta(hours=6))
        stack.environment |= {
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",  # each day begins when its cell does
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(_LOST_S),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
        }
        start_airflow(stack)
        made.unpause()
        run_id = made.trigger(FULL_EXTRACT, {"logical_date": guide.full.cut_off.at(first).isoformat()})
        until(lambda: made.state(run_id, FULL_EXTRACT) in ("success", "failed"), "the full extract")
        if made.state(run_id, FULL_EXTRACT) != "success":
            raise RuntimeError("the first full extract was not published; nothing can be tried")
        yield made
        for door in doors.values():
            door.close()
        engine.dispose()


def _put_doors(stack: Stack, store_port: int) -> dict[str, Door]:
    """Leads what Airflow's tasks open through doors."""
    database = embedded.socket_folder(stack.var / "postgres") / ".s.PGSQL.5432"

    def to_database() -> socket.socket:
        opened = socket.socket(socket.AF_UNIX)
        opened.connect(str(database))
        return opened

    doors = {DATABASE: Door(to_database), STORE: Door(lambda: socket.create_connection((HOST, store_port)))}
    stack.environment["SMKI_DATABASE_URL"] = f"postgresql://postgres@{HOST}:{doors[DATABASE].port}/smki"
    stack.environment["AWS_ENDPOINT_URL"] = f"http://{HOST}:{doors[STORE].port}"
    for site in SITES:
        port = stack.sites[site].port
        doors[site] = Door(lambda port=port: socket.create_connection((HOST, port)))
        variable = f"AIRFLOW_CONN_{connection_id(site).upper()}"
        stated = json.loads(stack.environment[variable]) | {"port": doors[site].port}
        stack.environment[variable] = json.dumps(stated)
    return doors


def processes_of(pid: int) -> tuple[psutil.Process, psutil.Process]:
    """The process of a task, and the one that supervises it."""
    task = psutil.Process(pid)
    supervisor = task.parent()
    assert supervisor is not None
    return task, supervisor


def stop_for(process: psutil.Process, seconds: float) -> None:
    """Freezes a process for a while."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGCONT)


def _changed(engine: Engine, seq: int) -> dict[bytes, str]:
    """Body → status of what a window changed."""
    query = text(
        """
        SELECT DISTINCT ON (certificate_id) body, e.status
        FROM status_event e JOIN certificate c ON c.id = certificate_id
        WHERE window_seq = :seq ORDER BY certificate_id, e.id DESC
        """
    )
    with engine.connect() as connection:
        return {row.body: row.status for row in connection.execute(query, {"seq": seq})}


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def until(happened: Callable[[], bool], what: str, seconds: float = _RUN_S) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {seconds:.0f} s")
        time.sleep(0.2)
