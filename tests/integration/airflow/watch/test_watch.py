"""Both signals under the real scheduler: a miss is seen, told and put right; nothing raises a false one.

The stack is this module's own: the day's delta has its publish-by soon after the stack is up. The tests are one story
and run in their order.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from time import sleep

import pytest
from sqlalchemy import Engine, create_engine, select, text

from builders import DAILY_DELTA, REVOCATION_LISTS
from smki.obligations.catalogue import Obligation, UserGuide
from smki.obligations.user_guide import load_user_guide
from smki.repository.database import open_engine
from smki.repository.tables import finding, publication
from smki.settings import INCLUDE
from smki.watch.due import Due
from smki.watch.due_status import State, due_status
from smki.watch.facts import load_facts
from smki_airflow.names import AUDITOR
from smki_demo.generator.filling import fill_with_history, open_pki
from smki_demo.generator.revocation import issue_lists
from smki_demo.mail_server import read_messages, text_of
from smki_demo.stack import Stack, running_stack, start_airflow

from ..conftest import backfill, ended_runs, run_of, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1200)]

DAY = timedelta(days=1)
RUN_FAILS = timedelta(seconds=150)  # the time between a DAG's start and its publish-by, at least
AUDIT_ENDS = timedelta(seconds=30)
DELTA = "delta"


def write_times(config: Path, publish_by: datetime, *obligations: Obligation) -> None:
    """Has these obligations' publish-by at an instant of today, with a warning a minute before."""
    file = config / "user_guide.toml"
    sections = re.split(r"(?m)^(?=\[)", file.read_text())
    for number, section in enumerate(sections):
        if section.startswith(tuple(f"[{obligation}]" for obligation in obligations)):
            moved = re.sub(r"(?m)^(publish_by|warning|cut_off) = .*\n", "", section).rstrip()
            times = f'cut_off = "0 0 * * *"\npublish_by = "{publish_by:%H:%M}"\nwarning = "00:01"'
            sections[number] = f"{moved}\n{times}\n\n"
    file.write_text("".join(sections))


