"""A signed repository with a configuration of its anchor slots."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from builders import lodge_bodies
from smki.kinds.anchors.production import ProducedFile, load_anchor_set, produce_set
from smki.kinds.anchors.set_ledger import record_set
from smki.kinds.anchors.slots import AnchorSet, Slot
from smki.obligations.catalogue import UserGuide
from smki.publish.artefact import Artefact
from smki_demo.generator.anchor_slots import write_anchor_slots

from ...publish.conftest import faulty  # noqa: F401  # a fixture

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass
class Anchors:
    """An operator's view: a repository, a configuration, a folder for files."""

    engine: Engine
    guide: UserGuide
    configuration: Path
    folder: Path

    def edit(self, old: str, new: str) -> None:
        text = self.configuration.read_text()
        assert old in text
        self.configuration.write_text(text.replace(old, new, 1))

    def serials(self, slot: Slot) -> list[str]:
        """Serial numbers of the slot's certificates as the configuration states them."""
        block = self.configuration.read_text().split(f"\n{slot} = [\n")[1].split("]")[0]
        return [line.split('"')[3] for line in block.splitlines()]

    def checked(self, now: datetime = NOW) -> AnchorSet:
        return load_anchor_set(self.engine, self.configuration, now)

    def produced(self, now: datetime = NOW) -> tuple[ProducedFile, ...]:
        return produce_set(self.checked(now), self.guide, self.folder)

    def recorded(self) -> tuple[Artefact, ...]:
        return record_set(self.engine, self.produced(), "test", NOW)


@pytest.fixture
def anchors(repository: Engine, signed: list[bytes], user_guide: UserGuide, tmp_path: Path) -> Anchors:
    lodge_bodies(repository, signed)
    configuration = tmp_path / "anchor_slots.toml"
    write_anchor_slots(repository, configuration)
    return Anchors(repository, user_guide, configuration, tmp_path / "out")
