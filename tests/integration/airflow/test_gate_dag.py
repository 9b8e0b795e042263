"""The gate under the real scheduler: what it holds waits for a person, what it refuses stops, and reports say why.

The days lie after the repository's last one, so nothing else publishes them; each is three days after the one before,
and `silent_days = 1` makes that unusual.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
import requests
from sqlalchemy import Engine, select, text, update

from builders import DAILY_DELTA, FULL_EXTRACT
from smki.errors import GateRefusedError
from smki.gate.ledger import GateRun, list_gate_runs
from smki.gate.model import Verdict
from smki.gate.quarantine import kept_files
from smki.obligations.catalogue import UserGuide
from smki.publish.ledger import find_publication
from smki.repository import embedded
from smki.repository.database import open_engine
from smki.repository.tables import delta_window
from smki.repository.windows import close_windows
from smki.store.manifest import get_manifest
from smki.store.objects import Store
from smki.store.paged_file import PagedFile
from smki.watch.due import Due
from smki.watch.due_status import DueStatus, State, due_status
from smki.watch.facts import load_facts
from smki.watch.repository_findings import find_late_or_at_risk
from smki_demo.mail_server import read_messages, text_of
from smki_demo.stack import Stack

from .conftest import END, DagRun, page, session, trigger, wait_until

pytestmark = pytest.mark.stack

DAY = timedelta(days=1)
BASE, HELD, REJECTED, UNANSWERED, FAILED = (END + 3 * n * DAY for n in range(1, 6))
REASON = "the utility replaced its meters, ticket 4711"


@contextmanager
def one_day_of_silence_is_unusual(stack: Stack) -> Iterator[None]:
    path = Path(stack.environment["SMKI_CONFIG"]) / "quality.toml"
    usual = path.read_text()
    path.write_text(re.sub(r"(?m)^silent_days = 8\b", "silent_days = 1", usual))
    assert path.read_text() != usual
    try:
        yield
    finally:
        path.write_text(usual)


def delta(stack: Stack, day: date) -> DagRun:
    return trigger(stack, DAILY_DELTA, datetime.combine(day, time(), UTC))


def held_delta(stack: Stack, day: date) -> DagRun:
    with one_day_of_silence_is_unusual(stack):
        run = delta(stack, day)
        run.wait_until_asking()
    return run


def newest_gate_run(engine: Engine, name: str) -> GateRun:
    return next(run for run in list_gate_runs(engine, limit=100) if run.judgement.name == name)


def on_the_server(stack: Stack, name: str) -> bool:
    return (stack.var / "sftp" / name).exists()


def stands(engine: Engine, guide: UserGuide, day: date) -> DueStatus:
    return due_status(Due(guide.delta, day), load_facts(engine, guide, ["primary"], day), datetime.now(UTC))


@pytest.fixture(scope="module", autouse=True)
def passed(stack: Stack) -> DagRun:
    run = delta(stack, BASE)
    assert run.ends() == "success"
    return run


@pytest.fixture(scope="module")
def held(stack: Stack, passed: DagRun) -> DagRun:
    assert passed.state == "success", "or there is nothing that a silence could follow"
    return held_delta(stack, HELD)


def test_held_file_waits_for_a_person_who_sees_what_tripped_and_its_history(
    stack: Stack, engine: Engine, user_guide: UserGuide, held: DagRun
):
    name, asked = user_guide.delta.file_name(HELD), held.wait_until_asking()
    gate_run = newest_gate_run(engine, name)
    assert (gate_run.judgement.verdict, gate_run.decision) == (Verdict.HOLD, None)
    assert [result.id for result in gate_run.judgement.failed] == ["delta.silence"]
    assert name in asked["subject"]
    assert "3 days" in asked["body"]
    assert "at most 1 day" in asked["body"]
    assert f"/smki/gate/{gate_run.id}" in asked["body"]
    assert asked["params"]["reason"]["schema"]["minLength"] > 0, "Airflow's page asks for the reason"
    assert asked["options"] == ["Approve", "Reject"]
    assert not on_the_server(stack, name)


def test_people_are_told_that_it_waits_for_them(stack: Stack, user_guide: UserGuide, held: DagRun):
    name = user_guide.delta.file_name(HELD)
    (mail,) = [mail for mail in read_messages(stack.mail) if mail["Subject"].startswith(f"[SMKI] held: {name} ")]
    assert held.wait_until_asking()["body"].count("3 days")
    assert "3 days" in text_of(mail)
    assert quote(held.run_id, safe="") in text_of(mail), "the link to the run"


def test_no_worker_is_taken_while_it_waits(stack: Stack, held: DagRun):
    waiting = held.task("release")
    assert waiting["state"] == "awaiting_input"
    of_it = [one for one in psutil.process_iter(["cmdline"]) if waiting["id"] in " ".join(one.info["cmdline"] or ())]
    assert not of_it, "no process of the task"
    others = {run["dag_run_id"] for run in stack.api.runs(DAILY_DELTA)} - {held.run_id}
    wait_until(lambda: all(DagRun(stack, DAILY_DELTA, run).state in ("success", "failed") for run in others))
    wait_until(lambda: stack.api.get("pools/default_pool")["occupied_slots"] == 0)


def test_days_after_a_held_one_are_published(stack: Stack, user_guide: UserGuide, held: DagRun):
    assert delta(stack, HELD + DAY).ends() == "success"
    assert on_the_server(stack, user_guide.delta.file_name(HELD + DAY))
    assert held.task("release")["state"] == "awaiting_input"


def test_who_may_only_look_may_not_release(stack: Stack, held: DagRun):
    url = f"{stack.api.base_url}/api/v2/{held.answer_path()}"
    body = {"chosen_options": ["Approve"], "params_input": {"reason": REASON}}
    assert session(stack, "viewer").patch(url, json=body, timeout=30).status_code == requests.codes.forbidden
    assert held.task("release")["state"] == "awaiting_input"


def test_approval_without_a_reason_publishes_and_records_nothing_and_is_asked_for_again(
    stack: Stack, engine: Engine, user_guide: UserGuide, held: DagRun
):
    name = user_guide.delta.file_name(HELD)
    held.answer("Approve", None)
    assert held.ends() == "failed"
    assert held.task("release")["try_number"] == 1, "it is not tried again"
    (error,) = held.errors("release")
    assert "without a reason" in error
    assert "`release`" in error
    assert newest_gate_run(engine, name).decision is None
    assert not on_the_server(stack, name)
    held.clear()
    held.wait_until_asking()


def test_release_with_a_reason_publishes_and_the_ledger_says_who_when_and_why(
    stack: Stack, engine: Engine, user_guide: UserGuide, held: DagRun
):
    name, before = user_guide.delta.file_name(HELD), datetime.now(UTC)
    held.answer("Approve", REASON)
    assert held.ends() == "success"
    assert on_the_server(stack, name)
    gate_run = newest_gate_run(engine, name)
    decision = gate_run.decision
    assert decision is not None
    assert (decision.released, decision.reason, decision.decided_by) == (True, REASON, "admin")
    assert before <= decision.decided_at <= datetime.now(UTC)
    assert gate_run.judgement.run == f"{DAILY_DELTA}/{held.run_id}"
    with engine.connect() as connection:
        published = find_publication(connection, "primary", name)
    assert published is not None
    assert published.artefact.sha256 == gate_run.judgement.sha256, "what was judged"
    assert REASON in page(stack, held.report_url("release")).text


def test_rejected_file_fails_its_run_with_the_reason_and_leaves_the_server(
    stack: Stack, engine: Engine, user_guide: UserGuide
):
    name, run = user_guide.delta.file_name(REJECTED), held_delta(stack, REJECTED)
    run.answer("Reject", "nobody knows where these came from")
    assert run.ends() == "failed"
    assert run.task("release")["try_number"] == 1
    (error,) = run.errors("release")
    assert all(said in error for said in ("admin", "nobody knows where these came from"))
    decision = newest_gate_run(engine, name).decision
    assert decision is not None
    assert not decision.released
    assert not on_the_server(stack, name)

    run.clear()
    assert run.ends() == "failed", "a decision stands while the judgement does"
    full_of_the_next_day = trigger(stack, FULL_EXTRACT, any_day=REJECTED + DAY)
    assert full_of_the_next_day.ends() == "success"
    corrected = stands(engine, user_guide, REJECTED)
    assert (corrected.state, corrected.corrected_by) == (State.CORRECTED, REJECTED + DAY)
    assert list(find_late_or_at_risk("primary", [corrected])) == []
    with one_day_of_silence_is_unusual(stack):
        run.clear(only_failed=False, task_ids=["judge"], include_downstream=True)
        run.wait_until_asking()
    run.answer("Approve", REASON)
    assert run.ends() == "success"
    assert on_the_server(stack, name)
    assert stands(engine, user_guide, REJECTED).state in (State.MET, State.MET_LATE)


def test_question_that_nobody_answers_ends_the_run_and_decides_nothing(
    stack: Stack, engine: Engine, user_guide: UserGuide
):
    name, run = user_guide.delta.file_name(UNANSWERED), held_delta(stack, UNANSWERED)
    metadata = open_engine(embedded.dsn(stack.var / "postgres", "airflow"))
    with metadata.begin() as connection:  # its six days are over
        over = text("UPDATE task_instance SET trigger_timeout = now() WHERE run_id = :run AND task_id = 'release'")
        connection.execute(over, {"run": run.run_id})
    metadata.dispose()
    assert run.ends() == "failed"
    assert run.task("release")["try_number"] == 1
    (error,) = run.errors("release")
    assert "nobody released or rejected it" in error
    assert newest_gate_run(engine, name).decision is None
    assert not on_the_server(stack, name)


@pytest.fixture(scope="module")
def failed(stack: Stack, engine: Engine, user_guide: UserGuide) -> DagRun:
    """A delta that is not what its window says."""
    close_windows(engine, FAILED, user_guide.delta.cut_off.at)
    _say_that_the_window_changed_what_another_did(engine, END - 8 * DAY)
    run = delta(stack, FAILED)
    assert run.ends() == "failed"
    return run


def _say_that_the_window_changed_what_another_did(engine: Engine, other: date) -> None:
    window = delta_window.c
    with engine.begin() as connection:
        changed = connection.execute(select(window.changed).where(window.business_date == other)).scalar_one()
        connection.execute(update(delta_window).where(window.business_date == FAILED).values(changed=changed))


def test_failed_file_stops_its_run_at_once_and_is_kept_with_its_report(
    stack: Stack, engine: Engine, user_guide: UserGuide, failed: DagRun
):
    name, judge = user_guide.delta.file_name(FAILED), failed.task("judge")
    assert (judge["state"], judge["try_number"]) == ("failed", 1)
    assert {failed.task(later)["state"] for later in ("release", "record")} == {"upstream_failed"}
    gate_run = newest_gate_run(engine, name)
    assert gate_run.judgement.verdict is Verdict.FAIL
    (error,) = failed.errors("judge")
    assert all(said in error for said in (name, f"gate run {gate_run.id}", "delta.count"))
    assert GateRefusedError.CONSEQUENCE in error
    store = Store.folder(stack.var / "store")
    key = f"quarantine/{name}-{gate_run.judgement.sha256[:12]}"
    assert key in error
    (kept,) = [one for one in kept_files(store) if one["name"] == name]
    assert PagedFile.stored(store, get_manifest(store, kept["manifest"])).sha256() == gate_run.judgement.sha256
    assert b"delta.count" in store.get(f"{key}/report.html")
    assert not on_the_server(stack, name)


def test_task_leads_to_its_report_whether_it_passed_or_failed(
    stack: Stack, passed: DagRun, held: DagRun, failed: DagRun
):
    for run, task_id, verdict in (
        (passed, "judge", "PASS"),
        (passed, "release", "PASS"),
        (held, "judge", "HOLD, released"),
        (held, "release", "HOLD, released"),
        (failed, "judge", "FAIL"),
    ):
        report = page(stack, run.report_url(task_id))
        assert report.status_code == requests.codes.ok
        assert f'<span class="verdict">{verdict}</span>' in report.text
        assert f'href="/dags/{DAILY_DELTA}/runs/' in report.text, "and back to the run"


def test_report_is_for_users_only_and_can_be_neither_framed_nor_scripted(stack: Stack, failed: DagRun):
    url = failed.report_url("judge")
    stranger = requests.get(url, allow_redirects=False, timeout=30)
    assert stranger.status_code == requests.codes.temporary_redirect
    assert "/auth/login?next=" in stranger.headers["location"]
    assert not stranger.text
    forged = requests.get(url, headers={"Authorization": "Bearer e30.e30.e30"}, allow_redirects=False, timeout=30)
    assert forged.status_code == requests.codes.forbidden
    assert "delta" not in forged.text
    headers = page(stack, url).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'self'" in headers["content-security-policy"]
    assert headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize("number", ["0", "9999", "x", "99999999999999999999"])
def test_number_that_no_gate_run_has_is_not_found(stack: Stack, number: str):
    answered = page(stack, f"{stack.api.base_url}/smki/gate/{number}")
    assert answered.status_code == requests.codes.not_found
    assert "<h1>No report</h1>" in answered.text


def test_no_description_of_the_pages_is_offered(stack: Stack):
    for path in ("openapi.json", "docs", "redoc", ""):
        answered = requests.get(f"{stack.api.base_url}/smki/{path}", timeout=30)
        assert answered.status_code == requests.codes.not_found, path


def test_failed_file_is_published_once_its_cause_is_gone(
    stack: Stack, engine: Engine, user_guide: UserGuide, failed: DagRun
):
    _say_that_the_window_changed_what_another_did(engine, FAILED - DAY)  # nothing, as it is
    failed.clear(only_failed=False)
    assert failed.ends() == "success"
    assert on_the_server(stack, user_guide.delta.file_name(FAILED))
