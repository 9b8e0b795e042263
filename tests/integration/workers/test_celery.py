"""CeleryExecutor: two workers that share no folder, only PostgreSQL and a store behind an S3 API, on real Redis."""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psutil
import pytest
import yaml
from sqlalchemy import Engine

from builders import DAILY_DELTA, FULL_EXTRACT, XSD
from conftest import Program
from integration.airflow.conftest import END, DagRun, backfill, wait_until
from object_storage import s3_server
from smki.obligations.catalogue import UserGuide
from smki.repository.database import open_engine
from smki.settings import PROJECT
from smki_demo.generator.filling import fill_with_history, open_pki
from smki_demo.reading_back import check_against_repository, fetch_extracts
from smki_demo.sftp_server import HOST
from smki_demo.stack import Stack, running_stack, start_airflow

pytestmark = pytest.mark.stack

DAY = timedelta(days=1)
COMPOSE = PROJECT / "docker-compose.yml"
PRELOAD = "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"
LOST_S = 10  # after which a worker that says nothing is taken for dead


@dataclass
class Workers:
    """Celery's workers, each with folders of its own."""

    stack: Stack
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        own = self.stack.var / name
        (own / "tmp").mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            log_port = probe.getsockname()[1]
        self.running[name] = self.stack.start(
            name,
            "airflow",
            "celery",
            "worker",
            "--concurrency=2",
            f"--celery-hostname={name}@%h",
            environment={
                "SMKI_VAR": str(own),
                "TMPDIR": str(own / "tmp"),
                "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(own / "logs"),
                "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_port),
                PRELOAD: yaml.safe_load(COMPOSE.read_text())["services"]["worker"]["environment"][PRELOAD],
            },
        )

    def kill(self, name: str) -> None:
        """As a machine that loses its power: nothing is told to anybody."""
        process = self.running.pop(name)
        for one in (*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()
        self.stack.processes.remove(process)

    def of_task(self, pid: int) -> str:
        """The worker that has started the process of a task."""
        above = {parent.pid for parent in psutil.Process(pid).parents()}
        return next(name for name, process in self.running.items() if process.pid in above)


@contextmanager
def redis(program: Program, folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [program("redis-server"), "--port", str(port), "--bind", HOST, "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield f"redis://{HOST}:{port}/0"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def stack(program: Program) -> Iterator[Stack]:
    with (
        tempfile.TemporaryDirectory(prefix="smki celery ") as folder,
        redis(program, Path(folder)) as broker,
        s3_server() as storage,
        running_stack(Path(folder)) as running,
    ):
        engine = open_engine(running.repository_url)
        fill_with_history(engine, open_pki(Path(folder) / "pki"), END, days=9, certificates=600)
        engine.dispose()
        metadata = running.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
        running.environment |= storage | {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",  # only what is watched here runs
            "AIRFLOW__CELERY__BROKER_URL": broker,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{metadata}",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(LOST_S),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        }
        shutil.rmtree(Path(folder) / "store", ignore_errors=True)
        start_airflow(running)
        wait_until(lambda: {dag["dag_id"] for dag in running.api.get("dags")["dags"]} >= {FULL_EXTRACT, DAILY_DELTA})
        for dag_id in (FULL_EXTRACT, DAILY_DELTA):
            running.api.patch(f"dags/{dag_id}", {"is_paused": False})
        yield running


@pytest.fixture(scope="module")
def workers(stack: Stack) -> Workers:
    started = Workers(stack)
    for name in ("worker-1", "worker-2"):
        started.start(name)
    return started


@pytest.fixture(scope="module")
def engine(stack: Stack) -> Iterator[Engine]:
    opened = open_engine(stack.repository_url)
    yield opened
    opened.dispose()


def test_two_workers_that_share_no_folder_publish_deltas_and_a_full_extract(
    stack: Stack, workers: Workers, engine: Engine, user_guide: UserGuide, tmp_path: Path
) -> None:
    sunday = next(END - n * DAY for n in range(1, 8) if user_guide.full.cut_off.falls_on(END - n * DAY))
    assert set(backfill(stack, FULL_EXTRACT, sunday, sunday, 7 * DAY).values()) == {"success"}
    assert set(backfill(stack, DAILY_DELTA, sunday + DAY, END, DAY).values()) == {"success"}
    offered = [
        one
        for one in fetch_extracts(stack.site("primary"), user_guide, XSD, tmp_path)
        if sunday <= one.business_date <= END
    ]
    (chain,) = check_against_repository(engine, user_guide, offered)
    assert [state.business_date for state in chain] == [sunday + n * DAY for n in range((END - sunday).days + 1)]
    assert not (stack.var / "store").exists()
    for name, process in workers.running.items():
        loaded = psutil.Process(process.pid).memory_maps()
        assert any("pandas" in mapped.path for mapped in loaded), "each task loads Great Expectations"
        assert {path.name for path in (stack.var / name).iterdir()} <= {"logs", "tmp"}, "it lies on one machine only"


@pytest.mark.parametrize("task_id", ["render", "verify", "publish_primary"])
def test_worker_that_is_killed_in_the_middle_of_a_task_is_made_good_by_the_other(
    stack: Stack, workers: Workers, task_id: str
) -> None:
    day = END - timedelta(days=["render", "verify", "publish_primary"].index(task_id))
    body = {"logical_date": None, "conf": {"any_day": day.isoformat()}}
    run = DagRun(stack, FULL_EXTRACT, stack.api.post(f"dags/{FULL_EXTRACT}/dagRuns", body)["dag_run_id"])
    deadline = monotonic() + 240
    while not (begun := [one for one in stack.api.tasks(FULL_EXTRACT, run.run_id) if _is_at_work(one, task_id)]):
        assert monotonic() < deadline, f"{task_id} did not begin"
        sleep(0.05)
    victim = workers.of_task(begun[0]["pid"])
    workers.kill(victim)
    try:
        assert run.ends(400) == "success"  # it is noticed, and tried again a minute or two later
    finally:
        workers.start(victim)
    tries = max(one["try_number"] for one in stack.api.tasks(FULL_EXTRACT, run.run_id) if one["task_id"] == task_id)
    assert tries > 1, "the task had ended before its worker was killed"


def _is_at_work(task: dict[str, Any], task_id: str) -> bool:
    return task["task_id"] == task_id and task["state"] == "running"
