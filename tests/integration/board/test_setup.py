"""What the board says of Airflow's pools, DAGs and connections, as Airflow's own database has them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from airflow import settings as airflow_settings
from airflow.models.connection import Connection
from airflow.models.dag import DagModel
from airflow.models.pool import Pool
from sqlalchemy import Engine, delete, update
from sqlalchemy.orm import Session

from smki.obligations.catalogue import UserGuide
from smki.repository.tables import site_look
from smki.watch.findings_ledger import record_look
from smki_airflow.names import AUDITOR, RETENTION, SMTP, WEBHOOK, lane_pool

from .conftest import Browser

LANES = [lane_pool("primary", in_place=in_place) for in_place in (False, True)]


@pytest.fixture
def airflow(metadata: None, repository: Engine) -> Iterator[Session]:  # noqa: ARG001  # has to be there
    """Airflow's database with all that is needed, and sites that were looked at a moment ago."""
    for site in ("primary", "dr"):
        record_look(repository, site, [], datetime.now(UTC))
    with airflow_settings.Session() as session:
        session.add_all(Pool(pool=lane, slots=1, include_deferred=False) for lane in LANES)
        session.add(Connection(conn_id=SMTP, conn_type="smtp", host="mail.example.org"))
        session.commit()
        yield session
        session.rollback()
        session.execute(delete(Pool).where(Pool.pool.in_(LANES)))
        session.execute(delete(Connection).where(Connection.conn_id.in_([SMTP, WEBHOOK])))
        session.execute(update(DagModel).values(is_paused=False, is_stale=False))
        session.commit()


def lacking(browser: Browser) -> list[str]:
    """Items of the JSON; each has its line on the page, above the table, with what to do."""
    viewer = browser("VIEWER")
    stated = viewer.get("/smki/api/status").json()["airflow"]
    above, table, _ = viewer.get("/smki/board").text.partition("<table")
    assert table
    assert above.count("<li>") == len(stated)
    for one in stated:
        assert f"<li><b>{one['item']}</b> {one['rule']} {one['next_step']}</li>" in above
    return [one["item"] for one in stated]


@pytest.mark.usefixtures("airflow")
def test_nothing_is_said_where_nothing_is_lacking(browser: Browser) -> None:
    assert lacking(browser) == []


@pytest.mark.parametrize("lane", LANES)
def test_a_lane_without_a_pool_or_without_a_slot_is_named(browser: Browser, airflow: Session, lane: str) -> None:
    airflow.execute(update(Pool).where(Pool.pool == lane).values(slots=0))
    airflow.commit()
    assert lacking(browser) == [f"Pool {lane}"]
    airflow.execute(delete(Pool).where(Pool.pool == lane))
    airflow.commit()
    assert lacking(browser) == [f"Pool {lane}"]


@pytest.mark.usefixtures("airflow")
def test_a_site_that_the_auditor_does_not_look_at_is_named(
    browser: Browser, repository: Engine, user_guide: UserGuide
) -> None:
    looked_at = datetime.now(UTC) - 3 * user_guide.audit_every - timedelta(minutes=1)
    with repository.begin() as connection:
        connection.execute(update(site_look).values(looked_at=looked_at))
    assert lacking(browser) == ["Site primary"]
    (look,) = browser("VIEWER").get("/smki/api/status").json()["looks"]
    assert (look["site"], look["overdue"]) == ("primary", True)
    assert "(31 min ago)" in browser("VIEWER").get("/smki/board").text
    with repository.begin() as connection:
        connection.execute(delete(site_look))
    assert lacking(browser) == ["Site primary"], "never is long ago, too"
    assert "primary never" in browser("VIEWER").get("/smki/board").text
    record_look(repository, "primary", [], datetime.now(UTC))
    assert lacking(browser) == []


@pytest.mark.usefixtures("airflow")
def test_lanes_of_every_site_are_needed(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMKI_SITES", "primary,dr")
    assert lacking(browser) == ["Pool smki_dated_dr", "Pool smki_in_place_dr"]


def test_a_dag_that_is_paused_or_gone_is_named(browser: Browser, airflow: Session, user_guide: UserGuide) -> None:
    wanted = [*user_guide.dags, RETENTION, AUDITOR]
    for change in ({"is_paused": True}, {"is_paused": False, "is_stale": True}):
        airflow.execute(update(DagModel).values(**change))
        airflow.commit()
        assert lacking(browser) == [f"DAG {dag_id}" for dag_id in wanted]


def test_one_channel_is_enough_and_none_is_said(
    browser: Browser, airflow: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    airflow.execute(delete(Connection))
    airflow.commit()
    assert lacking(browser) == [f"Connections {SMTP} and {WEBHOOK}"]
    monkeypatch.setenv(f"AIRFLOW_CONN_{WEBHOOK.upper()}", '{"conn_type": "http", "host": "https://hooks.example.org"}')
    assert lacking(browser) == []
