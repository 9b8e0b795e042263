"""What the tasks of a run hand each other: artefacts as JSON, the domain's doors, and the record that ends a run."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from smki.certificates.set_digest import SetDigest
from smki.errors import PlanError
from smki.obligations.catalogue import UserGuide
from smki.obligations.user_guide import load_user_guide
from smki.publish.artefact import Artefact
from smki.repository.database import ensure_server, open_engine
from smki.settings import Settings
from smki_airflow.runs import Run

log = logging.getLogger(__name__)
Json = dict[str, Any]


def opened() -> tuple[Settings, Engine, UserGuide]:
    """What nearly every step begins with."""
    settings = Settings.from_environment()
    return settings, open_engine(ensure_server(settings)), load_user_guide(settings.config)


def recorded(run: Run, files: int, published: Sequence[Json]) -> list[Json]:
    """What was published where, one log line each. Raises PlanError unless each of `files` is on every site."""
    sites = len(Settings.from_environment().sites)
    if len(published) != files * sites:
        raise PlanError(
            run.label,
            f"{files} files go to {sites} sites, and {len(published)} publications came.",
            "What is staged is kept.",
            "clear the publish task.",
        )
    publications = [dict(publication) for publication in published]
    for publication in publications:
        log.info("published %s", " ".join(f"{key}={value}" for key, value in publication.items()))
    return publications


def artefact_as_json(artefact: Artefact) -> Json:
    """An artefact as JSON types."""
    return {
        field: getattr(artefact, field)
        for field in (
            "obligation",
            "subject",
            "name",
            "window_seq",
            "bytes",
            "sha256",
            "content_digest",
            "xml_bytes",
            "records",
            "run",
            "version",
        )
    } | {
        "business_date": artefact.business_date.isoformat(),
        "set_digest": str(artefact.set_digest),
        "verified_at": artefact.verified_at.isoformat(),
    }


def artefact_from_json(stated: Json) -> Artefact:
    """The artefact that `artefact_as_json` wrote."""
    return Artefact(
        **stated
        | {
            "business_date": datetime.fromisoformat(stated["business_date"]).date(),
            "set_digest": SetDigest.parse(stated["set_digest"]),
            "verified_at": datetime.fromisoformat(stated["verified_at"]),
        }
    )
