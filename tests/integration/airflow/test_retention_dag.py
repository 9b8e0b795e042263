"""Retention under the real scheduler: a delta past its days leaves the server and the ledger, and nothing else does."""

import os
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select, update

from builders import DAILY_DELTA, FULL_EXTRACT
from smki.obligations.catalogue import UserGuide
from smki.publish.ledger import list_publications
from smki.repository.tables import publication
from smki.store.objects import Store
from smki_airflow.names import RETENTION
from smki_demo.stack import Stack

from .conftest import END, DagRun, backfill, trigger

pytestmark = pytest.mark.stack

DAY, WEEK = timedelta(days=1), timedelta(days=7)


def _offered(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return {offered.name for offered in list_publications(connection, "primary")}


def test_retention_removes_a_delta_that_is_past_its_days(stack: Stack, engine: Engine, user_guide: UserGuide):
    sunday = next(END - n * DAY for n in range(1, 8) if user_guide.full.cut_off.falls_on(END - n * DAY))
    old, young = sunday - 2 * DAY, sunday - 3 * DAY
    assert set(backfill(stack, DAILY_DELTA, young, old, DAY).values()) == {"success"}
    assert set(backfill(stack, FULL_EXTRACT, sunday, sunday, WEEK).values()) == {"success"}
    names = {day: user_guide.delta.file_name(day) for day in (old, young)}
    with engine.begin() as connection:
        connection.execute(
            update(publication)
            .where(publication.c.name == names[old])
            .values(published_at=publication.c.published_at - WEEK)
        )
    foreign = stack.var / "sftp" / "notes.txt"
    foreign.write_text("somebody's")
    store = Store.folder(stack.var / "store")
    stale = stack.var / "store" / "plans" / store.put_content("plans", b"of a run that is over")
    os.utime(stale, (0, 0))
    refused = [stack.var / "store" / "quarantine" / name / "judgement.json" for name in ("old", "young")]
    for judgement in refused:
        judgement.parent.mkdir(parents=True)
        judgement.write_text('{"manifest": "", "judgement": {"name": "x", "sha256": "0"}}')
    os.utime(refused[0], (0, 0))
    before = _offered(engine)
    files = {file.name for file in (stack.var / "sftp").iterdir()}

    body = {"logical_date": None, "conf": {"dry_run": True}}
    dry_run = DagRun(stack, RETENTION, stack.api.post(f"dags/{RETENTION}/dagRuns", body)["dag_run_id"])
    assert dry_run.ends() == "success"
    assert {file.name for file in (stack.var / "sftp").iterdir()} >= files
    assert _offered(engine) >= before
    assert stale.exists()
    assert dry_run.task("clear_quarantine")["state"] == "skipped"
    assert {dry_run.task(name)["state"] for name in ("collect_garbage", "record")} == {"success"}, (
        "it says what would go"
    )

    run = trigger(stack, RETENTION)
    assert run.ends() == "success"
    assert not (stack.var / "sftp" / names[old]).exists()
    fulls = sorted(name for name in before if user_guide.full.day_of(name))  # other tests' too; the two newest stay
    assert before - _offered(engine) == {names[old], *fulls[:-2]}
    assert all((stack.var / "sftp" / name).exists() for name in _offered(engine))
    with engine.connect() as connection:
        ended = connection.execute(select(publication).where(publication.c.name == names[old])).one()
    assert ended.ended_by == f"{RETENTION}/{run.run_id}"
    assert "7 days" in ended.end_reason
    assert foreign.read_text() == "somebody's"
    foreign.unlink()
    assert not stale.exists()
    assert [judgement.exists() for judgement in refused] == [False, True]
