"""The kinds of file, three folders of one shape: each makes its files, fills evidence on them, and states its checks.

Beside them `index` makes the signed index, which says what a site offers and which no gate judges.

`evidence.gather_evidence` says which evidence belongs to which obligation.
"""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from smki.gate.bounds import Quality, load_quality
from smki.obligations.catalogue import UserGuide
from smki.repository.project import Project


@dataclass(frozen=True, slots=True)
class Source:
    """Where facts about a file come from, other than its own bytes."""

    engine: Engine
    guide: UserGuide
    quality: Quality
    schema: Path  # XSD of Annex B
    anchor_slots: Path  # the configuration of the base set

    @classmethod
    def of(cls, project: Project) -> "Source":
        """Those of an installation. Raises QualityError."""
        settings = project.settings
        quality = load_quality(settings.config)
        return cls(project.engine, project.guide, quality, settings.annex_b_xsd, settings.anchor_slots)
