"""Both extract DAGs under the real scheduler: backfill, a failure on purpose, Clear."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from builders import DAILY_DELTA, FULL_EXTRACT, produced
from smki.certificates.model import Status
from smki.errors import PublicationRefusedError
from smki.obligations.catalogue import UserGuide
from smki.publish.ledger import find_publication
from smki.publish.site import Site
from smki.repository.status import CertificateReference, StatusChange, set_statuses
from smki.repository.tables import certificate
from smki.repository.windows import close_windows
from smki.settings import Settings
from smki_demo.reading_back import check_against_repository, fetch_extracts
from smki_demo.stack import Stack

from .conftest import END, DagRun, backfill, ended_runs, run_of, trigger, wait_until

pytestmark = pytest.mark.stack

DAY, WEEK = timedelta(days=1), timedelta(days=7)


def _content_in_time(engine: Engine, guide: UserGuide, folder: Path, name: str) -> str:
    """Content digest of that file as it is produced here and now, without Airflow."""
    obligation = guide.of_file(name)
    assert obligation is not None
    day = obligation.day_of(name)
    assert day is not None
    return produced(engine, obligation, day, folder)[1].content_digest


def _published_content(engine: Engine, name: str) -> str:
    with engine.connect() as connection:
        publication = find_publication(connection, "primary", name)
    assert publication is not None
    return publication.artefact.content_digest


def _clear_failed(stack: Stack, dag_id: str, run_id: str) -> None:
    stack.api.post(
        f"dags/{dag_id}/clearTaskInstances",
        {"dag_run_id": run_id, "dry_run": False, "only_failed": True, "reset_dag_runs": True},
    )


@pytest.fixture(scope="module")
def sunday(user_guide: UserGuide):
    return next(END - n * DAY for n in range(1, 8) if user_guide.full.cut_off.falls_on(END - n * DAY))


def test_past_days_are_backfilled_with_the_content_they_would_have_had_in_time(
    stack: Stack, engine: Engine, party: Site, user_guide: UserGuide, sunday, tmp_path: Path
):
    close_windows(engine, END, user_guide.delta.cut_off.at)
    days = [sunday + n * DAY for n in range((END - sunday).days + 1)]
    names = [user_guide.full.file_name(sunday), *(user_guide.delta.file_name(day) for day in days)]
    in_time = {name: _content_in_time(engine, user_guide, tmp_path, name) for name in names}
    with engine.connect() as connection:
        in_use = connection.execute(
            select(certificate.c.serial_number).where(certificate.c.status == "I", certificate.c["class"] == "DEVICE")
        ).scalars()
        later = [
            StatusChange(CertificateReference(serial), Status.NOT_IN_USE, "later") for serial in list(in_use)[:100]
        ]
    assert set_statuses(engine, later) == 100

    assert set(backfill(stack, DAILY_DELTA, days[0], days[-1], DAY).values()) == {"success"}
    assert set(backfill(stack, FULL_EXTRACT, sunday, sunday, WEEK).values()) == {"success"}

    assert {name: _published_content(engine, name) for name in names} == in_time
    offered = fetch_extracts(party, user_guide, Settings.from_environment().annex_b_xsd, tmp_path / "party")
    backfilled = [file for file in offered if file.business_date <= END]  # the scheduler also runs today's
    (chain,) = check_against_repository(engine, user_guide, backfilled)
    assert [state.business_date for state in chain] == days


def test_one_publisher_works_at_a_time(stack: Stack, sunday):
    spans = sorted(
        (task["start_date"], task["end_date"])
        for day in (sunday + n * DAY for n in range((END - sunday).days + 1))
        for task in stack.api.tasks(DAILY_DELTA, run_of(stack, DAILY_DELTA, day))
        if task["task_id"] == "publish_primary"
    )
    assert len(spans) > 1
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))


def test_a_failed_task_is_cleared_once_its_cause_is_gone(
    stack: Stack, engine: Engine, user_guide: UserGuide, sunday, tmp_path: Path
):
    day = sunday - DAY
    name = user_guide.delta.file_name(day)
    intruder = stack.var / "sftp" / name
    intruder.write_bytes(b"somebody else's file")

    assert backfill(stack, DAILY_DELTA, day, day, DAY) == {day: "failed"}
    assert intruder.read_bytes() == b"somebody else's file"
    run_id = run_of(stack, DAILY_DELTA, day)
    (publish,) = [task for task in stack.api.tasks(DAILY_DELTA, run_id) if task["task_id"] == "publish_primary"]
    assert (publish["state"], publish["try_number"]) == ("failed", 1), "a data error is not retried"

    intruder.unlink()
    _clear_failed(stack, DAILY_DELTA, run_id)
    wait_until(lambda: ended_runs(stack, DAILY_DELTA).get(day) == "success")
    assert _published_content(engine, name) == _content_in_time(engine, user_guide, tmp_path, name)


def test_a_run_that_is_cleared_whole_changes_nothing_that_is_published(stack: Stack, user_guide: UserGuide, sunday):
    file = stack.var / "sftp" / user_guide.full.file_name(sunday)
    before = (file.read_bytes(), file.stat().st_ino)
    run_id = run_of(stack, FULL_EXTRACT, sunday)
    stack.api.post(
        f"dags/{FULL_EXTRACT}/clearTaskInstances",
        {"dag_run_id": run_id, "dry_run": False, "only_failed": False, "reset_dag_runs": True},
    )
    wait_until(lambda: ended_runs(stack, FULL_EXTRACT).get(sunday) is None, 30)
    wait_until(lambda: ended_runs(stack, FULL_EXTRACT).get(sunday) == "success")
    assert (file.read_bytes(), file.stat().st_ino) == before


def test_the_log_of_a_failed_task_says_what_is_wrong_and_what_to_do_in_airflow(
    stack: Stack, user_guide: UserGuide, sunday
):
    intruder = stack.var / "sftp" / user_guide.delta.file_name(sunday - 2 * DAY)
    intruder.write_bytes(b"somebody else's file")
    assert backfill(stack, DAILY_DELTA, sunday - 2 * DAY, sunday - 2 * DAY, DAY) == {sunday - 2 * DAY: "failed"}
    run = DagRun(stack, DAILY_DELTA, run_of(stack, DAILY_DELTA, sunday - 2 * DAY))
    (error,) = run.errors("publish_primary")
    assert intruder.name in error
    assert PublicationRefusedError.CONSEQUENCE in error
    assert "Next:" in error
    logs = (stack.var / "airflow" / "logs" / f"dag_id={DAILY_DELTA}" / f"run_id={run.run_id}").rglob("*.log")
    assert any("in Airflow: mend the cause, then clear the failed task." in log.read_text() for log in logs)
    intruder.unlink()
    run.clear()
    assert run.ends() == "success"


def test_a_publication_starts_the_dags_of_others(stack: Stack, user_guide: UserGuide, sunday):
    events = stack.api.get("assets/events", source_dag_id=FULL_EXTRACT)["asset_events"]
    of_file = [one for one in events if one["extra"]["name"] == user_guide.full.file_name(sunday)]
    for event in of_file:
        assert (event["uri"], event["name"]) == ("smki://full/", "smki://full")
        assert event["extra"]["business_date"] == sunday.isoformat()
        assert event["source_task_id"] == "publish_primary"
    assert len({event["extra"]["content_digest"] for event in of_file}) == 1, "a cleared run repeats its event"


def test_a_full_extract_of_any_day_is_published_for_recovery(
    stack: Stack, engine: Engine, user_guide: UserGuide, sunday, tmp_path: Path
):
    day = sunday + 2 * DAY
    assert not user_guide.full.cut_off.falls_on(day)
    assert trigger(stack, FULL_EXTRACT, any_day=day).ends() == "success"
    name = user_guide.full.file_name(day)
    assert (stack.var / "sftp" / name).exists()
    assert _published_content(engine, name) == _content_in_time(engine, user_guide, tmp_path, name)
