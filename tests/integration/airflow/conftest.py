"""A running stack: PostgreSQL, SFTP server and Airflow's real scheduler, with a small signed repository."""

import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from time import monotonic, sleep

import pytest
from sqlalchemy import Engine

from smki.generator.filling import fill_with_history, open_pki
from smki.generator.revocation import issue_lists
from smki.publish.site import Site
from smki.repository.database import open_engine
from smki_airflow.demo.sftp_server import HOST, PARTY
from smki_airflow.demo.stack import Stack, running_stack, start_airflow

_LATEST = datetime.now(UTC).date() - timedelta(days=20)  # no scheduled run reaches back to it
END = _LATEST - timedelta(
    days=(_LATEST.weekday() - 2) % 7
)  # the repository's last day: a Wednesday, so deltas follow a full
RUNS_S = 240


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with (
        tempfile.TemporaryDirectory(prefix="smki stack ") as folder,  # a space, as clones have them
        running_stack(Path(folder)) as running,
    ):
        engine = open_engine(running.repository_url)
        pki = open_pki(Path(folder) / "pki")
        fill_with_history(engine, pki, END, days=9, certificates=600)
        issue_lists(engine, pki, datetime.now(UTC))  # the history's have run out by now
        engine.dispose()
        start_airflow(running)
        wait_until(lambda: len(running.api.get("dags")["dags"]) >= 2)
        yield running


@pytest.fixture(scope="session")
def engine(stack: Stack) -> Iterator[Engine]:
    opened = open_engine(stack.repository_url)
    yield opened
    opened.dispose()


@pytest.fixture(scope="session")
def party(stack: Stack) -> Site:
    return Site(
        "primary", HOST, stack.sftp["port"], PARTY, Path(stack.sftp["keys"][PARTY]), stack.sftp["host_key"], "/"
    )


def wait_until(condition: Callable[[], bool], seconds: int = RUNS_S) -> None:
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, "it did not happen in time"
        sleep(0.5)


def backfill(stack: Stack, dag_id: str, first: date, last: date, interval: timedelta) -> dict[date, str]:
    """Backfills the business dates first … last; state by business date once all runs have ended."""
    days = {first + timedelta(days=n) for n in range(0, (last - first).days + 1, interval.days)}
    starts = [datetime.combine(day - interval, time(), UTC) for day in (first, last)]
    stack.api.backfill(dag_id, *starts)
    wait_until(lambda: set(ended_runs(stack, dag_id)) >= days)
    return {day: state for day, state in ended_runs(stack, dag_id).items() if day in days}


def ended_runs(stack: Stack, dag_id: str) -> dict[date, str]:
    """State of each run that has ended, by business date."""
    return {
        datetime.fromisoformat(run["data_interval_end"]).date(): run["state"]
        for run in stack.api.runs(dag_id)
        if run["state"] in ("success", "failed")
    }


def run_of(stack: Stack, dag_id: str, day: date) -> str:
    """Run id of a business date."""
    (run_id,) = [
        run["dag_run_id"]
        for run in stack.api.runs(dag_id)
        if datetime.fromisoformat(run["data_interval_end"]).date() == day
    ]
    return str(run_id)
