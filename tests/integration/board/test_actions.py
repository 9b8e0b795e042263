"""What the board does, in Airflow's own database; without a scheduler, which the tests with the stack have."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from airflow.models.backfill import Backfill
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.log import Log
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session

from builders import ANCHOR_SLOTS, DAILY_DELTA, FULL_EXTRACT, made_artefact
from smki.obligations.catalogue import PublishTime, UserGuide
from smki.publish.ledger import record_artefact, record_publication
from smki.publish.recipe import PublishedFile
from smki_airflow.names import AUDITOR
from smki_airflow.signals.deadlines import PublishBy

from .conftest import HOST, Browser
from .ledgers import fill_ledger

DAY = timedelta(days=1)
OURS = {"origin": HOST}


@pytest.fixture
def session(board: Any) -> Iterator[Session]:  # noqa: ARG001  # Airflow's database has to be there
    with create_session() as opened:
        yield opened
    with create_session() as cleaning:
        for model in (TaskInstance, DagRun, Backfill, Log):
            cleaning.execute(delete(model))
        cleaning.execute(update(DagModel).values(is_paused=False))


def failed_run(
    session: Session,
    day: datetime,
    state: str = "failed",
    start: datetime | None = None,
    dag_id: str = DAILY_DELTA,
    conf: dict[str, str] | None = None,
) -> str:
    """A run of a DAG for this day whose `plan` ended in this state; its interval is empty, or starts then."""
    start = start or day
    dag = session.scalar(SerializedDagModel.latest_item_select_object(dag_id)).dag
    run = dag.create_dagrun(
        run_id=f"scheduled__{day.date()}",
        logical_date=start,
        data_interval=(start, day),
        run_after=day,
        run_type=DagRunType.SCHEDULED,
        triggered_by=DagRunTriggeredByType.TIMETABLE,
        state=state,
        conf=conf,
        session=session,
    )
    for instance in run.get_task_instances(session=session):
        instance.state = state if instance.task_id == "plan" else "success"
        instance.start_date, instance.end_date = day + timedelta(minutes=1), day + timedelta(minutes=2)
    session.commit()
    return str(run.run_id)


@pytest.fixture
def midnight() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def test_a_viewer_can_do_nothing(browser: Browser, session: Session, midnight: datetime) -> None:
    day = (midnight - 3 * DAY).date()
    for path in (
        f"{DAILY_DELTA}/backfill?first={day}&last={day}",
        f"{AUDITOR}/trigger",
        f"{DAILY_DELTA}/clear?run_id=r",
    ):
        asked = browser("VIEWER").get(f"/smki/board/{path}")
        done = browser("VIEWER").post(f"/smki/board/{path}", headers=OURS)
        assert (asked.status_code, done.status_code) == (403, 403)
        assert "You may not edit the runs of" in done.text
    assert session.scalars(select(DagRun)).all() == []


@pytest.mark.parametrize("origin", [None, "null", "https://elsewhere.example", f"{HOST}.elsewhere.example"])
def test_a_page_of_another_site_can_do_nothing(browser: Browser, session: Session, origin: str | None) -> None:
    headers = {} if origin is None else {"origin": origin}
    answer = browser("ADMIN").post(f"/smki/board/{AUDITOR}/trigger", headers=headers)
    assert (answer.status_code, session.scalars(select(DagRun)).all()) == (403, [])
    assert "Nothing was done." in answer.text


def test_a_backfill_is_shown_first_and_then_runs_failed_and_missing_days_only(
    browser: Browser, session: Session, midnight: datetime
) -> None:
    failed_run(session, midnight - 4 * DAY)
    failed_run(session, midnight - 3 * DAY, state="success")
    first, last = (midnight - 5 * DAY).date(), (midnight - 3 * DAY).date()
    path = f"/smki/board/{DAILY_DELTA}/backfill?first={first}&last={last}"
    page = browser("ADMIN").get(path).text
    assert "Backfill 2 days?" in page
    assert session.scalars(select(Backfill)).all() == [], "to look changes nothing"
    left = page.partition("This day is left alone")[2]
    assert f"SMKIKR_DELT_{last}.xml.gz" in left

    answer = browser("ADMIN").post(path, headers=OURS)
    assert (answer.status_code, answer.headers["location"]) == (303, "/smki/board?done=backfill")
    session.expire_all()
    (made,) = session.scalars(select(Backfill)).all()
    assert (made.dag_id, made.reprocess_behavior, made.max_active_runs) == (DAILY_DELTA, "failed", 1)
    assert made.triggering_user_name == "admin"
    ends = {run.data_interval_end: str(run.state) for run in session.scalars(select(DagRun))}
    assert ends == {midnight - 5 * DAY: "queued", midnight - 4 * DAY: "queued", midnight - 3 * DAY: "success"}
    assert "smki_board_backfill" in session.scalars(select(Log.event)).all(), "Airflow's audit log knows it"
    assert "one by one" in browser("ADMIN").get("/smki/board?done=backfill").text


def test_a_day_whose_logical_date_an_older_run_of_the_next_day_has_is_left_alone(
    browser: Browser, session: Session, midnight: datetime
) -> None:
    """In version 0.9 the cut-off ended a run's interval, and the logical date began it."""
    for back in (4, 3):
        failed_run(session, midnight - back * DAY, start=midnight - (back + 1) * DAY)
    days = [(midnight - back * DAY).date() for back in (4, 3)]
    page = browser("ADMIN").get(f"/smki/board/{DAILY_DELTA}/backfill?first={days[0]}&last={days[1]}").text
    run, left = page.split("left alone")
    assert "Backfill 1 day?" in run
    assert (f"SMKIKR_DELT_{days[1]}.xml.gz" in run, f"SMKIKR_DELT_{days[0]}.xml.gz" in left) == (True, True)


