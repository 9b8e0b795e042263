"""Whole runs under Airflow's real scheduler: a full extract from scratch, and the delta of 375,000 changes after it.

Everything of the stack is `make demo`'s (LocalExecutor of four, asyncssh server on loopback), on the repository that
the other parts are measured on. All DAGs but the two are paused. A run counts from its start, as Airflow's API states
it: at a cut-off, the scheduler's next look (seconds) comes before it.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bench.extracts import CHANGED
from bench.measuring import BrokenError, Figure, Wanted
from bench.repositories import Repository, change_statuses, embedded_postgres
from builders import DAILY_DELTA, FULL_EXTRACT
from smki.certificates.set_digest import SetDigest
from smki.publish.ledger import find_publication
from smki_demo.stack import Stack, running_stack, start_airflow

Say = Callable[[str], None]

_RUN_S = 4 * 3600
_DELTA_S = 60  # from the cut-off to the file on the server


def measure(repository: Repository, var: Path, say: Say) -> tuple[list[Figure], dict[str, Any]]:
    """Has Airflow publish both; the rows, and when each task ran (for bench.json)."""
    with embedded_postgres(var / "postgres"), running_stack(var) as stack:
        stack.environment |= {
            "SMKI_DATABASE_URL": repository.url,
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",  # or the run of the last cut-off is made beside ours
        }
        say("Airflow: starting")
        start_airflow(stack)
        _until(lambda: {FULL_EXTRACT, DAILY_DELTA} <= {one["dag_id"] for one in stack.api.get("dags")["dags"]})
        day = repository.window.business_date
        full = _run(stack, FULL_EXTRACT, {"logical_date": None, "conf": {"any_day": day.isoformat()}}, say)
        in_use = repository.in_use
        _need_published(repository, "full", in_use)
        say(f"Airflow: changing {CHANGED:,} certificates")
        next_day = day + timedelta(days=1)
        change_statuses(repository, min(CHANGED, repository.lodged), next_day)
        cut_off = repository.obligation("delta").cut_off.at(next_day).isoformat()
        delta = _run(stack, DAILY_DELTA, {"logical_date": cut_off}, say)
        changed = repository.window.changed
        _need_published(repository, "delta", changed)
    rows = [
        Figure(f"DAG {FULL_EXTRACT}, from scratch", f"{in_use.count / full['wall_s']:,.0f}/s · {full['wall_s']:.1f} s"),
        Figure(
            f"DAG {DAILY_DELTA}, {changed.count:,} changes: from its start to the file on the server",
            f"{delta['published_s']:.1f} s; the whole run {delta['wall_s']:.1f} s",
            wanted=Wanted(f"≤ {_DELTA_S} s", delta["published_s"] <= _DELTA_S),
        ),
    ]
    return rows, {"full": full, "delta": delta}


def _run(stack: Stack, dag_id: str, asked: dict[str, Any], say: Say) -> dict[str, Any]:
    """Has a DAG run once, to its end; seconds of it, and its tasks. Raises BrokenError."""
    stack.api.patch(f"dags/{dag_id}", {"is_paused": False})
    run_id = stack.api.post(f"dags/{dag_id}/dagRuns", asked)["dag_run_id"]
    say(f"Airflow: {dag_id} is under way")
    run: dict[str, Any] = {}

    def ended() -> bool:
        run.update(stack.api.get(f"dags/{dag_id}/dagRuns/{run_id}"))
        return run["state"] in ("success", "failed")

    _until(ended)
    stack.api.patch(f"dags/{dag_id}", {"is_paused": True})
    tasks = sorted(stack.api.tasks(dag_id, run_id), key=lambda task: task["start_date"] or "")
    if run["state"] != "success":
        failed = [task["task_id"] for task in tasks if task["state"] == "failed"]
        raise BrokenError(f"the run failed in {', '.join(failed) or 'no task'}; its logs are below {stack.var}")
    begun = _instant(run["start_date"])
    published = max(_instant(task["end_date"]) for task in tasks if task["task_id"] == "publish_primary")
    fields = ("task_id", "map_index", "start_date", "end_date", "duration", "state")
    return {
        "wall_s": (_instant(run["end_date"]) - begun).total_seconds(),
        "published_s": (published - begun).total_seconds(),
        "tasks": [{field: task[field] for field in fields} for task in tasks],
    }


def _need_published(repository: Repository, obligation: str, expected: SetDigest) -> None:
    """Raises BrokenError unless the newest window's file of that obligation is published and holds that set."""
    name = repository.obligation(obligation).file_name(repository.window.business_date)
    with repository.engine.connect() as connection:
        published = find_publication(connection, "primary", name)
    if published is None or published.artefact.set_digest != expected:
        raise BrokenError(f"what the run published as {name} is not the set of certificates that it has to hold")


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _RUN_S
    while not condition():
        if time.monotonic() > deadline:
            raise BrokenError(f"Airflow was not done after {_RUN_S} s")
        time.sleep(1)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
