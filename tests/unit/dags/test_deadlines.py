"""Airflow's deadline alerts: which runs have one, and when it comes."""

import json
from datetime import UTC, datetime, time, timedelta

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.models.dagrun import DagRun
from airflow.plugins_manager import get_deadline_references_plugins
from airflow.serialization.encoders import encode_deadline_alert
from airflow.utils.types import DagRunType

from smki.obligations.catalogue import PublishTime, UserGuide
from smki.settings import PROJECT
from smki_airflow.plugin import SmkiPlugin
from smki_airflow.signals.deadlines import PublishBy, deadlines, open_findings

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DAY = timedelta(days=1)
NEXT_DAY = PublishTime(time(), 1)


class _Session:
    """Finds this run, whatever is asked for."""

    def __init__(self, run: DagRun) -> None:
        self._run = run

    def scalar(self, _query: object) -> DagRun:
        return self._run


def publish_by(
    run_type: DagRunType, cut_off: datetime | None, publish_time: PublishTime | None = NEXT_DAY
) -> datetime | None:
    run = DagRun(dag_id="dag", run_id="run", run_type=run_type)
    run.data_interval_end = cut_off
    return PublishBy(publish_time)._evaluate_with(session=_Session(run), dag_id="dag", run_id="run")


def test_scheduled_run_has_the_publish_by_of_its_own_day_even_if_that_has_passed():
    assert publish_by(DagRunType.SCHEDULED, TODAY) == TODAY + DAY
    assert publish_by(DagRunType.SCHEDULED, TODAY - 9 * DAY) == TODAY - 8 * DAY, "the scheduler was dead"


@pytest.mark.parametrize("run_type", [DagRunType.BACKFILL_JOB, DagRunType.ASSET_TRIGGERED, DagRunType.MANUAL])
def test_backfills_and_runs_without_a_day_have_none(run_type: DagRunType):
    day = TODAY if run_type is DagRunType.BACKFILL_JOB else None
    assert publish_by(run_type, day) is None


def test_run_that_a_person_begins_has_one_while_it_can_be_in_time():
    tomorrow = TODAY + DAY  # midnight may have passed since the tests began
    assert publish_by(DagRunType.MANUAL, tomorrow) == tomorrow + DAY
    assert publish_by(DagRunType.MANUAL, TODAY - 2 * DAY) is None


def test_airflow_can_read_the_reference_back_because_the_plugin_names_it():
    assert PublishBy in SmkiPlugin.deadline_references
    assert "smki_airflow.signals.deadlines.PublishBy" in get_deadline_references_plugins()
    reference = PublishBy(PublishTime(time(8, 30), 1, "Europe/London"))
    stored = json.loads(json.dumps(reference.serialize_reference()))
    assert PublishBy.deserialize_reference(stored).publish_time == reference.publish_time


def test_reference_that_an_earlier_version_stored_has_no_deadline():
    reference = PublishBy.deserialize_reference({"reference_type": "PublishBy", "delay_s": 3600.0})
    assert publish_by(DagRunType.SCHEDULED, TODAY, reference.publish_time) is None


def test_every_publishing_dag_warns_and_alerts_at_the_times_of_the_user_guide(user_guide: UserGuide):
    bag = DagBag(PROJECT / "dags")
    for one in user_guide.all:
        alerts = [alert for alert in bag.dags[one.dag].deadline if one.name in alert.callback.kwargs["obligations"]]
        assert {alert.reference.publish_time for alert in alerts} == {one.publish_time}
        assert {alert.interval for alert in alerts} == {timedelta(), -one.warning_lead}
    assert all(not dag.deadline for dag_id, dag in bag.dags.items() if dag_id not in user_guide.dags)


def test_obligations_of_one_time_share_their_alerts(user_guide: UserGuide):
    for dag_id in user_guide.dags:
        times = {(one.publish_time, one.warning_lead) for one in user_guide.published_by(dag_id)}
        alerts = deadlines(user_guide, dag_id)
        assert len(alerts) == 2 * len(times)
        assert all(len(encode_deadline_alert(alert)["name"]) < 250 for alert in alerts)


def test_callback_is_found_by_its_path():
    assert open_findings.__module__ == "smki_airflow.signals.deadlines"
