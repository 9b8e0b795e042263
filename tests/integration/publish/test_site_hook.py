"""A site's connection in Airflow, on a real sshd: what its Test button says, and that both types serve."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from smki.errors import ConfigurationError
from smki.publish.site import Site
from smki_airflow.sites import SmkiSiteHook, open_audited_site, open_site

from .conftest import OpenSshServer, _new_key

State = Callable[..., None]


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> State:
    """States a connection as the environment variable that Airflow reads."""

    def stated(site: Site, conn_id: str = "smki_sftp_primary", conn_type: str = "smki_site", **extra: object) -> None:
        said = {"key_file": str(site.key_file), "host_key": site.host_key, "folder": site.folder} | extra
        connection = {"conn_type": conn_type, "host": site.host, "port": site.port, "login": site.username}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection | {"extra": said}))

    return stated


@pytest.fixture
def server(sshd: OpenSshServer) -> OpenSshServer:
    """With two files in its folder."""
    sshd.published.mkdir()
    for name in ("a", "b"):
        (sshd.published / name).touch()
    return sshd


def test_login_that_works_says_what_it_saw(server: OpenSshServer, state: State) -> None:
    state(server.site)
    passed, said = SmkiSiteHook().test_connection()
    assert passed, said
    assert f"{server.site.host}:{server.site.port}" in said
    assert server.site.username in said
    assert f"{server.site.folder}/ has 2 entries" in said


def test_connection_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match="smki_sftp_tertiary"):
        open_site("tertiary")


def test_another_host_key_than_the_pinned_one_fails_the_test(
    server: OpenSshServer, state: State, tmp_path: Path
) -> None:
    state(server.site, host_key=_new_key(tmp_path / "other"))
    passed, said = SmkiSiteHook().test_connection()
    assert (passed, "pinned host key" in said) == (False, True)


def test_key_that_the_server_does_not_know_fails_the_test(server: OpenSshServer, state: State, tmp_path: Path) -> None:
    _new_key(tmp_path / "other")
    state(server.site, key_file=str(tmp_path / "other"))
    passed, said = SmkiSiteHook().test_connection()
    assert (passed, "refuses the key" in said) == (False, True)


@pytest.mark.parametrize("missing", ["key_file", "host_key"])
def test_what_is_missing_fails_the_test_and_is_named(server: OpenSshServer, state: State, missing: str) -> None:
    state(server.site, **{missing: None})
    passed, said = SmkiSiteHook().test_connection()
    assert (passed, missing in said) == (False, True)
    with pytest.raises(ConfigurationError):
        open_site("primary")


def test_folder_that_is_not_there_fails_the_test(sshd: OpenSshServer, state: State) -> None:
    state(sshd.site)
    assert not SmkiSiteHook().test_connection()[0]


@pytest.mark.parametrize("conn_type", ["smki_site", "sftp"])
def test_connections_of_both_types_describe_the_site(server: OpenSshServer, state: State, conn_type: str) -> None:
    state(server.site, conn_type=conn_type)
    state(server.site, "smki_audit_primary", conn_type)
    meant = replace(server.site, connect_timeout_s=20.0, answer_timeout_s=120.0)
    assert open_audited_site("primary") == replace(meant, folder="outgoing/")
    assert open_site("primary", "/extracts") == replace(meant, folder="outgoing/extracts")
