"""Airflow's own signal of a publish-by: two deadline alerts on every publishing DAG, at the warning and at the miss.

* The reference is the publish-by of the run's own day. A run without a day (an event began it) has none, nor has a
  backfill, nor a run that a person begins for a day whose publish-by has passed: they are late already, and known. Nor
  has the first scheduled run of a DAG, if it has passed: before that run nobody had begun to publish.
* A deadline looks at its run only. So the callback asks the ledger how the day's files stand: where all are on every
  site, nothing opens, whatever became of the run.
* It runs at least once, in the triggerer; what it opens is the same finding that the auditor opens, so repeating it
  and the auditor's look change nothing.
* A paused DAG and a dead scheduler raise no alert: the auditor is the other signal.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, ClassVar

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import BaseDeadlineReference, DeadlineAlert, deadline_reference
from pydantic import TypeAdapter

from smki.obligations.catalogue import Obligation, PublishTime, UserGuide
from smki_airflow.run import open_project

log = logging.getLogger(__name__)
_PUBLISH_TIME: TypeAdapter[PublishTime | None] = TypeAdapter(PublishTime | None)


@deadline_reference()
@dataclass(eq=False)
class PublishBy(BaseDeadlineReference):
    """The publish-by of a run's own day."""

    publish_time: PublishTime | None = None
    required_kwargs: ClassVar[set[str]] = {"dag_id", "run_id"}

    def _evaluate_with(self, *, session: Any, dag_id: str, run_id: str) -> datetime | None:
        """UTC; none for a run that is not the day's own. Called by the scheduler when the run is made."""
        from smki_airflow.board.airflow import BACKFILL, SCHEDULED, find_run, is_first_scheduled

        run = find_run(session, dag_id, run_id)
        if run is None or run.cut_off is None or run.type == BACKFILL or self.publish_time is None:
            return None
        publish_by = self.publish_time.at(run.cut_off.astimezone(UTC).date())
        if publish_by <= datetime.now(UTC) and (run.type != SCHEDULED or is_first_scheduled(session, dag_id, run_id)):
            return None
        return publish_by

    def serialize_reference(self) -> dict[str, Any]:
        """As Airflow's database has it."""
        return {
            "reference_type": self.reference_name,
            "publish_time": _PUBLISH_TIME.dump_python(self.publish_time, mode="json"),
        }

    @classmethod
    def deserialize_reference(cls, reference_data: dict[str, Any]) -> "PublishBy":
        """From Airflow's database. An earlier version's has no time that could be read: there is no deadline then."""
        return cls(_PUBLISH_TIME.validate_python(reference_data.get("publish_time")))


def deadlines(guide: UserGuide, dag_id: str) -> list[DeadlineAlert]:
    """The alerts of a publishing DAG: two for each different publish-by of its obligations."""

    def times(obligation: Obligation) -> tuple[PublishTime, timedelta]:
        return obligation.publish_time, obligation.warning_lead

    alerts = []
    for (publish_time, lead), group in groupby(sorted(guide.published_by(dag_id), key=times), key=times):
        obligations = [one.name for one in group]
        reference = PublishBy(publish_time)
        alerts += [
            DeadlineAlert(
                reference=reference,
                interval=interval,
                callback=AsyncCallback(open_findings, {"obligations": obligations}),
                name=f"{name}: {', '.join(obligations)}",
            )
            for name, interval in (("warning", -lead), ("publish-by", timedelta()))
        ]
    return alerts


async def open_findings(obligations: list[str], context: dict[str, Any]) -> None:
    """Opens a finding for each file of the run's day that some site lacks now, and tells people. Returns None."""
    cut_off = datetime.fromisoformat(context["dag_run"]["data_interval_end"])
    await asyncio.to_thread(_look_at_ledger, obligations, cut_off)


def _look_at_ledger(obligations: Sequence[str], cut_off: datetime) -> None:
    from smki.watch.due import Due
    from smki.watch.due_status import due_status
    from smki.watch.facts import load_facts
    from smki.watch.findings_ledger import open_finding
    from smki.watch.repository_findings import find_late_or_at_risk
    from smki_airflow.signals.telling import tell_people

    project = open_project()
    guide, sites = project.guide, project.settings.sites
    try:
        now, day = datetime.now(UTC), cut_off.astimezone(UTC).date()
        facts = load_facts(project.engine, guide, sites, day)
        due = [Due(one, day) for one in guide.all if one.name in obligations and one.cut_off.falls_on(day)]
        stands = [due_status(one, facts, now) for one in due if facts.since(one.obligation)]
        for site in sites:
            for finding in find_late_or_at_risk(site, stands):
                log.warning("finding kind=%s site=%s item=%s rule=%s", finding.kind, site, finding.item, finding.rule)
                open_finding(project.engine, finding, now)
        for stand in stands:
            log.info("deadline file=%s state=%s", stand.due.label, stand.words)
        tell_people(project.engine, guide, now)
    finally:
        project.close()  # the triggerer lives on
