"""Worlds for the gate's tests."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from smki.obligations.catalogue import UserGuide
from smki.repository.database import open_engine
from smki_demo.generator.pki import Pki

from .worlds import Stage, World, lived, small_quality

_NUMBER = count(1)
Copied = Callable[[str, Path], World]


@pytest.fixture(scope="session")
def copied(postgres: str, server: Engine, pki: Pki, user_guide: UserGuide) -> Copied:
    """Copies a database that nobody is connected to; its world writes files into the folder."""

    def copy(template: str, folder: Path) -> World:
        name = f"gate_{next(_NUMBER)}"
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        engine = open_engine(postgres.replace("template_smki", name))
        return World(engine, user_guide, pki, folder, small_quality())

    return copy


@pytest.fixture(scope="session")
def stages(copied: Copied, signed: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> dict[Stage, str]:
    """The databases to copy."""
    folder = tmp_path_factory.mktemp("lived")
    databases, template = {}, "template_smki"
    for stage in Stage:
        world = copied(template, folder)
        if stage is Stage.OPEN:
            lived(world, signed)
        else:
            world.close(70)
        world.engine.dispose()
        databases[stage] = template = str(world.engine.url.database)
    return databases


@pytest.fixture(scope="session")
def shared(copied: Copied, stages: dict[Stage, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world for all tests that leave its repository alone."""
    world = replace(copied(stages[Stage.CLOSED], tmp_path_factory.mktemp("shared")), made={})
    yield world
    world.engine.dispose()


@pytest.fixture
def world(shared: World, tmp_path: Path) -> World:
    """It, with a folder of the test's own."""
    return replace(shared, folder=tmp_path)


@pytest.fixture
def own_world(server: Engine, copied: Copied, stages: dict[Stage, str], tmp_path: Path) -> Iterator[Callable]:
    """A world that the test may change as it likes."""
    worlds: list[World] = []

    def make(stage: Stage = Stage.CLOSED) -> World:
        worlds.append(copied(stages[stage], tmp_path))
        return worlds[-1]

    yield make
    for one in worlds:
        one.engine.dispose()
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {one.engine.url.database} WITH (FORCE)"))
