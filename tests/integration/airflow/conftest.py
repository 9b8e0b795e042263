"""A running stack: PostgreSQL, SFTP server and Airflow's real scheduler, with a small signed repository."""

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import requests
from sqlalchemy import Engine

from otlp import Collector
from smki.publish.site import Site
from smki.repository.database import open_engine
from smki.settings import INCLUDE, PROJECT
from smki_demo.airflow_api import AirflowApi
from smki_demo.generator.filling import fill_with_history, open_pki
from smki_demo.generator.revocation import issue_lists
from smki_demo.stack import Stack, running_stack, start_airflow

_LATEST = datetime.now(UTC).date() - timedelta(days=20)  # no scheduled run reaches back to it
END = _LATEST - timedelta(
    days=(_LATEST.weekday() - 2) % 7
)  # the repository's last day: a Wednesday, so deltas follow a full
RUNS_S = 240


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """What the stack sends its metrics to."""
    with Collector() as listening:
        yield listening


@pytest.fixture(scope="session")
def stack(collector: Collector) -> Iterator[Stack]:
    with (
        tempfile.TemporaryDirectory(prefix="smki stack ") as folder,  # a space, as clones have them
        running_stack(Path(folder)) as running,
    ):
        engine = open_engine(running.repository_url)
        pki = open_pki(Path(folder) / "pki")
        fill_with_history(engine, pki, END, days=9, certificates=600)
        issue_lists(engine, pki, datetime.now(UTC))  # the history's have run out by now
        engine.dispose()
        config = Path(folder) / "config"  # its own, so that a test may narrow the gate's bounds
        shutil.copytree(INCLUDE / "config", config)
        running.environment["SMKI_CONFIG"] = str(config)
        running.environment |= collector.environment
        start_airflow(running)
        all_of_them = {file.stem for file in (PROJECT / "dags").glob("*.py")}
        wait_until(lambda: all_of_them <= {dag["dag_id"] for dag in running.api.get("dags")["dags"]})
        yield running


@pytest.fixture(scope="module")  # a module may have a stack of its own
def engine(stack: Stack) -> Iterator[Engine]:
    opened = open_engine(stack.repository_url)
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def party(stack: Stack) -> Site:
    return stack.site("primary")


def wait_until(condition: Callable[[], bool], seconds: int = RUNS_S) -> None:
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, "it did not happen in time"
        sleep(0.5)


def backfill(stack: Stack, dag_id: str, first: date, last: date, interval: timedelta) -> dict[date, str]:
    """Backfills the business dates first … last; state by business date once all runs have ended."""
    days = {first + timedelta(days=n) for n in range(0, (last - first).days + 1, interval.days)}
    stack.api.backfill(dag_id, *(datetime.combine(day, time(), UTC) for day in (first, last)))
    wait_until(lambda: set(ended_runs(stack, dag_id)) >= days)
    return {day: state for day, state in ended_runs(stack, dag_id).items() if day in days}


def ended_runs(stack: Stack, dag_id: str) -> dict[date, str]:
    """State of each run that has ended, by business date."""
    return {
        datetime.fromisoformat(run["data_interval_end"]).date(): run["state"]
        for run in stack.api.runs(dag_id)
        if run["state"] in ("success", "failed") and run["data_interval_end"]
    }


def run_of(stack: Stack, dag_id: str, day: date) -> str:
    """Run id of a business date."""
    (run_id,) = [
        run["dag_run_id"]
        for run in stack.api.runs(dag_id)
        if run["data_interval_end"] and datetime.fromisoformat(run["data_interval_end"]).date() == day
    ]
    return str(run_id)


@dataclass(frozen=True)
class DagRun:
    """A run, as a person follows it through Airflow's API."""

    stack: Stack
    dag_id: str
    run_id: str

    @property
    def path(self) -> str:
        return f"dags/{self.dag_id}/dagRuns/{self.run_id}"

    @property
    def state(self) -> str:
        return str(self.stack.api.get(self.path)["state"])

    def ends(self, seconds: int = RUNS_S) -> str:
        """Its state once it has ended."""
        wait_until(lambda: self.state in ("success", "failed"), seconds)
        return self.state

    def task(self, task_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.stack.api.get(f"{self.path}/taskInstances/{task_id}")
        return found

    def wait_until_asking(self, task_id: str = "release") -> dict[str, Any]:
        """What a person is asked, once the task waits for the answer."""
        wait_until(lambda: self.task(task_id)["state"] == "awaiting_input" or self.state in ("success", "failed"))
        waiting = self.task(task_id)
        assert waiting["state"] == "awaiting_input"
        # Airflow loses an answer that comes before its scheduler has noticed that the asking process has ended: it asks
        # again a minute later. No person is that quick.
        key = f"task_id='{task_id}', run_id='{self.run_id}', try_number={waiting['try_number']}"
        noticed = re.compile(f"Received executor event with state success .*{re.escape(key)}")
        wait_until(lambda: bool(noticed.search((self.stack.var / "log" / "scheduler.log").read_text())))
        asked: dict[str, Any] = self.stack.api.get(self.answer_path(task_id))
        return asked

    def answer_path(self, task_id: str = "release") -> str:
        return f"{self.path}/taskInstances/{task_id}/-1/hitlDetails"

    def answer(self, option: str, reason: str | None, task_id: str = "release") -> None:
        params = {} if reason is None else {"reason": reason}
        self.stack.api.patch(self.answer_path(task_id), {"chosen_options": [option], "params_input": params})

    def report_url(self, task_id: str) -> str:
        """Where the task's button leads."""
        links = self.stack.api.get(f"{self.path}/taskInstances/{task_id}/links")["extra_links"]
        return f"{self.stack.api.base_url}{links['Gate report']}"

    def errors(self, task_id: str) -> list[str]:
        """The errors that end the task's logs."""
        logs = self.stack.var / "airflow" / "logs" / f"dag_id={self.dag_id}" / f"run_id={self.run_id}"
        return [
            detail["exc_value"]
            for log in sorted((logs / f"task_id={task_id}").rglob("*.log"))
            for line in log.read_text().splitlines()
            for detail in json.loads(line).get("error_detail") or ()
        ]

    def clear(self, **what: Any) -> None:
        """Clears the failed tasks, unless `what` says otherwise."""
        body = {"dag_run_id": self.run_id, "dry_run": False, "reset_dag_runs": True, "only_failed": True, **what}
        self.stack.api.post(f"dags/{self.dag_id}/clearTaskInstances", body)
        wait_until(lambda: self.state not in ("success", "failed"), 30)


def trigger(stack: Stack, dag_id: str, cut_off: datetime | None = None, *, any_day: date | None = None) -> DagRun:
    """A run that a person begins, of the day with this cut-off, or of any day without one."""
    conf = {"any_day": any_day.isoformat()} if any_day else {}
    asked = {"logical_date": cut_off and cut_off.isoformat(), "conf": conf}
    begun = stack.api.post(f"dags/{dag_id}/dagRuns", asked)
    return DagRun(stack, dag_id, begun["dag_run_id"])


def page(stack: Stack, url: str, user: str = "viewer") -> requests.Response:
    return session(stack, user).get(url, timeout=30)


def session(stack: Stack, user: str) -> requests.Session:
    """A user who is logged in."""
    opened = requests.Session()
    passwords = json.loads((stack.var / "airflow" / "passwords.json").read_text())
    AirflowApi(stack.api.base_url, user, passwords[user], opened).get("version")
    return opened
