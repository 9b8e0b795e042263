"""What the tasks around the gate hand each other: judged files, artefacts as JSON, and the check that ends a run."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import TYPE_CHECKING

from smki.errors import PlanError
from smki.settings import Settings
from smki_airflow.run import Json, Run

if TYPE_CHECKING:
    from smki.gate.model import Judgement
    from smki.publish.artefact import Artefact

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Judged:
    """A produced file with what the gate says of it."""

    judgement: "Judgement"
    artefact: "Artefact"  # that it becomes, if it is cleared


def confirm_published(run: Run, files: int, published: Sequence[Sequence[Json]]) -> list[Json]:
    """What was published where, one log line each; `published` has a list for each site.

    Raises PlanError unless each of `files` is on every site.
    """
    sites = len(Settings.from_environment().sites)
    publications = [dict(publication) for on_site in published for publication in on_site]
    if len(publications) != files * sites:
        raise PlanError(
            run.label,
            f"{files} files go to {sites} sites, and {len(publications)} publications came.",
            "What was produced is kept.",
        )
    for publication in publications:
        log.info("published %s", " ".join(f"{key}={value}" for key, value in publication.items()))
    return publications


def artefact_as_json(artefact: "Artefact") -> Json:
    return {field.name: getattr(artefact, field.name) for field in fields(artefact)} | {
        "business_date": artefact.business_date.isoformat(),
        "set_digest": str(artefact.set_digest),
        "verified_at": artefact.verified_at.isoformat(),
    }


def artefact_from_json(stated: Json) -> "Artefact":
    """The artefact that `artefact_as_json` wrote."""
    from smki.certificates.set_digest import SetDigest
    from smki.publish.artefact import Artefact

    return Artefact(
        **stated
        | {
            "business_date": date.fromisoformat(stated["business_date"]),
            "set_digest": SetDigest.parse(stated["set_digest"]),
            "verified_at": datetime.fromisoformat(stated["verified_at"]),
        }
    )
