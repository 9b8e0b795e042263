"""Airflow's own API on the connection type `smki_site`: the form that its page shows, and the Test button."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.api_fastapi.app import create_app, get_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from starlette.testclient import TestClient

from smki_airflow.names import SITE

from ..publish.conftest import OpenSshServer, _new_key, sshd

__all__ = ["sshd"]


@pytest.fixture
def airflow(metadata: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:  # noqa: ARG001  # has to be there
    monkeypatch.setenv("AIRFLOW__CORE__TEST_CONNECTION", "Enabled")
    with TestClient(create_app("core"), base_url="http://airflow.example.org") as client:
        token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="admin", role="ADMIN"))
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def test_form_has_fields_for_key_pinned_host_key_and_folder(airflow: TestClient) -> None:
    (form,) = [one for one in airflow.get("/ui/connections/hook_meta").json() if one["connection_type"] == SITE]
    assert form["hook_name"] == "SMKI site"
    assert list(form["extra_fields"]) == ["key_file", "host_key", "folder"]
    assert form["extra_fields"]["host_key"]["schema"]["title"] == "Pinned host key"
    hidden = {name for name, field in form["standard_fields"].items() if field and field["hidden"]}
    assert hidden == {"password", "url_schema"}


def test_button_logs_in_and_says_what_is_wrong(airflow: TestClient, sshd: OpenSshServer, tmp_path: Path) -> None:
    sshd.published.mkdir()
    right = {"key_file": str(sshd.site.key_file), "host_key": sshd.site.host_key, "folder": sshd.site.folder}
    assert _press(airflow, sshd, right)["status"] is True
    other = _press(airflow, sshd, right | {"host_key": _new_key(tmp_path / "other")})
    assert (other["status"], "pinned host key" in other["message"]) == (False, True)


def _press(airflow: TestClient, sshd: OpenSshServer, extra: dict[str, str]) -> dict[str, Any]:
    site = sshd.site
    body = {"connection_id": "new", "conn_type": SITE, "host": site.host, "port": site.port, "login": site.username}
    answer = airflow.post("/api/v2/connections/test", json=body | {"extra": json.dumps(extra)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found
