"""The run that publishes the revocation lists. Each task says what it did in one log line.

The run begins with an event of the repository or with the day, so it has no business date: a list brings its own.
"""

import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from airflow.sdk import task, task_group
from airflow.sdk.exceptions import AirflowSkipException

from smki_airflow.defaults import published_by
from smki_airflow.publishing.gate import GateOperator
from smki_airflow.publishing.handover import Judged, artefact_as_json, artefact_from_json, confirm_published
from smki_airflow.publishing.wiring import gated_publishing
from smki_airflow.run import Json, Run, current_run, open_project

if TYPE_CHECKING:
    from smki.gate.judging_process import Judge

log = logging.getLogger(__name__)


def publish_lists(dag: str) -> None:
    """A part for each list that the DAG publishes: they are sections of user_guide.toml."""
    for obligation in published_by(dag):
        publish_list.override(group_id=obligation.name)(obligation.name)


@task_group
def publish_list(obligation: str) -> None:
    """One list, from the repository to every site; the other list's part does not wait for it."""
    record(gated_publishing(ListGate(produced=stage(obligation)), in_place=True))


@task
def check_next_update() -> list[str]:
    """Warns of each list whose nextUpdate comes near, or has passed, while none follows it; returns their names."""
    from smki.kinds.revocation.file import lists_without_successor

    project = open_project()
    ending = lists_without_successor(project.engine, project.guide, datetime.now(UTC))
    for lodged in ending:
        log.warning("no list follows list=%s next_update=%s", lodged, lodged.next_update.isoformat())
    return [str(lodged) for lodged in ending]


@task
def stage(obligation: str) -> Json:
    """Produces the newest list's file; returns its artefact. Skipped while none is lodged."""
    from smki.kinds.revocation.file import newest_list, write_revocation_file
    from smki.store.content import put_small_file

    project, run = open_project(), current_run()
    one = project.guide.obligation(obligation)
    lodged = newest_list(project.engine, one)
    if lodged is None:
        log.warning("nothing is lodged obligation=%s clause=%s", obligation, one.clause)
        raise AirflowSkipException(f"no {one.title} is lodged: nothing to publish")
    with TemporaryDirectory(prefix="smki-") as folder:
        artefact = write_revocation_file(one, lodged, Path(folder), datetime.now(UTC), run.label)
        put_small_file(project.store, Path(folder) / artefact.name)
    log.info("list produced list=%s name=%s sha256=%s", lodged, artefact.name, artefact.sha256)
    return artefact_as_json(artefact)


class ListGate(GateOperator):
    """Judges a list's file; nothing if a newer list was lodged since, as that begins a run of its own."""

    def judge(self, run: Run, judge: "Judge") -> list[Judged]:
        from smki.kinds import Source
        from smki.kinds.revocation.evidence import list_evidence
        from smki.kinds.revocation.file import newest_list
        from smki.store.content import fetch_small_file

        project = open_project()
        artefact = artefact_from_json(self.produced)
        obligation = project.guide.obligation(artefact.obligation, artefact.subject)
        newest = newest_list(project.engine, obligation)
        if newest is None or newest.id != artefact.version:
            log.warning("a newer list follows list=%s", newest)
            return []
        now = datetime.now(UTC)
        with TemporaryDirectory(prefix="smki-") as folder:
            file = fetch_small_file(project.store, artefact.sha256, Path(folder) / artefact.name)
            judgement = judge(list_evidence(Source.of(project), obligation, newest, file, now), run.label, now)
        return [Judged(judgement, replace(artefact, verified_at=now))]


@task
def record(published: list[list[Json]]) -> list[Json]:
    """Ends a list's part of the run: returns what is published where."""
    return confirm_published(current_run(), 1, published)
