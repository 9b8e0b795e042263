"""A stack whose partners can fail, and the runs that are begun on it.

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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from sqlalchemy import Engine

from builders import ANCHOR_SLOTS, DAILY_DELTA, FULL_EXTRACT, REVOCATION_LISTS, lodge_bodies, look_alikes, trust_pki
from chaos.proxy import HOST, Door
from object_storage import s3_server
from smki.obligations.catalogue import UserGuide
from smki.obligations.user_guide import load_user_guide
from smki.repository import embedded
from smki.repository.database import open_engine
from smki.settings import INCLUDE
from smki.store.objects import Store
from smki_airflow.names import RETENTION, connection_id
from smki_demo.airflow_api import AirflowApi
from smki_demo.generator.filling import open_pki
from smki_demo.generator.pki import Pki, organisations
from smki_demo.stack import Stack, running_stack, start_airflow

SITES = ("primary", "dr")
DATABASE, STORE, PRIMARY, DR = "database", "store", *SITES
DAY = timedelta(days=1)
FAILED = ("up_for_retry", "failed")  # states of tasks
_TRIED = (DAILY_DELTA, FULL_EXTRACT, REVOCATION_LISTS, ANCHOR_SLOTS, RETENTION)
_FIRST_BODIES = 300
_VALID_SINCE = timedelta(days=3000)  # certificates of Organisations: eight of their ten years
_RUN_S = 300
_LOST_S = 10  # after which a task whose process says nothing is taken for dead


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that was begun."""

    api: AirflowApi
    dag_id: str
    run_id: str

    @property
    def state(self) -> str:
        return str(self.api.get(f"dags/{self.dag_id}/dagRuns/{self.run_id}")["state"])

    @property
    def has_ended(self) -> bool:
        return self.state in ("success", "failed")

    def tasks(self) -> list[dict[str, Any]]:
        return self.api.tasks(self.dag_id, self.run_id)

    def task_state(self, task_id: str) -> str:
        (found,) = [task["state"] for task in self.tasks() if task["task_id"] == task_id]
        return str(found)

    def retry_as_a_person(self) -> bool:
        """Clears tasks that failed or wait for their retry, and what follows them; whether there were any."""
        failed = [task["task_id"] for task in self.tasks() if task["state"] in FAILED]
        if failed:
            self.clear(only_failed=False, include_downstream=True, task_ids=failed)
        return bool(failed)

    def clear(self, **what: Any) -> None:
        body = {"dag_run_id": self.run_id, "dry_run": False, "reset_dag_runs": True} | what
        self.api.post(f"dags/{self.dag_id}/clearTaskInstances", body)

    def finish(self) -> str:
        """Its state once it has ended; what fails is cleared meanwhile."""
        until(lambda: not self.retry_as_a_person() and self.has_ended, f"the end of {self.run_id}")
        return self.state


@dataclass
class Rehearsal:
    """The stack, its doors, and the day that was published last."""

    stack: Stack
    engine: Engine  # past the door
    guide: UserGuide
    pki: Pki
    doors: dict[str, Door]
    storage: dict[str, str]  # variables by which the store is opened past its door
    day: date
    bodies: list[bytes] = field(default_factory=list)  # of Devices that are lodged, oldest first

    @property
    def api(self) -> AirflowApi:
        return self.stack.api

    def folder(self, site: str) -> Path:
        return self.stack.var / ("sftp" if site == PRIMARY else f"sftp-{site}")

    def trigger(self, dag_id: str, cut_off: datetime | None = None) -> Begun:
        """A run that a person begins: of the day with this cut-off, or of what holds now."""
        asked = {"logical_date": cut_off and cut_off.isoformat()}
        return Begun(self.api, dag_id, self.api.post(f"dags/{dag_id}/dagRuns", asked)["dag_run_id"])

    def clear_all(self, dag_id: str) -> None:
        """Clears all runs of a DAG whole, one after the other, and waits until they have ended."""
        for run in self.api.runs(dag_id):
            begun = Begun(self.api, dag_id, run["dag_run_id"])
            begun.clear(only_failed=False)
            until(lambda begun=begun: begun.state == "success", "a cleared run")

    def unpause(self) -> None:
        """Lets the DAGs that are tried run, once Airflow has them."""
        until(lambda: set(_TRIED) <= {dag["dag_id"] for dag in self.api.get("dags")["dags"]}, "the DAGs")
        for dag_id in _TRIED:
            self.api.patch(f"dags/{dag_id}", {"is_paused": False})

    def stop_airflow(self) -> None:
        for process in [one for one in self.stack.processes if "airflow" in map(str, one.args)]:
            self.stack.stop(process)

    def store(self) -> Store:
        """The store, past its door."""
        os.environ.update(self.storage)
        return Store(self.storage["SMKI_STORE"])


class Reader:
    """Looks at the sites' folders all the time, as Parties do: what each file under a final name was.

    A dated file has one content for ever; one that is replaced has the old, then the new.
    """

    def __init__(self, folders: Sequence[Path], guide: UserGuide) -> None:
        self.seen: dict[str, list[str]] = {}
        self._folders, self._ended = folders, threading.Event()
        self._guide = guide
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> list[str]:
        """The files that were seen with a content too many."""
        self._ended.set()
        self._thread.join()
        return sorted(path for path, contents in self.seen.items() if len(contents) > self._contents(Path(path).name))

    def _contents(self, name: str) -> int:
        published = self._guide.of_file(name)
        return (2 if published.replaced_in_place else 1) if published else 0

    def _look(self) -> None:
        known: dict[Path, tuple[int, int]] = {}
        while not self._ended.wait(0.02):
            for file in (file for folder in self._folders for file in folder.iterdir() if self._contents(file.name)):
                with suppress(FileNotFoundError):
                    stands = file.stat()
                    if known.get(file) != (facts := (stands.st_ino, stands.st_size)):
                        known[file] = facts
                        seen = self.seen.setdefault(f"{file.parent.name}/{file.name}", [])
                        if seen[-1:] != [sha256 := sha256_of(file)]:
                            seen.append(sha256)


@contextmanager
def rehearsing(days: int) -> Iterator[Rehearsal]:
    """A stack with a repository that begins so many days ago, whose first full extract is published.

    In it are Devices that nobody signed, Organisations of a PKI that signs revocation lists, and its authorities.
    """
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
        pki = open_pki(stack.var / "pki")
        made = Rehearsal(stack, engine, guide, pki, doors, storage, first, look_alikes(_FIRST_BODIES))
        trust_pki(engine, pki)
        signed = [*pki.ca_certificates(), *organisations(pki, datetime.now(UTC) - _VALID_SINCE)]
        lodge_bodies(engine, [*signed, *made.bodies], guide.delta.cut_off.at(first) - timedelta(hours=6))
        stack.environment |= {
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",  # each day begins when its cell does
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(_LOST_S),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
        }
        start_airflow(stack)
        made.unpause()
        begun = made.trigger(FULL_EXTRACT, guide.full.cut_off.at(first))
        until(lambda: begun.has_ended, "the full extract")
        if begun.state != "success":
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
        lead_through(doors[site], stack, site)
    return doors


def lead_through(door: Door, stack: Stack, site: str) -> None:
    """Has the publisher's connection of a site lead through the door, once Airflow is started."""
    variable = f"AIRFLOW_CONN_{connection_id(site).upper()}"
    stack.environment[variable] = json.dumps(json.loads(stack.environment[variable]) | {"port": door.port})


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


def sha256_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def until(happened: Callable[[], bool], what: str, seconds: float = _RUN_S) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {seconds:.0f} s")
        time.sleep(0.2)
