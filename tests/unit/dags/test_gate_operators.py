"""What the gate's tasks do by themselves: where their buttons lead, and that nobody is asked without a reason."""

import pytest

from smki.watch.links import Links
from smki_airflow.links import GateReportLink, base_url, links_on_server, login_path
from smki_airflow.publishing.release import ReleaseOperator
from smki_airflow.tasks.extracts import ExtractGate


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch):
    return lambda address: monkeypatch.setenv("AIRFLOW__API__BASE_URL", address)


def test_nobody_is_asked_while_nothing_is_held():
    release = ReleaseOperator(task_id="release", judged={"artefacts": [{"name": "a"}], "held": [], "shown": 7})
    assert release.execute({}) == [{"name": "a"}]


def test_release_asks_for_a_reason_and_runs_without_one_having_been_given():
    release = ReleaseOperator(task_id="release", judged=None)
    assert not release.params, "Airflow validates these before the task runs"
    assert release.serialized_params["reason"]["schema"]["minLength"] > 0


def test_report_is_found_below_whatever_path_a_proxy_has_for_airflow(at):
    at("https://smki.example.org/airflow/")
    assert links_on_server().report(7) == "/airflow/smki/gate/7"
    assert Links(base_url()).report(7) == "https://smki.example.org/airflow/smki/gate/7"
    at("https://smki.example.org")
    assert links_on_server().report(7) == "/smki/gate/7"


def test_ways_to_a_run_and_to_the_login_quote_what_they_lead_to(at):
    at("https://smki.example.org")
    assert links_on_server().run("smki_daily_delta/manual__2026-01-01T00:00:00+00:00") == (
        "/dags/smki_daily_delta/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00"
    )
    assert links_on_server().run("command line") == ""
    assert login_path("/smki/gate/7") == "/api/v2/auth/login?next=%2Fsmki%2Fgate%2F7"


def test_task_that_judged_nothing_has_no_button(at):
    at("")
    gate = ExtractGate(produced=[], sha256="")
    assert GateReportLink().get_link(gate, ti_key=None) == ""
    gate.shown_gate_run = 7
    assert GateReportLink().get_link(gate, ti_key=None) == "/smki/gate/7"
