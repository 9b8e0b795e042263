"""What leaves Airflow's own database and log folder, by the task's function on a database that Airflow migrated."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL

from smki.errors import ConfigurationError
from smki_airflow.names import METADATA
from smki_airflow.tasks.housekeeping import MetadataError, clean_metadata, find_old_logs, remove_logs

OLD, YOUNG = timedelta(days=31), timedelta(days=29)
_FILL = text(
    """
    INSERT INTO dag_run (dag_id, run_id, run_type, state, run_after, start_date, clear_number, span_status)
    SELECT dag, dag || age, 'scheduled', 'success', now() - age, now() - age, 0, 'not_started'
    FROM (VALUES ('daily', interval '90 days'), ('daily', interval '31 days'), ('daily', interval '29 days'),
                 ('yearly', interval '90 days')) AS runs (dag, age)
    """
)
_FILL_OTHERS = text(
    """
    WITH ages AS (SELECT now() - age AS at FROM unnest(ARRAY[interval '31 days', interval '29 days']) AS age),
         logs AS (INSERT INTO log (dttm, event) SELECT at, 'test' FROM ages)
    INSERT INTO trigger (classpath, kwargs, created_date) SELECT 'somebody.Waits', '{}', at FROM ages
    """
)


@pytest.fixture(scope="module")
def address(server: Engine) -> Iterator[URL]:
    """Airflow's database, on PostgreSQL, with a login that may do what docs/deployment.md grants and no more."""
    with server.connect() as connection:
        connection.execute(text("CREATE DATABASE airflow_kept"))
        connection.execute(text("CREATE ROLE airflow_cleaner LOGIN"))
    owner = server.url.set(database="airflow_kept", drivername="postgresql+psycopg2")
    url = owner.render_as_string(hide_password=False)
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env=os.environ | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url},
        check=True,
        capture_output=True,
    )
    engine = create_engine(owner)
    with engine.begin() as connection:
        connection.execute(text("GRANT USAGE, CREATE ON SCHEMA public TO airflow_cleaner"))
        connection.execute(text("GRANT SELECT, DELETE ON ALL TABLES IN SCHEMA public TO airflow_cleaner"))
    engine.dispose()
    yield owner
    with server.connect() as connection:
        connection.execute(text("DROP DATABASE airflow_kept WITH (FORCE)"))
        connection.execute(text("DROP ROLE airflow_cleaner"))


@pytest.fixture
def metadata(address: URL, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """With runs, entries of the log and triggers, old and young; and its connection, as a worker has it."""
    cleaner = address.set(drivername="postgresql", username="airflow_cleaner")
    monkeypatch.setenv(f"AIRFLOW_CONN_{METADATA.upper()}", cleaner.render_as_string(hide_password=False))
    # What a task's process finds in its environment.
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "airflow-db-not-allowed:///")
    engine = create_engine(address)
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE dag_run, log, trigger CASCADE"))
        connection.execute(_FILL)
        connection.execute(_FILL_OTHERS)
    yield engine
    engine.dispose()


def _ages(engine: Engine) -> dict[str, list[int]]:
    """Ages of rows in days, oldest first; of runs by DAG."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                """
                SELECT kind, round(extract(epoch FROM now() - at) / 86400)::int AS age
                FROM (SELECT dag_id AS kind, start_date AS at FROM dag_run
                      UNION ALL SELECT 'log', dttm FROM log WHERE event = 'test'
                      UNION ALL SELECT 'trigger', created_date FROM trigger) AS rows ORDER BY at
                """
            )
        ).all()
        archives = connection.scalar(
            text("SELECT count(*) FROM pg_tables WHERE tablename LIKE '\\_airflow\\_deleted%'")
        )
    assert archives == 0, "nothing is kept in a table that nobody cleans"
    return {kind: [row.age for row in rows if row.kind == kind] for kind in ("daily", "yearly", "log", "trigger")}


def test_old_records_leave_but_the_newest_run_of_each_dag_and_what_waits_for_events(metadata: Engine) -> None:
    before = _ages(metadata)
    clean_metadata.function({"dry_run": True})
    assert _ages(metadata) == before == {"daily": [90, 31, 29], "yearly": [90], "log": [31, 29], "trigger": [31, 29]}
    clean_metadata.function({"dry_run": False})
    assert _ages(metadata) == {"daily": [29], "yearly": [90], "log": [29], "trigger": [31, 29]}


def test_records_stay_for_the_days_that_are_set(metadata: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMKI_KEEP_RUNS_DAYS", "60")
    clean_metadata.function()
    assert _ages(metadata) == {"daily": [31, 29], "yearly": [90], "log": [31, 29], "trigger": [31, 29]}


def test_a_command_that_fails_fails_the_task(metadata: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = metadata.url.set(drivername="postgresql", database="nowhere")
    monkeypatch.setenv(f"AIRFLOW_CONN_{METADATA.upper()}", nowhere.render_as_string(hide_password=False))
    with pytest.raises(MetadataError):
        clean_metadata.function()


def test_days_that_a_held_run_outlives_are_refused(metadata: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _ages(metadata)
    monkeypatch.setenv("SMKI_KEEP_RUNS_DAYS", "6")
    for task in (clean_metadata, remove_logs):
        with pytest.raises(ConfigurationError, match="SMKI_KEEP_RUNS_DAYS"):
            task.function()
    assert _ages(metadata) == before


def test_a_worker_without_the_connection_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(f"AIRFLOW_CONN_{METADATA.upper()}", raising=False)
    with pytest.raises(ConfigurationError, match="AIRFLOW_CONN_SMKI_METADATA"):
        clean_metadata.function()


def test_old_logs_leave_with_their_folders_and_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(tmp_path))
    now = datetime.now(UTC)
    task = "dag_id=d/run_id={}/task_id=t/attempt={}.log"
    old = [task.format("old", 1), task.format("half", 1), "dag_processor/2026-01-01/dags-folder/a.py.log"]
    young = [task.format("half", 2), "dag_processor/2026-02-01/dags-folder/a.py.log"]
    elsewhere = ["notes/old.log", "old.log"]
    for name in (*old, *young, *elsewhere):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("log")
        at = (now - (YOUNG if name in young else OLD)).timestamp()
        os.utime(file, (at, at))
    (tmp_path / "dag_processor" / "latest").symlink_to(tmp_path / "notes")

    before = find_old_logs(tmp_path, now - timedelta(days=30))
    assert {str(file.relative_to(tmp_path)) for file in before} == set(old)
    assert remove_logs.function({"dry_run": True}) == remove_logs.function() == {"files": 3, "bytes": 9}
    left = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert left == {*young, *elsewhere}
    assert not (tmp_path / "dag_id=d" / "run_id=old").exists()
    assert not (tmp_path / "dag_processor" / "2026-01-01").exists()
    assert remove_logs.function() == {"files": 0, "bytes": 0}
