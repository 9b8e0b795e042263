"""Housekeeping under the real scheduler, whose tasks Airflow keeps away from its database."""

import os
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from smki_airflow.names import AUDITOR, HOUSEKEEPING
from smki_demo.stack import Stack

from .conftest import DagRun, ended_runs, trigger, wait_until

pytestmark = pytest.mark.stack


def test_an_old_run_leaves_with_its_logs_and_a_young_one_stays(stack: Stack) -> None:
    wait_until(lambda: bool(ended_runs(stack, HOUSEKEEPING)))  # today's run, which begins when the DAG is there
    old, young = (trigger(stack, AUDITOR) for _ in range(2))
    assert {old.ends(), young.ends()} == {"success"}
    logs = Path(stack.environment["AIRFLOW__LOGGING__BASE_LOG_FOLDER"], f"dag_id={AUDITOR}")
    folders = {run.run_id: logs / f"run_id={run.run_id}" for run in (old, young)}
    for file in folders[old.run_id].rglob("*.log"):
        os.utime(file, (0, 0))
    engine = create_engine(stack.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    with engine.begin() as connection:
        age = text("UPDATE dag_run SET start_date = start_date - interval '31 days' WHERE run_id = :run")
        connection.execute(age, {"run": old.run_id})
    engine.dispose()

    body = {"logical_date": None, "conf": {"dry_run": True}}
    dry_run = DagRun(stack, HOUSEKEEPING, stack.api.post(f"dags/{HOUSEKEEPING}/dagRuns", body)["dag_run_id"])
    assert dry_run.ends() == "success"
    assert {run["dag_run_id"] for run in stack.api.runs(AUDITOR)} >= folders.keys()
    assert all(folder.exists() for folder in folders.values())

    assert trigger(stack, HOUSEKEEPING).ends() == "success"
    assert {run["dag_run_id"] for run in stack.api.runs(AUDITOR)} & folders.keys() == {young.run_id}
    assert [folders[run.run_id].exists() for run in (old, young)] == [False, True]