def test_the_first_scheduled_run_of_a_dag_raises_no_alert_for_a_time_before_it(
    session: Session, midnight: datetime
) -> None:
    def publish_by(day: datetime) -> datetime | None:
        reference = PublishBy(PublishTime(time(1)))
        return reference._evaluate_with(session=session, dag_id=DAILY_DELTA, run_id=failed_run(session, day))

    assert publish_by(midnight - 3 * DAY) is None, "nobody had begun to publish"
    assert publish_by(midnight - 2 * DAY) == midnight - 2 * DAY + timedelta(hours=1), "the scheduler was dead"


@pytest.mark.usefixtures("session")
def test_one_backfill_at_a_time_and_the_page_says_so(browser: Browser, midnight: datetime) -> None:
    day = (midnight - 3 * DAY).date()
    path = f"/smki/board/{DAILY_DELTA}/backfill?first={day}&last={day}"
    assert browser("ADMIN").post(path, headers=OURS).status_code == 303
    for answer in (browser("ADMIN").get(path), browser("ADMIN").post(path, headers=OURS)):
        assert answer.status_code == 409
        assert "Airflow works on one at a time" in answer.text


def test_days_that_ended_well_run_again_only_when_asked_for(
    browser: Browser, session: Session, midnight: datetime
) -> None:
    failed_run(session, midnight - 3 * DAY, state="success")
    day = (midnight - 3 * DAY).date()
    path = f"/smki/board/{DAILY_DELTA}/backfill?first={day}&last={day}"
    assert "Nothing to backfill" in browser("ADMIN").get(path).text
    assert browser("ADMIN").post(path, headers=OURS).status_code == 409
    assert "Backfill 1 day?" in browser("ADMIN").get(f"{path}&again=true").text
    assert browser("ADMIN").post(f"{path}&again=true", headers=OURS).status_code == 303


@pytest.mark.parametrize(
    ("dag_id", "first", "last", "said"),
    [
        (DAILY_DELTA, 1, 3, "a range goes forward"),
        (DAILY_DELTA, 300, 1, "92 days at most"),
        (ANCHOR_SLOTS, 3, 1, "run it now instead"),
    ],
)
@pytest.mark.usefixtures("session")
def test_a_range_that_makes_no_sense_is_refused_in_words(
    browser: Browser, midnight: datetime, dag_id: str, first: int, last: int, said: str
) -> None:
    days = [(midnight - count * DAY).date() for count in (first, last)]
    answer = browser("ADMIN").get(f"/smki/board/{dag_id}/backfill?first={days[0]}&last={days[1]}")
    assert (answer.status_code, said in answer.text) == (409, True)


@pytest.mark.usefixtures("session")
def test_a_week_without_a_full_extract_has_no_day_to_backfill(browser: Browser, midnight: datetime) -> None:
    monday = (midnight - timedelta(days=midnight.weekday() + 7)).date()
    path = f"/smki/board/{FULL_EXTRACT}/backfill?first={monday}&last={monday + timedelta(days=5)}"
    assert "no file is due on any of these days" in browser("ADMIN").get(path).text


