"""The steps of a run that publishes the anchor-slot files and their document. Each says what it did in one log line.

The run begins with a change of the configuration or of a certificate in it, or with the day. So it has no business
date: it publishes what configuration and repository say now.
"""

import logging
import shutil
from datetime import UTC, datetime

from smki.errors import AnchorConfigurationError, AnchorSlotError, AnchorSlotsUnsetError
from smki.kinds.anchors.production import content_digests, load_anchor_set, produce_set
from smki.kinds.anchors.set_ledger import record_set, set_state
from smki.kinds.anchors.set_ledger import unpublished as unpublished_files
from smki.settings import Settings
from smki_airflow.handover import Json, artefact_as_json, opened, recorded
from smki_airflow.runs import Run

log = logging.getLogger(__name__)


def unpublished() -> list[str]:
    """The trigger's question: files that wait to be published.

    A set that breaks a rule waits, too: the run that it begins fails with what is wrong, where people look.
    """
    settings, engine, guide = opened()
    try:
        digests = content_digests(load_anchor_set(engine, settings.anchor_slots, datetime.now(UTC)), guide)
        return unpublished_files(engine, digests, settings.sites)
    except AnchorSlotsUnsetError:
        return []
    except (AnchorSlotError, AnchorConfigurationError) as error:
        return [str(error)]
    finally:
        engine.dispose()  # asked for ever, by a process that does other things


def produce(run: Run) -> list[Json]:
    """Checks the configuration, writes the four files, and records them; returns their artefacts."""
    settings, engine, guide = opened()
    now = datetime.now(UTC)
    anchor_set = load_anchor_set(engine, settings.anchor_slots, now)
    produced = produce_set(anchor_set, guide, run.staging(settings))
    artefacts = record_set(engine, produced, run.label, now)
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


def record(run: Run, produced: list[Json], published: list[Json]) -> list[Json]:
    """Ends a run that published everything; the staging folder is emptied."""
    publications = recorded(run, len(produced), published)
    shutil.rmtree(run.staging(Settings.from_environment()), ignore_errors=True)
    return publications


def report() -> list[str]:
    """What each site offers of the set, from the ledger; a warning where it is not complete."""
    settings, engine, guide = opened()
    states = [set_state(engine, guide, site) for site in settings.sites]
    for state in states:
        log.log(logging.INFO if state.complete else logging.WARNING, "anchor set %s", state)
    return [str(state) for state in states]
