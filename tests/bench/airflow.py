"""The wall time of one whole run of the DAG `smki_full_extract` under Airflow's real scheduler."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.measuring import BrokenError, Figure
from bench.repositories import Repository, embedded_postgres, fill, last_full_day
from builders import FULL_EXTRACT
from smki.publish.ledger import list_publications
from smki.repository.database import open_engine
from smki_demo.stack import Stack, running_stack, start_airflow

Say = Callable[[str], None]

_RUN_S = 4 * 3600


def measure(var: Path, certificates: int, say: Say) -> tuple[list[Figure], dict[str, Any]]:
    """Has Airflow publish a full extract of that many certificates; the row, and when each task ran (for bench.json).

    Everything of the stack is `make demo`'s (LocalExecutor of four, asyncssh server on loopback), on a repository of
    its own whose window is still open. All DAGs but the measured one are paused. One run, from its start to its end as
    Airflow's API states them.
    """
    with embedded_postgres(var / "postgres"), running_stack(var) as stack:
        stack.environment["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] = "True"
        repository = Repository(open_engine(stack.repository_url))
        day = last_full_day(datetime.now(UTC))
        say(f"Airflow: lodging {certificates:,} certificates")
        fill(repository, certificates, day)
        say("Airflow: starting")
        start_airflow(stack)
        run = _run_to_its_end(stack, repository.obligation().cut_off.at(day), say)
        wall_s = (_instant(run["end_date"]) - _instant(run["start_date"])).total_seconds()
        tasks = sorted(stack.api.tasks(FULL_EXTRACT, run["dag_run_id"]), key=lambda task: task["start_date"] or "")
        with repository.engine.connect() as connection:
            published = [publication.artefact.set_digest for publication in list_publications(connection, "primary")]
        if published != [repository.in_use] or repository.in_use.count != certificates:
            raise BrokenError("what the run published is not the set of certificates that is in use")
    row = Figure(
        f"DAG {FULL_EXTRACT}: close, plan, render, verify, publish over SFTP, record",
        f"{certificates / wall_s:,.0f}/s · {wall_s:.1f} s",
    )
    fields = ("task_id", "map_index", "start_date", "end_date", "duration", "state")
    return [row], {"wall_s": wall_s, "tasks": [{field: task[field] for field in fields} for task in tasks]}


def _run_to_its_end(stack: Stack, logical_date: datetime, say: Say) -> dict[str, Any]:
    """Backfills one week; the run as the API has it once it has succeeded. Raises BrokenError."""
    say("Airflow: waiting for the DAG to be read")
    _until(lambda: FULL_EXTRACT in {dag["dag_id"] for dag in stack.api.get("dags", exclude_stale=True)["dags"]})
    date = logical_date.isoformat()
    asked = {
        "dag_id": FULL_EXTRACT,
        "from_date": date,
        "to_date": date,
        "reprocess_behavior": "none",
        "max_active_runs": 1,
    }
    stack.api.post("backfills", asked)  # while the DAG sleeps: awake, the scheduler makes the last week's run itself
    stack.api.patch(f"dags/{FULL_EXTRACT}", {"is_paused": False})
    say("Airflow: the run is under way")
    found: list[dict[str, Any]] = []

    def ended() -> bool:
        found[:] = [run for run in stack.api.runs(FULL_EXTRACT) if _instant(run["logical_date"]) == logical_date]
        return any(run["state"] in ("success", "failed") for run in found)

    _until(ended)
    if found[0]["state"] != "success":
        tasks = stack.api.tasks(FULL_EXTRACT, found[0]["dag_run_id"])
        failed = [task["task_id"] for task in tasks if task["state"] == "failed"]
        raise BrokenError(f"the run failed in {', '.join(failed) or 'no task'}; its logs are below {stack.var}")
    return found[0]


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _RUN_S
    while not condition():
        if time.monotonic() > deadline:
            raise BrokenError(f"Airflow was not done after {_RUN_S} s")
        time.sleep(1)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