def test_the_failed_tasks_of_a_run_are_cleared_and_the_others_stay(
    browser: Browser, session: Session, midnight: datetime
) -> None:
    run_id = failed_run(session, midnight - 3 * DAY)
    opened = browser("ADMIN").get(f"/smki/board/day/{(midnight - 3 * DAY).date()}?obligation=delta").text
    path = f"/smki/board/{DAILY_DELTA}/clear?run_id={run_id}"
    assert path in opened
    page = browser("ADMIN").get(path).text
    assert "<code>plan</code>" in page
    assert "Clear 1 task" in page

    assert browser("ADMIN").post(path, headers=OURS).status_code == 303
    session.expire_all()
    states = dict(session.execute(select(TaskInstance.task_id, TaskInstance.state)).all())
    assert (states["plan"], states["close_window"]) == (None, "success")
    assert session.scalar(select(DagRun.state)) == "queued"
    again = browser("ADMIN").post(path, headers=OURS)
    assert (again.status_code, "There is nothing to clear." in again.text) == (409, True)


def test_a_run_that_has_ended_begins_again_as_a_whole_and_its_file_is_named(
    browser: Browser, session: Session, midnight: datetime, user_guide: UserGuide
) -> None:
    day = midnight - 3 * DAY
    run_id = failed_run(session, day, "success")
    opened = browser("ADMIN").get(f"/smki/board/day/{day.date()}?obligation=delta").text
    assert "Clear failed tasks" not in opened
    assert "Backfill this day" not in opened
    path = f"/smki/board/{DAILY_DELTA}/clear?run_id={run_id}&whole=true"
    assert path.replace("&", "&amp;") in opened
    page = browser("ADMIN").get(path).text
    assert f"Publish {user_guide.delta.file_name(day.date())} again?" in page
    tasks = [page.index(f"<code>{task}</code>") for task in ("plan", "judge", "publish_primary", "record")]
    assert tasks == sorted(tasks)

    answer = browser("ADMIN").post(path, headers=OURS)
    assert answer.headers["location"] == "/smki/board?done=again"
    session.expire_all()
    assert set(session.scalars(select(TaskInstance.state))) == {None}
    again = browser("ADMIN").post(path, headers=OURS)
    assert (again.status_code, "it has not ended" in again.text) == (409, True)


def test_a_run_for_any_day_is_shown_and_named_by_the_day_that_was_asked_for(
    browser: Browser, session: Session, midnight: datetime, user_guide: UserGuide
) -> None:
    begun = midnight - (1 + midnight.weekday()) % 7 * DAY  # a Sunday, as the one before
    asked = (begun - 7 * DAY).date()
    run_id = failed_run(session, begun, dag_id=FULL_EXTRACT, conf={"any_day": asked.isoformat()})
    path = f"/smki/board/{FULL_EXTRACT}/clear?run_id={run_id}"
    for day, is_shown in ((asked, True), (begun.date(), False)):
        assert (path in browser("ADMIN").get(f"/smki/board/day/{day}?obligation=full").text) is is_shown
    page = browser("ADMIN").get(path).text
    assert user_guide.full.file_name(asked) in page
    assert user_guide.full.file_name(begun.date()) not in page


def test_a_file_of_a_day_on_which_none_is_due_has_its_day_and_is_published_again_by_its_own_run(
    browser: Browser, repository: Engine, session: Session, midnight: datetime, user_guide: UserGuide
) -> None:
    begun = midnight - (1 + midnight.weekday()) % 7 * DAY  # a Sunday
    asked = (begun - 4 * DAY).date()  # a Wednesday
    path = f"/smki/board/day/{asked}?obligation=full"
    name = user_guide.full.file_name(asked)
    assert name not in browser("ADMIN").get(path).text
    artefact = made_artefact("full", name, asked)
    with repository.begin() as connection:
        record_artefact(connection, artefact)
        there = PublishedFile(f"/{name}", artefact.bytes, artefact.sha256, already_there=False)
        record_publication(connection, "primary", name, there, "smki_full_extract/any")
    page = browser("ADMIN").get(path).text
    assert name in page
    assert f"Any day</i> {asked}" in page
    assert f"/smki/board/{FULL_EXTRACT}/backfill" not in page
    assert "after publish-by" not in page

    run_id = failed_run(session, begun, "success", dag_id=FULL_EXTRACT, conf={"any_day": asked.isoformat()})
    assert f"/smki/board/{FULL_EXTRACT}/clear?run_id={run_id}&amp;whole=true" in browser("ADMIN").get(path).text


def test_a_run_for_a_day_of_no_calendar_keeps_no_page_away(
    browser: Browser, session: Session, midnight: datetime
) -> None:
    run_id = failed_run(session, midnight, conf={"any_day": "tomorrow"})
    assert browser("ADMIN").get(f"/smki/board/{DAILY_DELTA}/clear?run_id={run_id}").status_code == 200
    assert browser("ADMIN").get(f"/smki/board/day/{midnight.date()}?obligation=delta").status_code == 200


