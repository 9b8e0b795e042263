"""A run's logical date is its cut-off, under the real scheduler: by hand, on schedule, and after an upgrade.

The stack is this module's own: the next cut-off of both extracts comes a few minutes after the stack is up. Runs of
version 0.9 and older have their cut-off as the end of an interval, whose start is the logical date.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from builders import DAILY_DELTA, FULL_EXTRACT
from smki.obligations.catalogue import UserGuide
from smki.obligations.user_guide import load_user_guide
from smki.repository.database import open_engine
from smki.settings import INCLUDE
from smki_demo.generator.filling import fill_with_history, open_pki
from smki_demo.stack import Stack, running_stack, start_airflow

from ..conftest import DagRun, trigger, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

DAY, WEEK = timedelta(days=1), timedelta(days=7)
STARTS = timedelta(seconds=270)  # from the beginning to the cut-off: what a stack takes to be up, and a run
OLD_RUN = """
import sys
from datetime import datetime
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType, DagRunType
dag_id, start, end = sys.argv[1], *map(datetime.fromisoformat, sys.argv[2:])
with create_session() as session:
    session.scalar(SerializedDagModel.latest_item_select_object(dag_id)).dag.create_dagrun(
        run_id=f"scheduled__{end.isoformat()}", logical_date=start, data_interval=(start, end), run_after=end,
        run_type=DagRunType.SCHEDULED, triggered_by=DagRunTriggeredByType.TIMETABLE, state="success", session=session,
    )
"""


@pytest.fixture(scope="module")
def cut_off() -> datetime:
    """The one that comes soon."""
    soon = (datetime.now(UTC) + STARTS + timedelta(minutes=1)).replace(second=0, microsecond=0)
    if soon.date() != datetime.now(UTC).date():
        pytest.skip("too near to midnight: the cut-off is not of the day on which the history ends")
    return soon


def write_cut_offs(config: Path, cut_off: datetime) -> None:
    """Has both extracts' cut-offs at that time of day, the full extract's on that day of the week."""
    file = config / "user_guide.toml"
    text = file.read_text()
    for section, days in (("full", f"{cut_off:%a}".upper()), ("delta", "*")):
        head, body = text.split(f"\n[{section}]\n")
        body = re.sub(r"(?m)^cut_off = .*$", f'cut_off = "{cut_off.minute} {cut_off.hour} * * {days}"', body, count=1)
        body = re.sub(r"(?m)^publish_by = .*$", 'publish_by = "+1 08:00"', body, count=1)
        text = f"{head}\n[{section}]\n{body}"
    file.write_text(text)


@pytest.fixture(scope="module")
def stack(cut_off: datetime) -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="smki stack ") as folder, running_stack(Path(folder)) as running:
        config = Path(folder) / "config"
        shutil.copytree(INCLUDE / "config", config)
        write_cut_offs(config, cut_off)
        running.environment["SMKI_CONFIG"] = str(config)
        running.environment["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] = "True"
        running.environment["AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL"] = "0"
        engine = open_engine(running.repository_url)
        fill_with_history(engine, open_pki(Path(folder) / "pki"), cut_off.date(), days=10, certificates=600)
        engine.dispose()
        start_airflow(running)
        wait_until(lambda: {DAILY_DELTA, FULL_EXTRACT} <= {dag["dag_id"] for dag in running.api.get("dags")["dags"]})
        yield running


@pytest.fixture(scope="module")
def guide(stack: Stack) -> UserGuide:
    return load_user_guide(Path(stack.environment["SMKI_CONFIG"]))


def run_before_the_upgrade(stack: Stack, dag_id: str, start: datetime, end: datetime) -> None:
    arguments = [dag_id, start.isoformat(), end.isoformat()]
    subprocess.run([sys.executable, "-c", OLD_RUN, *arguments], env=stack.environment, check=True)
    stack.airflow("dags", "reserialize")  # what the first look at the new DAG does


def unpause(stack: Stack, dag_id: str) -> None:
    stack.api.patch(f"dags/{dag_id}", {"is_paused": False})


def runs(stack: Stack, dag_id: str) -> list[dict[str, Any]]:
    """The runs that have ended, oldest first."""
    ended = [run for run in stack.api.runs(dag_id) if run["state"] in ("success", "failed")]
    return sorted(ended, key=lambda run: run["data_interval_end"])


def test_a_run_by_hand_and_the_scheduled_one_after_it_publish_both_days(
    stack: Stack, guide: UserGuide, cut_off: datetime
) -> None:
    run_before_the_upgrade(stack, FULL_EXTRACT, cut_off - 2 * WEEK, cut_off - WEEK)
    by_hand = trigger(stack, DAILY_DELTA, cut_off - DAY)
    for dag_id in (DAILY_DELTA, FULL_EXTRACT):
        unpause(stack, dag_id)
    assert DagRun(stack, DAILY_DELTA, by_hand.run_id).ends() == "success"
    assert datetime.now(UTC) < cut_off, "the machine is too slow for the times of this test"
    wait_until(lambda: len(runs(stack, DAILY_DELTA)) == 2, 400)
    fields = ("run_type", "state", "logical_date", "data_interval_start")
    found = [tuple(run[field] for field in fields) for run in runs(stack, DAILY_DELTA)]
    days = [at.isoformat().replace("+00:00", "Z") for at in (cut_off - DAY, cut_off)]
    assert found == [("manual", "success", days[0], days[0]), ("scheduled", "success", days[1], days[1])]
    for day in (cut_off - DAY, cut_off):
        assert (stack.var / "sftp" / guide.delta.file_name(day.date())).exists()


def test_an_upgrade_goes_on_with_the_next_cut_off_and_neither_skips_nor_doubles_a_day(
    stack: Stack, guide: UserGuide, cut_off: datetime
) -> None:
    wait_until(lambda: len(runs(stack, FULL_EXTRACT)) == 2)
    ends = [(run["state"], datetime.fromisoformat(run["data_interval_end"])) for run in runs(stack, FULL_EXTRACT)]
    assert ends == [("success", cut_off - WEEK), ("success", cut_off)]
    assert (stack.var / "sftp" / guide.full.file_name(cut_off.date())).exists()


def test_a_day_before_anything_was_lodged_is_skipped(stack: Stack, guide: UserGuide, cut_off: datetime) -> None:
    run = trigger(stack, DAILY_DELTA, cut_off - 30 * DAY)
    assert run.ends() == "success"
    assert {task["state"] for task in stack.api.tasks(DAILY_DELTA, run.run_id)} == {"skipped"}
    assert not (stack.var / "sftp" / guide.delta.file_name((cut_off - 30 * DAY).date())).exists()
