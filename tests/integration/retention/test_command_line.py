"""`smki retention`: the plan explains itself and changes nothing, the run carries it out."""

import json

import pytest
from typer.testing import CliRunner

from smki.cli.application import app
from smki.repository.database import libpq_url


@pytest.fixture
def smki(repository, sshd, monkeypatch):
    """Runs a command; its site is the sshd."""
    site = sshd.site
    extra = {"key_file": str(site.key_file), "host_key": site.host_key, "folder": site.folder}
    stated = {"host": site.host, "port": site.port, "login": site.username, "extra": extra}
    monkeypatch.setenv("SMKI_DATABASE_URL", libpq_url(repository))
    monkeypatch.setenv("SMKI_SITE_PRIMARY", json.dumps(stated))
    return lambda *arguments: CliRunner().invoke(app, ["retention", *arguments])


@pytest.fixture
def published(sshd, offer):
    return {days: offer(sshd.site, "delta", days) for days in (6, 8)} | {1: offer(sshd.site, "full", 1)}


def test_a_plan_names_each_file_its_age_its_action_and_the_rule(smki, sshd, published):
    done = smki("plan")
    assert done.exit_code == 0, done.output
    (line,) = [line for line in done.output.splitlines() if published[8].name in line]
    assert "8 d" in line
    assert "remove" in line
    assert "available for 7 days from its publication and is then removed (SEC Appendix O 2.3.3 (b))" in line
    assert "Nothing was changed" in done.output
    assert (sshd.published / published[8].name).exists()


def test_a_plan_as_json_for_a_time_to_come(smki, published):
    done = smki("plan", "--site", "primary", "--at", "2999-01-01", "--json")
    (report,) = json.loads(done.output)
    assert report["site"] == "primary"
    found = {file["path"].rpartition("/")[2]: file for file in report["files"]}
    assert found[published[6].name]["action"] == "remove"
    assert found[published[6].name]["age_s"] > 7 * 86_400
    assert found[published[1].name]["action"] == "keep"


def test_a_run_removes_what_is_due(smki, sshd, published):
    done = smki("run")
    assert done.exit_code == 0, done.output
    assert {file.name for file in sshd.published.iterdir()} == {published[6].name, published[1].name}


def test_a_site_that_nothing_describes_is_a_setting_to_change(smki, monkeypatch):
    monkeypatch.delenv("SMKI_SITE_PRIMARY")
    done = smki("plan")
    assert done.exit_code == 3
    assert "SMKI_SITE_PRIMARY" in done.output


def test_a_problem_with_a_file_ends_the_command_with_its_exit_code(smki, sshd, published):
    (sshd.published / published[8].name).write_bytes(b"changed")
    done = smki("run")
    assert done.exit_code == 1
    assert "RemovalRefusedError" in done.output
    done = smki("run", "--json")
    assert done.exit_code == 1
    assert published[8].name in json.loads(done.stdout)[0]["problems"][0]["item"]