def test_what_has_no_days_is_run_now_from_the_current_day_only(
    browser: Browser, repository: Engine, now: datetime
) -> None:
    fill_ledger(repository, now, 20)
    current = (now - timedelta(hours=1)).date()  # lists have their cut-off at 01:00
    for back, offered in ((0, True), (4, False)):
        day = current - timedelta(days=back)
        page = browser("ADMIN").get(f"/smki/board/day/{day}?obligation=crl").text
        assert ("Organisation CRL" in page, "Run now…" in page) == (True, offered)


def test_the_auditor_is_run_once_now(browser: Browser, session: Session) -> None:
    path = f"/smki/board/{AUDITOR}/trigger"
    assert "It changes nothing on the sites." in browser("ADMIN").get(path).text
    assert browser("ADMIN").post(path, headers=OURS).headers["location"] == "/smki/board?done=audit"
    (run,) = session.scalars(select(DagRun)).all()
    assert (run.dag_id, run.run_type, run.triggering_user_name) == (AUDITOR, "manual", "admin")


def test_the_auditor_has_no_days_and_a_run_of_it_is_cleared(
    browser: Browser, session: Session, midnight: datetime
) -> None:
    run_id = failed_run(session, midnight, dag_id=AUDITOR)
    assert browser("ADMIN").get(f"/smki/board/{AUDITOR}/clear?run_id={run_id}&whole=true").status_code == 200
    path = f"/smki/board/{AUDITOR}/backfill?first={midnight.date()}&last={midnight.date()}"
    for answer in (browser("ADMIN").get(path), browser("ADMIN").post(path, headers=OURS)):
        assert (answer.status_code, "run it now instead" in answer.text) == (409, True)


@pytest.mark.usefixtures("session")
def test_the_day_that_an_action_began_from_stays_open(browser: Browser, midnight: datetime) -> None:
    day = (midnight - 3 * DAY).date()
    shown = f"day={day}&obligation=delta"
    path = f"/smki/board/{DAILY_DELTA}/backfill?first={day}&last={day}&{shown}"
    assert path.replace("&", "&amp;") in browser("ADMIN").get(f"/smki/board/day/{day}?obligation=delta").text
    page = browser("ADMIN").get(path).text
    assert f'action="{path.replace("&", "&amp;")}"' in page
    back = f"/smki/board?done=backfill&{shown}#day"
    assert f'href="/smki/board?{shown.replace("&", "&amp;")}#day">Leave it' in page
    assert browser("ADMIN").post(path, headers=OURS).headers["location"] == back


def test_a_paused_dag_is_not_run_and_the_page_says_why(browser: Browser, session: Session) -> None:
    session.execute(update(DagModel).where(DagModel.dag_id == AUDITOR).values(is_paused=True))
    session.commit()
    answer = browser("ADMIN").post(f"/smki/board/{AUDITOR}/trigger", headers=OURS)
    assert (answer.status_code, "unpause it, then ask again" in answer.text) == (409, True)


@pytest.mark.usefixtures("session")
def test_what_belongs_to_days_is_not_run_now(browser: Browser) -> None:
    answer = browser("ADMIN").post(f"/smki/board/{DAILY_DELTA}/trigger", headers=OURS)
    assert (answer.status_code, "backfill the day instead" in answer.text) == (409, True)


def test_the_day_shows_the_stages_of_its_run(browser: Browser, session: Session, midnight: datetime) -> None:
    failed_run(session, midnight - 3 * DAY)
    page = browser("VIEWER").get(f"/smki/board/day/{(midnight - 3 * DAY).date()}?obligation=delta").text
    assert "close_window" in page
    assert "60 s" in page
    assert f"/dags/{DAILY_DELTA}/runs/scheduled__" in page
    assert "Clear failed tasks" not in page


def test_a_stage_that_has_not_begun_again_has_no_time_of_the_try_before(
    browser: Browser, session: Session, midnight: datetime
) -> None:
    day = midnight - 3 * DAY
    failed_run(session, day)
    publish, record = (
        session.scalars(select(TaskInstance).where(TaskInstance.task_id == task_id)).one()
        for task_id in ("publish_primary", "record")
    )
    publish.state, publish.start_date, publish.end_date = "failed", day + 2 * DAY, day + 2 * DAY
    record.state = "upstream_failed"
    session.commit()
    page = browser("VIEWER").get(f"/smki/board/day/{day.date()}?obligation=delta").text
    assert page.index(">plan<") < page.index(">publish_primary<") < page.index(">record<")
