"""`smki audit`: exit codes, output, and people told, with no Airflow anywhere."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from smki.cli.application import app
from smki.repository.database import libpq_url
from smki.watch.findings_ledger import list_open_findings
from smki_demo.mail_server import read_messages

from .conftest import DAY, NOON, World


@pytest.fixture
def smki(world: World, monkeypatch: pytest.MonkeyPatch):
    """Runs the command; the site is the sshd."""
    site = world.site
    extra = {"key_file": str(site.key_file), "host_key": site.host_key, "folder": site.folder}
    stated = {"host": site.host, "port": site.port, "login": site.username, "extra": extra}
    monkeypatch.setenv("SMKI_DATABASE_URL", libpq_url(world.engine))
    monkeypatch.setenv("SMKI_AUDIT_PRIMARY", json.dumps(stated))
    # The clock is the real one here: what became due today since the fixture's files is made good.
    world.publish("arl", content=b"not a list: only its presence counts")
    return lambda *arguments: CliRunner().invoke(app, ["audit", *arguments])


def kinds(done) -> set[str]:
    (audit,) = json.loads(done.stdout)
    return {finding["kind"] for finding in audit["findings"]}


def test_nothing_open_is_exit_code_0(smki):
    done = smki()
    assert done.exit_code == 0, done.output
    assert "site primary: 9 files, 9 of them read back whole, 0 pages of others, 0 findings" in done.output


def test_open_finding_is_exit_code_1_and_says_what_to_do_until_it_closes(smki, world: World):
    foreign = world.sshd.published / "notes.txt"
    foreign.write_text("whose?")
    done = smki()
    assert done.exit_code == 1
    assert "unexpected notes.txt since" in done.output
    assert "Next: find out whose it is" in done.output
    assert "docs/runbook.md#unexpected" in done.output
    foreign.unlink()
    done = smki()
    assert done.exit_code == 0, done.output
    assert "closed: unexpected notes.txt" in done.output


def test_findings_as_json_have_what_other_systems_need(smki, world: World):
    (world.sshd.published / "notes.txt").write_text("whose?")
    done = smki("--site", "primary", "--json")
    assert done.exit_code == 1
    (audit,) = json.loads(done.stdout)
    (finding,) = audit["findings"]
    assert (finding["kind"], finding["item"]) == ("unexpected", "notes.txt")
    assert finding["runbook"] == "docs/runbook.md#unexpected"
    assert finding["since"]


def test_times_are_those_of_utc_whatever_zone_a_session_is_told(smki, world: World, monkeypatch: pytest.MonkeyPatch):
    (world.sshd.published / "notes.txt").write_text("whose?")
    assert smki().exit_code == 1
    monkeypatch.setenv("SMKI_SITE_PRIMARY", os.environ["SMKI_AUDIT_PRIMARY"])
    at = f"{NOON + DAY:%Y-%m-%dT%H:%M:%S}"
    said = []
    for zone in ("UTC", "America/New_York", "Europe/London"):
        monkeypatch.setenv("PGTZ", zone)
        stated = CliRunner().invoke(app, ["status", "--json"]).stdout
        status = json.loads(re.sub(r'"words": "[^"]*"', '"words": ""', stated))  # "due in 3 h": the clock goes on
        plan = CliRunner().invoke(app, ["retention", "plan", "--at", at, "--json"])
        assert plan.exit_code == 0, plan.output
        said.append((status["obligations"], status["findings"], plan.stdout))
    assert said[0][1]
    assert said[1:] == said[:1] * 2


def test_dry_run_says_and_records_nothing(smki, world: World):
    (world.sshd.published / "notes.txt").write_text("whose?")
    done = smki("--dry-run", "--json")
    assert (done.exit_code, kinds(done)) == (1, {"unexpected"})
    assert list_open_findings(world.engine) == []


def test_site_that_is_down_is_a_finding_and_a_login_that_is_missing_exit_code_3(smki, world: World, monkeypatch):
    world.sshd.stop()
    done = smki("--json")
    assert (done.exit_code, kinds(done)) == (1, {"unreachable"})
    monkeypatch.setenv("SMKI_SITES", "primary,dr")
    done = smki()
    assert done.exit_code == 3
    assert "set SMKI_AUDIT_DR" in done.output
    assert "unreachable" in done.output, "the other site was looked at all the same"
    monkeypatch.setenv("SMKI_DATABASE_URL", "postgresql://postgres@127.0.0.1:1/smki")
    assert smki().exit_code == 4


def test_people_are_told_by_mail_where_a_server_is_named(smki, world: World, mailbox, monkeypatch):
    monkeypatch.setenv("SMKI_SMTP_URL", f"smtp://127.0.0.1:{mailbox[1]}?from=smki@example.org")
    monkeypatch.setenv("SMKI_AIRFLOW_URL", "https://airflow.example.org")
    foreign = world.sshd.published / "notes.txt"
    foreign.write_text("whose?")
    smki("--dry-run")
    assert read_messages(mailbox[0]) == []
    smki()
    smki()
    foreign.unlink()
    assert smki().exit_code == 0
    assert [mail["Subject"] for mail in read_messages(mailbox[0])] == [
        "[SMKI] unexpected: notes.txt on site primary",
        "[SMKI] closed: unexpected: notes.txt on site primary",
    ]


def test_mail_server_that_is_down_fails_no_audit(smki, world: World, monkeypatch):
    monkeypatch.setenv("SMKI_SMTP_URL", "smtp://127.0.0.1:1?from=smki@example.org")
    (world.sshd.published / "notes.txt").write_text("whose?")
    assert smki().exit_code == 1
    (world.sshd.published / "notes.txt").unlink()
    assert smki().exit_code == 0


@pytest.mark.usefixtures("smki")
def test_it_runs_where_airflow_is_not_installed(tmp_path: Path):
    """From cron, on a machine that has the domain and its libraries only."""
    (tmp_path / "airflow.py").write_text("raise ImportError('there is no Airflow here')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "smki", "audit"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
