"""The DAG of anchor-slot files under the real scheduler: a change is published by itself, the same again is not."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from builders import ANCHOR_SLOTS
from smki.kinds.anchors.set_ledger import SetState, set_state
from smki.obligations.catalogue import UserGuide
from smki.publish.ledger import list_publications
from smki_demo.generator.anchor_slots import write_anchor_slots
from smki_demo.stack import Stack

from .conftest import wait_until

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def configuration(stack: Stack) -> Path:
    return Path(stack.environment["SMKI_ANCHOR_SLOTS"])


def _trigger(stack: Stack) -> tuple[str, str]:
    """State of a run that a person begins, and of its `produce` task."""
    begun = stack.api.post(f"dags/{ANCHOR_SLOTS}/dagRuns", {"logical_date": None})
    run_id = begun["dag_run_id"]
    wait_until(lambda: _run(stack, run_id)["state"] in ("success", "failed"))
    tasks = {task["task_id"]: task["state"] for task in stack.api.tasks(ANCHOR_SLOTS, run_id)}
    return str(_run(stack, run_id)["state"]), tasks["produce"]


def _run(stack: Stack, run_id: str) -> dict[str, Any]:
    return next(run for run in stack.api.runs(ANCHOR_SLOTS) if run["dag_run_id"] == run_id)


def _failed(stack: Stack) -> list[str]:
    return [run["dag_run_id"] for run in stack.api.runs(ANCHOR_SLOTS) if run["state"] == "failed"]


def _state(engine: Engine, user_guide: UserGuide) -> SetState:
    return set_state(engine, user_guide, "primary")


def _on_the_server(stack: Stack, state: SetState) -> dict[str, tuple[bytes, int]]:
    files = [stack.var / "sftp" / file.name for file in state.files]
    return {file.name: (file.read_bytes(), file.stat().st_ino) for file in files}


def test_run_without_a_configuration_is_skipped(stack: Stack, configuration: Path):
    assert not configuration.exists()
    assert _trigger(stack) == ("success", "skipped")


def test_configuration_that_appears_is_published_by_itself(
    stack: Stack, engine: Engine, user_guide: UserGuide, configuration: Path
):
    begun = datetime.now(UTC)
    write_anchor_slots(engine, configuration)
    wait_until(lambda: _state(engine, user_guide).complete)
    state = _state(engine, user_guide)
    assert {file.offered_version for file in state.files} == {1}
    wait_until(lambda: all(run["state"] == "success" for run in stack.api.runs(ANCHOR_SLOTS)))
    begun_by_event = [run for run in stack.api.runs(ANCHOR_SLOTS) if run["run_type"] == "asset_triggered"]
    assert begun_by_event
    assert datetime.fromisoformat(begun_by_event[0]["start_date"]) >= begun
    assert len(_on_the_server(stack, state)) == 4


def test_change_of_the_configuration_replaces_the_files_together(
    stack: Stack, engine: Engine, user_guide: UserGuide, configuration: Path
):
    before = _on_the_server(stack, _state(engine, user_guide))
    lines = configuration.read_text().splitlines(keepends=True)
    lines.pop(lines.index("supplier_ds = [\n") + 1)
    configuration.write_text("".join(lines))
    wait_until(lambda: _state(engine, user_guide).version == 2 and _state(engine, user_guide).complete)
    state = _state(engine, user_guide)
    assert {file.offered_version for file in state.files} == {2}
    after = _on_the_server(stack, state)
    assert all(after[name] != before[name] for name in before)


def test_nothing_is_published_while_nothing_changes(
    stack: Stack, engine: Engine, user_guide: UserGuide, configuration: Path
):
    assert configuration.exists()
    wait_until(lambda: all(run["state"] in ("success", "failed") for run in stack.api.runs(ANCHOR_SLOTS)))
    state = _state(engine, user_guide)
    before = _on_the_server(stack, state)
    runs = len(stack.api.runs(ANCHOR_SLOTS))
    assert _trigger(stack) == ("success", "success")
    assert _on_the_server(stack, state) == before
    assert _state(engine, user_guide) == state
    assert len(stack.api.runs(ANCHOR_SLOTS)) == runs + 1, "no event began another"


def test_set_that_stops_half_way_is_reported_and_completed_by_clearing(
    stack: Stack, engine: Engine, user_guide: UserGuide, configuration: Path
):
    page = stack.var / "sftp" / user_guide.obligation("anchor_document").file
    published = page.read_bytes()
    page.write_bytes(b"somebody else's")
    configuration.write_text(configuration.read_text().replace('revision = "generated"', 'revision = "next"'))
    wait_until(lambda: bool(_failed(stack)))
    (run_id,) = _failed(stack)
    state = _state(engine, user_guide)
    assert (state.version, state.complete) == (3, False)
    assert [file.offered_version for file in state.files] == [3, 3, 2, 3]
    tasks = [task for task in stack.api.tasks(ANCHOR_SLOTS, run_id) if task["task_id"] in ("report", "record")]
    assert {task["task_id"]: task["state"] for task in tasks} == {"report": "success", "record": "upstream_failed"}
    (log,) = (stack.var / "airflow" / "logs").rglob(f"run_id={run_id}/task_id=report/*.log")
    assert "version 3 incomplete" in log.read_text()

    page.write_bytes(published)
    stack.api.post(
        f"dags/{ANCHOR_SLOTS}/clearTaskInstances",
        {"dag_run_id": run_id, "dry_run": False, "only_failed": True, "reset_dag_runs": True},
    )
    wait_until(lambda: _state(engine, user_guide).complete)
    wait_until(lambda: not _failed(stack) and _run(stack, run_id)["state"] == "success")


def test_configuration_that_breaks_a_rule_fails_a_run_and_leaves_the_files(
    stack: Stack, engine: Engine, user_guide: UserGuide, configuration: Path
):
    state, text = _state(engine, user_guide), configuration.read_text()
    before = _on_the_server(stack, state)
    configuration.write_text(text.replace("serial = ", 'serial = "5E", issuer_of = ', 1))
    wait_until(lambda: bool(_failed(stack)))
    configuration.write_text(text)
    assert _on_the_server(stack, state) == before
    with engine.connect() as connection:
        names = {publication.name for publication in list_publications(connection, "primary")}
    assert {file.name for file in state.files} <= names
