"""The steps of a run that publishes the revocation lists. Each says what it did in one log line.

The run begins with an event of the repository or with the day, so it has no business date: a list brings its own.
"""

import logging
from datetime import UTC, datetime

from smki.kinds.revocation.file import (
    lists_without_successor,
    newest_list,
    unpublished_lists,
    write_revocation_file,
)
from smki.settings import Settings
from smki_airflow.handover import Json, artefact_as_json, opened, recorded
from smki_airflow.runs import Run

log = logging.getLogger(__name__)


def unpublished() -> list[str]:
    """The trigger's question: lists that wait to be published."""
    settings, engine, guide = opened()
    try:
        return unpublished_lists(engine, guide, settings.sites)
    finally:
        engine.dispose()  # asked for ever, by a process that does other things


def warn_of_missing_successors() -> list[str]:
    """Warns of each list whose nextUpdate comes near, or has passed, while none follows it; returns their names."""
    _, engine, guide = opened()
    ending = lists_without_successor(engine, guide, datetime.now(UTC))
    for lodged in ending:
        log.warning("no list follows list=%s next_update=%s", lodged, lodged.next_update.isoformat())
    return [str(lodged) for lodged in ending]


def stage(run: Run, obligation: str) -> Json | None:
    """Produces the newest list's file; returns its artefact, or None while none is lodged."""
    settings, engine, guide = opened()
    one = guide.obligation(obligation)
    lodged = newest_list(engine, one)
    if lodged is None:
        log.warning("nothing is lodged obligation=%s clause=%s", obligation, one.clause)
        return None
    artefact = write_revocation_file(one, lodged, run.staging(settings), datetime.now(UTC), run.label)
    log.info("list produced list=%s name=%s sha256=%s", lodged, artefact.name, artefact.sha256)
    return artefact_as_json(artefact)


def record(run: Run, artefact: Json, published: list[Json]) -> list[Json]:
    """Ends a list's part of the run: what is published where, from the ledger; its staged file is removed."""
    publications = recorded(run, 1, published)
    (run.staging(Settings.from_environment()) / artefact["name"]).unlink(missing_ok=True)
    return publications
