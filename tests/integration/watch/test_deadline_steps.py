"""What Airflow's deadline callback does, on a real ledger and real connections: mail by the provider, and a webhook."""

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from smki.errors import PlanError
from smki.repository.database import libpq_url
from smki.watch.findings_ledger import KnownFinding, last_failure, list_open_findings, list_untold, record_look
from smki_airflow.signals import deadlines
from smki_airflow.signals.failures import on_failure
from smki_demo.environment import mail_connection
from smki_demo.mail_server import read_messages, text_of

from .conftest import DAY, TODAY, World

DELTA = "delta"
DAY_BEFORE = TODAY - 7 * DAY  # the world has the six days after it


@pytest.fixture(autouse=True)
def environment(world: World, mailbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMKI_DATABASE_URL", libpq_url(world.engine))
    for name, value in mail_connection("127.0.0.1", mailbox[1]).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, dict[str, str]]]]:
    """What a webhook was sent: path and JSON."""
    got: list[tuple[str, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    stated = {"conn_type": "http", "host": f"http://127.0.0.1:{server.server_port}/services", "password": "T0/secret"}
    monkeypatch.setenv("AIRFLOW_CONN_SMKI_WEBHOOK", json.dumps(stated))
    yield got
    server.shutdown()
    thread.join()
    server.server_close()


def deadline_comes(world: World, day: Any = DAY_BEFORE) -> list[KnownFinding]:
    """Runs the callback as the triggerer does; what is open then."""
    cut_off = world.guide.delta.cut_off.at(day)
    context = {"dag_run": {"data_interval_end": cut_off.isoformat().replace("+00:00", "Z")}}
    assert asyncio.run(deadlines.open_findings(["delta"], context)) is None
    return list_open_findings(world.engine)


def test_miss_opens_one_finding_and_one_message_however_often_the_callback_runs(world: World, mailbox: Any):
    deadline_comes(world)
    (known,) = deadline_comes(world)
    assert (known.finding.kind, known.finding.item) == ("missing", world.guide.delta.file_name(DAY_BEFORE))
    (mail,) = read_messages(mailbox[0])
    assert mail["To"] == "smki-oncall@example.org"
    assert mail.get_content_type() == "text/plain"
    assert "missed: was due" in text_of(mail)


def test_file_that_is_on_every_site_opens_nothing_whatever_became_of_its_run(world: World, mailbox: Any):
    assert deadline_comes(world, TODAY) == []
    assert read_messages(mailbox[0]) == []


def test_day_before_the_repository_held_anything_opens_nothing(world: World):
    assert deadline_comes(world, TODAY - 100 * DAY) == []


def test_auditor_that_sees_it_too_closes_it_when_it_is_there(world: World):
    (known,) = deadline_comes(world, DAY_BEFORE)
    world.publish(DELTA, DAY_BEFORE, at=world.guide.delta.publish_by(DAY_BEFORE) + timedelta(hours=1))
    closed = record_look(world.engine, "primary", [], known.first_seen + timedelta(minutes=10)).closed
    assert [one.id for one in closed] == [known.id]


def test_look_that_began_before_a_finding_opened_leaves_it_open(world: World):
    (known,) = deadline_comes(world, DAY_BEFORE)
    minute = timedelta(minutes=1)
    before = record_look(world.engine, "primary", [], known.first_seen - minute)
    assert (before.closed, [one.id for one in before.open]) == ((), [known.id])
    seen = record_look(world.engine, "primary", [known.finding], known.first_seen - minute)
    assert (seen.opened, seen.open) == ((), (known,)), "the look is older than what is known"
    after = record_look(world.engine, "primary", [], known.first_seen + minute)
    assert [(one.id, one.closed_at) for one in after.closed] == [(known.id, known.first_seen + minute)]


def test_error_of_a_run_for_any_day_is_kept_under_the_day_that_was_asked_for(world: World):
    run = SimpleNamespace(dag_id="smki_full_extract", run_id="manual")
    for begun_at in (None, world.guide.full.cut_off.at(TODAY)):
        context = {"dag_run": run, "ti": SimpleNamespace(task_id="plan"), "exception": PlanError("full", "rule.")}
        context |= {"data_interval_end": begun_at, "params": {"any_day": DAY_BEFORE.isoformat()}}
        on_failure(context)
        found = last_failure(world.engine, run.dag_id, DAY_BEFORE, datetime.now(UTC))
        assert found is not None
        assert found.business_date == DAY_BEFORE
    assert last_failure(world.engine, run.dag_id, TODAY, world.guide.full.cut_off.at(TODAY)) is None


def test_webhook_gets_the_same_text(world: World, hook: Any, mailbox: Any):
    deadline_comes(world)
    ((path, sent),) = hook
    assert path == "/services/T0/secret"
    assert sent["text"].startswith("[SMKI] missing: SMKIKR_DELT_")
    assert len(read_messages(mailbox[0])) == 1


def test_one_channel_that_is_down_is_logged_and_people_are_not_told_twice(
    world: World, hook: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    for name, value in mail_connection("127.0.0.1", 1).items():
        monkeypatch.setenv(name, value)
    deadline_comes(world)
    deadline_comes(world)
    assert "message not taken connection=smki_smtp" in caplog.text
    assert len(hook) == 1


def test_all_channels_down_fail_nothing_and_leave_it_to_be_told(
    world: World, mailbox: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    there = {name: os.environ[name] for name in mail_connection("", 0)}
    for name, value in mail_connection("127.0.0.1", 1).items():
        monkeypatch.setenv(name, value)
    stated = {"conn_type": "http", "host": "http://127.0.0.1:1", "password": "T0/secret"}
    monkeypatch.setenv("AIRFLOW_CONN_SMKI_WEBHOOK", json.dumps(stated))
    assert len(deadline_comes(world)) == len(list_untold(world.engine, datetime.now(UTC))) == 1
    assert "secret" not in caplog.text
    for name, value in there.items():
        monkeypatch.setenv(name, value)
    deadline_comes(world)
    assert list_untold(world.engine, datetime.now(UTC)) == []
    assert len(read_messages(mailbox[0])) == 1


def test_without_a_connection_nobody_is_told_and_the_log_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    for name in mail_connection("", 0):
        monkeypatch.delenv(name)
    assert len(deadline_comes(world)) == 1
    assert "nobody is told" in caplog.text
    assert len(list_untold(world.engine, datetime.now(UTC))) == 1


def test_risk_is_opened_at_the_warning_and_becomes_the_miss(world: World, monkeypatch: pytest.MonkeyPatch):
    due = world.guide.delta

    class Clock(datetime):
        at = due.warn_at(TODAY + DAY)

        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return cls.at.astimezone(tz)

    monkeypatch.setattr(deadlines, "datetime", Clock)
    assert [known.finding.kind for known in deadline_comes(world, TODAY + DAY)] == ["at risk"]
    Clock.at = due.publish_by(TODAY + DAY)
    assert [known.finding.kind for known in deadline_comes(world, TODAY + DAY)] == ["missing"]
