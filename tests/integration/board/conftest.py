"""Airflow's real auth manager and metadata in this process, and a repository that the pages read."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from airflow import settings as airflow_settings
from airflow.api_fastapi.app import init_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi import FastAPI
from sqlalchemy import Engine
from starlette.testclient import TestClient

from smki.repository.database import libpq_url
from smki.settings import PROJECT
from smki_airflow.board import routes

HOST = "http://airflow.example.org"
Browser = Callable[[str], TestClient]


@pytest.fixture(scope="session")
def metadata() -> None:
    """Airflow's own database of this process, migrated, with the project's DAGs in it."""
    environment = os.environ | {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": str(airflow_settings.SQL_ALCHEMY_CONN),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    }
    for command in (("db", "migrate"), ("dags", "reserialize")):
        subprocess.run([sys.executable, "-m", "airflow", *command], env=environment, check=True, capture_output=True)


@pytest.fixture
def board(repository: Engine, metadata: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[FastAPI]:  # noqa: ARG001  # has to be there
    """The board as Airflow mounts it, on a fresh repository."""
    monkeypatch.setenv("SMKI_DATABASE_URL", libpq_url(repository))
    monkeypatch.setenv("SMKI_SITES", "primary")
    routes.repository.cache_clear()
    mounted = FastAPI(openapi_url=None)
    mounted.include_router(routes.router)
    airflow = FastAPI()
    airflow.mount("/smki", mounted)
    yield airflow
    if routes.repository.cache_info().currsize:  # a test may have undone the environment
        routes.repository().dispose()
    routes.repository.cache_clear()


@pytest.fixture
def browser(board: FastAPI) -> Browser:
    """A browser whose user has this role; an empty one has not logged in."""
    manager = init_auth_manager()

    def opened(role: str) -> TestClient:
        client = TestClient(board, base_url=HOST, follow_redirects=False)
        if role:
            user = SimpleAuthManagerUser(username=role.lower(), role=role)
            client.cookies.set("_token", manager.generate_jwt(user))
        return client

    return opened


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)
