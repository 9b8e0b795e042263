"""The run that publishes the anchor-slot files and their document. Each task says what it did in one log line.

The run begins with a change of the configuration or of a certificate in it, or with the day. So it has no business
date: it publishes what configuration and repository say now.
"""

import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from airflow.sdk import task
from airflow.sdk.exceptions import AirflowSkipException

from smki.errors import AnchorSlotsUnsetError
from smki_airflow.publishing.gate import GateOperator
from smki_airflow.publishing.handover import Judged, artefact_as_json, artefact_from_json, confirm_published
from smki_airflow.run import Json, Run, current_run, open_project

if TYPE_CHECKING:
    from smki.gate.judging_process import Judge

log = logging.getLogger(__name__)


@task
def produce() -> list[Json]:
    """Checks the configuration, writes the files and records them; returns their artefacts.

    Skipped while there is no configuration.
    """
    from smki.kinds.anchors.production import load_anchor_set, produce_set
    from smki.kinds.anchors.set_ledger import record_set
    from smki.store.content import put_small_file

    project, run, now = open_project(), current_run(), datetime.now(UTC)
    settings = project.settings
    try:
        anchor_set = load_anchor_set(project.engine, settings.anchor_slots, now)
    except AnchorSlotsUnsetError as error:
        raise AirflowSkipException(str(error)) from error
    with TemporaryDirectory(prefix="smki-") as folder:
        produced = produce_set(anchor_set, project.guide, Path(folder))
        for file in produced:
            put_small_file(project.store, Path(folder) / file.name)
    artefacts = record_set(project.engine, produced, run.label, now)
    configuration = anchor_set.configuration
    log.info(
        "anchor set produced version=%s revision=%s configuration=%s",
        artefacts[0].version,
        configuration.revision,
        configuration.digest,
    )
    for artefact in artefacts:
        log.info("file produced name=%s sha256=%s records=%d", artefact.name, artefact.sha256, artefact.records)
    return [artefact_as_json(artefact) for artefact in artefacts]


class SetGate(GateOperator):
    """Judges the four files, each beside the others, by the configuration as it is now."""

    def judge(self, run: Run, judge: "Judge") -> list[Judged]:
        from smki.kinds import Source
        from smki.kinds.anchors.evidence import set_evidence
        from smki.kinds.anchors.production import load_anchor_set
        from smki.store.content import fetch_small_file

        project = open_project()
        artefacts = {stated["name"]: artefact_from_json(stated) for stated in self.produced}
        day = next(iter(artefacts.values())).business_date
        now = datetime.now(UTC)
        anchor_set = load_anchor_set(project.engine, project.settings.anchor_slots, now)
        with TemporaryDirectory(prefix="smki-") as folder:
            for artefact in artefacts.values():
                fetch_small_file(project.store, artefact.sha256, Path(folder) / artefact.name)
            evidence = set_evidence(Source.of(project), Path(folder), anchor_set, day)
        judgements = [judge(one, run.label, now) for one in evidence]
        return [Judged(one, replace(artefacts[one.name], verified_at=now)) for one in judgements]


@task
def record(produced: list[Json], published: list[list[Json]]) -> list[Json]:
    """Ends a run that published everything: returns what is published where."""
    return confirm_published(current_run(), len(produced), published)


@task(trigger_rule="none_skipped")  # also when a file could not be published: then the set is not complete
def report() -> list[str]:
    """Says which version of each file each site offers, by the ledger; a warning where the set is not complete."""
    from smki.kinds.anchors.set_ledger import set_state

    project = open_project()
    states = [set_state(project.engine, project.guide, site) for site in project.settings.sites]
    for state in states:
        log.log(logging.INFO if state.complete else logging.WARNING, "anchor set %s", state)
    return [str(state) for state in states]