def minute_after(lead: timedelta) -> datetime:
    """The first full minute that is at least so far ahead: the finest time that a User Guide states."""
    return (datetime.now(UTC) + lead + timedelta(minutes=1)).replace(second=0, microsecond=0)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    now = datetime.now(UTC)  # not before: other tests may have run for long
    if (now + timedelta(minutes=30)).time() < time(0, 40):
        pytest.skip("too near to midnight: the day's times do not fit into the day")
    with tempfile.TemporaryDirectory(prefix="smki stack ") as folder, running_stack(Path(folder)) as running:
        config = Path(folder) / "config"
        shutil.copytree(INCLUDE / "config", config)
        running.environment["SMKI_CONFIG"] = str(config)
        engine = open_engine(running.repository_url)
        pki = open_pki(Path(folder) / "pki")
        fill_with_history(engine, pki, now.date(), days=10, certificates=600)
        issue_lists(engine, pki, now, recorded_at=now - 2 * DAY)
        engine.dispose()
        intruder(running, load_user_guide(config), now.date()).write_bytes(b"somebody else's file")
        running.environment["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] = "True"
        running.environment["AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL"] = "0"  # or new times come in 30 s
        start_airflow(running)
        wait_until(lambda: AUDITOR in {dag["dag_id"] for dag in running.api.get("dags")["dags"]})
        write_times(config, minute_after(RUN_FAILS), DELTA)
        running.airflow("dags", "reserialize")
        for dag_id in (DAILY_DELTA, AUDITOR):
            running.api.patch(f"dags/{dag_id}", {"is_paused": False})
        yield running


def intruder(stack: Stack, guide: UserGuide, day) -> Path:
    folder = stack.var / "sftp"
    folder.mkdir(exist_ok=True)
    return folder / guide.delta.file_name(day)


@pytest.fixture(scope="module")
def guide(stack: Stack) -> UserGuide:
    return load_user_guide(Path(stack.environment["SMKI_CONFIG"]))


@pytest.fixture(scope="module")
def today(stack: Stack) -> date:
    assert stack.processes
    return datetime.now(UTC).date()


@pytest.fixture(scope="module")
def publish_by(guide: UserGuide, today: date) -> datetime:
    return guide.delta.publish_by(today)


@pytest.fixture(scope="module")
def metadata(stack: Stack) -> Iterator[Engine]:
    """Airflow's own database."""
    opened = create_engine(stack.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("psycopg2", "psycopg"))
    yield opened
    opened.dispose()


def findings(engine: Engine, kind: str, item: str) -> list:
    query = select(finding).where(finding.c.kind == kind, finding.c.item == item).order_by(finding.c.id)
    with engine.connect() as connection:
        return list(connection.execute(query))


def deadlines(metadata: Engine) -> list:
    query = text(
        "SELECT r.dag_id, r.run_type, d.deadline_time, d.missed, a.name FROM deadline d "
        "JOIN dag_run r ON r.id = d.dagrun_id LEFT JOIN deadline_alert a ON a.id = d.deadline_alert_id"
    )
    with metadata.connect() as connection:
        return list(connection.execute(query))


def mails(stack: Stack, subject: str) -> list:
    return [mail for mail in read_messages(stack.mail) if mail["Subject"] == subject]


def audit(stack: Stack) -> tuple[int, dict[str, str]]:
    """Exit code of `smki audit` as cron runs it, and what is open: item → kind."""
    site = json.loads(stack.environment["AIRFLOW_CONN_SMKI_AUDIT_PRIMARY"])
    environment = {name: value for name, value in stack.environment.items() if not name.startswith("AIRFLOW")}
    done = subprocess.run(
        [sys.executable, "-m", "smki", "audit", "--json"],
        env=environment | {"SMKI_AUDIT_PRIMARY": json.dumps(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    (found,) = json.loads(done.stdout)
    if found["left_alone"]:  # Airflow's own look is at work there
        sleep(1)
        return audit(stack)
    return done.returncode, {one["item"]: one["kind"] for one in found["findings"]}


def state(engine: Engine, guide: UserGuide, day) -> State:
    facts = load_facts(engine, guide, ["primary"], day)
    return due_status(Due(guide.delta, day), facts, datetime.now(UTC)).state


def inode_and_bytes(file: Path) -> tuple[int, bytes]:
    return file.stat().st_ino, file.read_bytes()


def test_a_miss_is_in_airflows_table_the_ledger_and_the_mailbox_within_a_minute(
    stack: Stack, engine: Engine, metadata: Engine, guide: UserGuide, today: date, publish_by: datetime
):
    name = guide.delta.file_name(today)
    wait_until(lambda: ended_runs(stack, DAILY_DELTA).get(today) == "failed", 280)
    assert datetime.now(UTC) < publish_by, "the machine is too slow for the times of this test"
    sleep((publish_by - datetime.now(UTC)).total_seconds())
    missing = f"[SMKI] missing: {name} on site primary"
    wait_until(lambda: bool(mails(stack, missing)), 60)
    seen_after = datetime.now(UTC) - publish_by
    assert seen_after < timedelta(seconds=60)
    (opened,) = findings(engine, "missing", name)
    assert publish_by <= opened.first_seen < publish_by + timedelta(seconds=60)
    missed = [one for one in deadlines(metadata) if one.dag_id == DAILY_DELTA and one.missed]
    assert {(one.name, one.deadline_time) for one in missed} == {
        ("warning: delta", publish_by - timedelta(minutes=1)),
        ("publish-by: delta", publish_by),
    }
    (mail,) = mails(stack, missing)
    said = text_of(mail)
    run_id = run_of(stack, DAILY_DELTA, today)
    assert "task close_window failed" in said
    assert "LedgerBehindError" in said, "a file of a day that the ledger does not know yet"
    assert re.sub(r"[:+]", lambda one: f"%{ord(one[0]):02X}", run_id) in said, "the link to the run"
    assert "docs/runbook.md#missing" in said
    assert len(mails(stack, f"[SMKI] at risk: {name} on site primary")) == 1


def test_both_signals_are_one_finding(stack: Stack, engine: Engine, guide: UserGuide, today: date):
    name = guide.delta.file_name(today)
    code, found = audit(stack)
    assert code == 1
    assert found[name] in ("missing", "unexpected")
    assert len(findings(engine, "missing", name)) == 1
    assert [one.closed_at is not None for one in findings(engine, "at risk", name)] == [True]


def test_late_success_closes_the_finding_and_keeps_the_lateness(
    stack: Stack, engine: Engine, guide: UserGuide, today: date, publish_by: datetime
):
    name = guide.delta.file_name(today)
    intruder(stack, guide, today).unlink()
    run_id = run_of(stack, DAILY_DELTA, today)
    body = {"dag_run_id": run_id, "dry_run": False, "only_failed": True, "reset_dag_runs": True}
    stack.api.post(f"dags/{DAILY_DELTA}/clearTaskInstances", body)
    wait_until(lambda: ended_runs(stack, DAILY_DELTA).get(today) == "success")
    begun = stack.api.post(f"dags/{AUDITOR}/dagRuns", {"logical_date": None})["dag_run_id"]
    wait_until(lambda: stack.api.get(f"dags/{AUDITOR}/dagRuns/{begun}")["state"] == "success")
    (closed,) = findings(engine, "missing", name)
    assert closed.closed_at is not None
    with engine.connect() as connection:
        published = connection.execute(select(publication).where(publication.c.name == name)).one()
    assert published.first_published_at > publish_by
    assert state(engine, guide, today) is State.MET_LATE
    wait_until(lambda: bool(mails(stack, f"[SMKI] closed: missing: {name} on site primary")), 30)
    (mail,) = mails(stack, f"[SMKI] closed: missing: {name} on site primary")
    assert "met, late by" in text_of(mail)


def test_backfilled_old_day_raises_no_false_miss(
    stack: Stack, engine: Engine, metadata: Engine, guide: UserGuide, today: date
):
    day = today - 8 * DAY
    before = len(deadlines(metadata))
    assert backfill(stack, DAILY_DELTA, day, day, DAY) == {day: "success"}
    assert len(deadlines(metadata)) == before
    assert not [one for one in deadlines(metadata) if one.run_type == "backfill"]
    audit(stack)
    (missing,) = findings(engine, "missing", guide.delta.file_name(day))
    assert missing.closed_at is not None, "its days are over, but no full extract had come after it"
    assert findings(engine, "at risk", guide.delta.file_name(day)) == []


def test_run_marked_success_by_hand_hides_no_miss_and_raises_no_false_one(
    stack: Stack, engine: Engine, guide: UserGuide, today: date
):
    """The miss of a run that failed stays whatever the run is called; a file that is there is met whatever it is."""
    day = today - 6 * DAY
    name = guide.delta.file_name(day)
    file = intruder(stack, guide, day)
    file.write_bytes(b"somebody else's file")
    assert backfill(stack, DAILY_DELTA, day, day, DAY) == {day: "failed"}
    run = f"dags/{DAILY_DELTA}/dagRuns/{run_of(stack, DAILY_DELTA, day)}"
    stack.api.patch(run, {"state": "success"})
    file.unlink()
    assert audit(stack)[1][name] == "missing"
    published = f"dags/{DAILY_DELTA}/dagRuns/{run_of(stack, DAILY_DELTA, today)}"
    stack.api.patch(published, {"state": "failed"})
    assert guide.delta.file_name(today) not in audit(stack)[1]
    stack.api.patch(published, {"state": "success"})
    stack.api.patch(run, {"state": "failed"})
    assert len(findings(engine, "missing", guide.delta.file_name(today))) == 1


def test_days_1_to_3_are_published_late_and_day_4_is_not_touched(
    stack: Stack, engine: Engine, guide: UserGuide, today: date
):
    days = [today - n * DAY for n in (5, 4, 3, 2)]
    for day in days[:3]:
        intruder(stack, guide, day).write_bytes(b"somebody else's file")
    ran = backfill(stack, DAILY_DELTA, days[0], days[3], DAY)
    assert ran == dict.fromkeys(days[:3], "failed") | {days[3]: "success"}
    day_4 = intruder(stack, guide, days[3])
    before = inode_and_bytes(day_4)
    for day in days[:3]:
        intruder(stack, guide, day).unlink()
    starts = [datetime.combine(day, time(), UTC) for day in (days[0], days[2])]
    stack.api.backfill(DAILY_DELTA, *starts, reprocess="failed")
    wait_until(lambda: all(ended_runs(stack, DAILY_DELTA).get(day) == "success" for day in days))
    assert [state(engine, guide, day) for day in days] == [State.MET_LATE] * 4
    assert inode_and_bytes(day_4) == before


def test_files_that_a_server_lost_come_back_by_a_backfill_of_completed_runs(
    stack: Stack, engine: Engine, guide: UserGuide, today: date
):
    days = [today - n * DAY for n in (5, 4, 3, 2)]
    files = [intruder(stack, guide, day) for day in days]
    before = [file.read_bytes() for file in files]
    lateness = [state(engine, guide, day) for day in days]
    for file in files:
        file.unlink()
    assert all(audit(stack)[1][file.name] == "lost" for file in files)
    starts = [datetime.combine(day, time(), UTC) for day in (days[0], days[-1])]
    stack.api.backfill(DAILY_DELTA, *starts, reprocess="completed")
    wait_until(lambda: all(file.exists() for file in files))
    wait_until(lambda: all(ended_runs(stack, DAILY_DELTA).get(day) == "success" for day in days))
    assert [file.read_bytes() for file in files] == before
    assert [state(engine, guide, day) for day in days] == lateness
    found = audit(stack)[1]
    assert not [file.name for file in files if file.name in found]


def test_with_the_scheduler_stopped_smki_audit_reports_the_miss(
    stack: Stack, engine: Engine, guide: UserGuide, today: date
):
    scheduler = next(process for process in stack.processes if "scheduler" in process.args)  # type: ignore[operator]
    stack.stop(scheduler)
    publish_by = minute_after(AUDIT_ENDS)
    write_times(Path(stack.environment["SMKI_CONFIG"]), publish_by, "arl", "crl")
    label = f"{guide.obligation('crl').file} of {today}"
    assert audit(stack)[1].get(label) in (None, "at risk")
    sleep((publish_by - datetime.now(UTC)).total_seconds())
    code, found = audit(stack)
    assert (code, found[label]) == (1, "missing")
    assert findings(engine, "missing", label)
    assert stack.api.runs(REVOCATION_LISTS) == []
