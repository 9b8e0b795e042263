"""DAGs are made by the user guide that is shipped, whatever is added to it."""

import pytest

from smki.obligations.catalogue import UserGuide
from smki.obligations.user_guide import load_user_guide
from smki.settings import INCLUDE


@pytest.fixture(scope="session")
def user_guide() -> UserGuide:
    return load_user_guide(INCLUDE / "config")
