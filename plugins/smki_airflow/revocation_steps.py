"""The steps of a run that publishes the revocation lists. Each says what it did in one log line.

The run begins with an event of the repository or with the day, so it has no business date: a list brings its own.
"""

import logging
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from smki.errors import PlanError
from smki.obligations.user_guide import Obligation, UserGuide, load_user_guide
from smki.publish.revocation import (
    lists_without_successor,
    newest_list,
    produce_revocation_file,
    unpublished_lists,
)
from smki.repository.database import database_url, open_engine
from smki.settings import Settings
from smki_airflow.extract_steps import artefact_as_json
from smki_airflow.runs import Run

log = logging.getLogger(__name__)
Json = dict[str, Any]


def unpublished() -> list[str]:
    """The trigger's question: lists that wait to be published."""
    settings, engine, guide = _opened()
    try:
        return unpublished_lists(engine, guide, settings.sites)
    finally:
        engine.dispose()  # asked for ever, by a process that does other things


def warn_of_missing_successors() -> list[str]:
    """Warns of each list whose nextUpdate comes near, or has passed, while none follows it; returns their names."""
    _, engine, guide = _opened()
    ending = lists_without_successor(engine, guide, datetime.now(UTC))
    for lodged in ending:
        log.warning("no list follows list=%s next_update=%s", lodged, lodged.next_update.isoformat())
    return [str(lodged) for lodged in ending]


def stage(run: Run, obligation: str) -> Json | None:
    """Produces and verifies the newest list; returns its artefact, or None while none is lodged."""
    settings, engine, guide = _opened()
    terms = guide.terms(Obligation(obligation))
    lodged = newest_list(engine, terms)
    if lodged is None:
        log.warning("nothing is lodged obligation=%s clause=%s", obligation, terms.clause)
        return None
    artefact = produce_revocation_file(engine, terms, lodged, run.staging(settings), datetime.now(UTC), run.label)
    log.info("list verified list=%s name=%s sha256=%s", lodged, artefact.name, artefact.sha256)
    return artefact_as_json(artefact)


def record(run: Run, artefact: Json, published: list[Json]) -> list[Json]:
    """Ends a list's part of the run: what is published where, from the ledger; its staged file is removed."""
    settings = Settings.from_environment()
    if len(published) != len(settings.sites):
        raise PlanError(
            run.label,
            f"{len(settings.sites)} sites are configured and {len(published)} were published to.",
            "The staged file is kept.",
            "clear the publish task.",
        )
    (run.staging(settings) / artefact["name"]).unlink(missing_ok=True)
    publications = [dict(publication) for publication in published]
    for publication in publications:
        log.info("published %s", " ".join(f"{key}={value}" for key, value in publication.items()))
    return publications


def _opened() -> tuple[Settings, Engine, UserGuide]:
    settings = Settings.from_environment()
    return settings, open_engine(database_url(settings)), load_user_guide(settings.config)
