"""A repository, and the authorities that issue lists for it."""

import pytest
from sqlalchemy import Engine

from builders import lodge_bodies
from smki_demo.generator.pki import Pki
from smki_demo.generator.revocation import ARL_VALIDITY

from .lists import Lister


@pytest.fixture
def crls(pki: Pki) -> Lister:
    return Lister(pki.issuing_oca)


@pytest.fixture
def arls(pki: Pki) -> Lister:
    return Lister(pki.root_oca, ARL_VALIDITY)


@pytest.fixture
def stored(repository: Engine, signed: list[bytes]) -> Engine:
    """A repository with all kinds of certificates, in use."""
    lodge_bodies(repository, signed)
    return repository
