"""`smki status`: what stands how, and an exit code that a monitor can act on."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from builders import lodge_bodies, look_alikes
from smki.repository.database import libpq_url
from smki.watch.facts import read_clocks
from smki.watch.findings import Finding, Kind
from smki.watch.findings_ledger import open_finding
from smki.watch.repository_findings import find_wrong_clocks
from smki.watch.status_report import findings_at

from ..board.ledgers import fill_ledger
from .test_commands import as_json, run


@pytest.fixture
def environment(repository: Engine, tmp_path: Path) -> dict[str, str]:
    return {"SMKI_DATABASE_URL": libpq_url(repository), "SMKI_VAR": str(tmp_path), "COLUMNS": "240"}


def test_an_empty_repository_has_nothing_to_publish_and_is_in_order(environment: dict[str, str]) -> None:
    stated = as_json(environment, "status")
    assert (stated["version"], stated["in_order"]) == (1, True)
    assert {entry["state"] for entry in stated["obligations"]} == {"nothing to publish"}
    assert "no full extract is on every site" in run(environment, "status").stdout


def test_it_ends_with_1_while_a_finding_is_open_and_says_what_to_do(
    environment: dict[str, str], repository: Engine
) -> None:
    fill_ledger(repository, datetime.now(UTC), 20)
    assert as_json(environment, "status")["in_order"]

    finding = Finding(Kind.ALTERED, "primary", "SMKIKR_FULL.xml.gz", "other bytes are there.", "full")
    open_finding(repository, finding, datetime.now(UTC))
    said = run(environment, "status", code=1).stdout
    assert "other bytes are there." in said
    assert "docs/runbook.md#altered" in said
    assert [entry["kind"] for entry in as_json(environment, "status", code=1)["findings"]] == ["altered"]


def test_events_of_the_future_are_named_before_any_look_of_the_auditor(
    environment: dict[str, str], repository: Engine
) -> None:
    now = datetime.now(UTC)
    lodge_bodies(repository, look_alikes(2), now + timedelta(days=1))
    (stated,) = as_json(environment, "status", code=1)["findings"]
    assert (stated["id"], stated["kind"], stated["item"]) == (None, "clocks", "future events")
    assert "future events" in run(environment, "status", code=1).stdout
    (finding,) = find_wrong_clocks(read_clocks(repository), now, "worker-1")
    open_finding(repository, finding, now)
    (stated,) = as_json(environment, "status", code=1)["findings"]
    assert stated["id"] is not None


def test_clock_of_the_database_that_differs_is_named(repository: Engine) -> None:
    now = datetime.now(UTC)
    assert findings_at(repository, now) == []
    (known,) = findings_at(repository, now - timedelta(minutes=5))
    assert (known.finding.kind, known.finding.item) == (Kind.CLOCKS, "database clock")


def test_a_repository_that_does_not_answer_is_no_statement(tmp_path: Path) -> None:
    nobody = {"SMKI_DATABASE_URL": f"postgresql://postgres@/smki?host={tmp_path}", "SMKI_VAR": str(tmp_path)}
    assert "RepositoryUnavailableError" in run(nobody, "status", code=4).stderr
