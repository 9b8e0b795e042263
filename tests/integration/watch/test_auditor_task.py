"""The task of DAG `smki_auditor`, on a real sshd and ledger."""

import json

import pytest

from smki.repository.database import libpq_url
from smki.watch.findings_ledger import list_open_findings
from smki_airflow.tasks.auditor import audit

from .conftest import World


@pytest.fixture
def wrong(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """With a file that is nobody's, seen by the auditor's connection."""
    monkeypatch.setenv("SMKI_DATABASE_URL", libpq_url(world.engine))
    extra = {"key_file": str(world.site.key_file), "host_key": world.site.host_key, "folder": world.site.folder}
    stated = {"conn_type": "smki_site", "host": world.site.host, "port": world.site.port, "login": world.site.username}
    monkeypatch.setenv("AIRFLOW_CONN_SMKI_AUDIT_PRIMARY", json.dumps(stated | {"extra": extra}))
    (world.sshd.published / "notes.txt").write_text("somebody's")
    return world


def test_run_records_what_is_wrong(wrong: World) -> None:
    counts = audit.function("primary", {"dry_run": False})
    assert counts["findings"] >= 1
    assert "unexpected" in [known.finding.kind for known in list_open_findings(wrong.engine)]


def test_dry_run_finds_it_and_records_nothing(wrong: World) -> None:
    counts = audit.function("primary", {"dry_run": True})
    assert counts["findings"] >= 1
    assert counts["told"] == 0
    assert list_open_findings(wrong.engine) == []
