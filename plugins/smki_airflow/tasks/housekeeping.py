"""A housekeeping run: Airflow's own records and logs go when they are older than SMKI_KEEP_RUNS_DAYS.

* Records go by Airflow's own command, `airflow db clean`, and are not archived. Airflow takes the address of its
  database away from every task, so a worker is given it on purpose, as the connection `smki_metadata` of type Postgres.
  Its login reads and deletes rows of Airflow's tables and makes tables beside them, in which the command notes what it
  deletes: that of Airflow itself, which Celery's workers have anyway for their results, or a lesser one.
* Of each DAG the newest run that no person began stays whatever its age: the scheduler goes on from it.
* Tables that are not named stay. Above all `trigger`: the one that waits for revocation lists is as old as its
  DAG, and rows that nobody needs the triggerer removes by itself.
* Logs are those of this machine: several workers with a log folder each need one of these runs each, or remote logging.
"""

import logging
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import Connection, task
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowNotFoundException
from sqlalchemy.engine import URL

from smki.errors import ConfigurationError, TransportError
from smki.settings import Settings
from smki_airflow.defaults import HELD_FOR
from smki_airflow.names import METADATA
from smki_airflow.run import Json, is_dry_run

log = logging.getLogger(__name__)

# With what belongs to these: `dag_run` takes tasks, their values and deadlines with it.
TABLES = (
    "asset_event",
    "callback",
    "celery_taskmeta",
    "dag_run",
    "dag_version",
    "import_error",
    "job",
    "log",
    "revoked_token",
    "session",
)
_LOGS = ("dag_id=*", "dag_processor")  # folders of the log folder, as Airflow names them
_CLEAN_WITHIN = timedelta(hours=4)


class MetadataError(TransportError):
    """`airflow db clean` did not end well."""

    CONSEQUENCE = "Tables that it had finished with are clean; the others are as they were."
    NEXT_STEP = "see what it said, above, and whether Airflow's database runs; the next run tries again."


@task(execution_timeout=_CLEAN_WITHIN)
def clean_metadata(params: Json | None = None) -> None:
    """Deletes old records from Airflow's database. Raises ConfigurationError, MetadataError."""
    before, url = _oldest_kept(datetime.now(UTC)), _metadata_url()
    command = [sys.executable, "-m", "airflow", "db", "clean", "--tables", ",".join(TABLES)]
    command += ["--clean-before-timestamp", before.isoformat(), "--yes", "--skip-archive", "--error-on-cleanup-failure"]
    if is_dry_run(params):
        command.append("--dry-run")
    environment = os.environ | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url.render_as_string(hide_password=False)}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    for line in filter(None, done.stdout.splitlines()):
        log.info("%s", line)
    if done.returncode:
        raise MetadataError(f"connection {METADATA}", f"`airflow db clean` ended with {done.returncode}.")


@task
def remove_logs(params: Json | None = None) -> Json:
    """Removes old logs of tasks and of the DAG processor; returns how many files, and their bytes."""
    before = _oldest_kept(datetime.now(UTC))
    folder = Path(conf.get("logging", "base_log_folder"))
    old = find_old_logs(folder, before)
    size = sum(file.stat().st_size for file in old)
    log.info("logs written before %s: files=%d bytes=%d", before.isoformat(), len(old), size)
    if not is_dry_run(params):
        for file in old:
            file.unlink(missing_ok=True)
            _remove_empty(file.parent, folder)
    return {"files": len(old), "bytes": size}


def find_old_logs(folder: Path, before: datetime) -> list[Path]:
    """Logs of tasks and of the DAG processor that nothing has been written to since; no link is followed."""
    limit = before.timestamp()
    return [
        file
        for name in _LOGS
        for top in folder.glob(name)
        if not top.is_symlink()
        for file in top.rglob("*")
        if not file.is_symlink() and file.is_file() and file.stat().st_mtime < limit
    ]


def _remove_empty(inner: Path, logs: Path) -> None:
    """Removes a folder, and those above it, as far as they are empty; what lies in the log folder itself stays."""
    try:
        while inner.parent != logs:
            inner.rmdir()
            inner = inner.parent
    except OSError:  # it is not empty
        return


def _oldest_kept(now: datetime) -> datetime:
    """Raises ConfigurationError where what waits for a person would go."""
    days = Settings.from_environment().keep_runs_days
    if days <= HELD_FOR.days:
        rule = f"it is {days}, and a run that waits for a person is kept for {HELD_FOR.days} days."
        raise ConfigurationError("SMKI_KEEP_RUNS_DAYS", rule, "Nothing was removed.")
    return now - timedelta(days=days)


def _metadata_url() -> URL:
    try:
        stated = Connection.get(METADATA)
    except AirflowNotFoundException:
        raise ConfigurationError(
            f"connection {METADATA}",
            "there is none, and a task has no other way to Airflow's database.",
            "Nothing was removed.",
            "give the workers AIRFLOW_CONN_SMKI_METADATA, postgresql://LOGIN:PASSWORD@HOST/DATABASE.",
        ) from None
    return URL.create(
        "postgresql+psycopg2",
        stated.login,
        stated.password,
        stated.host or None,
        stated.port,
        stated.schema,
        stated.extra_dejson,
    )
