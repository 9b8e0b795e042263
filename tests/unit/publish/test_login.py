"""A site from the environment: complete, or refused by the name of what is missing."""

import json
from pathlib import Path

import pytest

from smki.errors import ConfigurationError
from smki.publish.login import site_from_environment

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqgFmSNXYLIgLQkhKuEsJfVZV0cjW0CzqvEDFC6bYXN"
STATED = {
    "conn_type": "sftp",
    "host": "sftp.example",
    "port": 2222,
    "login": "publisher",
    "extra": {"key_file": "/keys/publisher", "host_key": HOST_KEY, "folder": "/outgoing"},
}


def environment(**changes: object) -> dict[str, str]:
    return {"SMKI_SITE_PRIMARY": json.dumps(STATED | changes)}


def test_the_variable_is_the_json_of_the_airflow_connection():
    site = site_from_environment("primary", environment())
    assert (site.name, site.host, site.port, site.username) == ("primary", "sftp.example", 2222, "publisher")
    assert (site.key_file, site.host_key, site.folder) == (Path("/keys/publisher"), HOST_KEY, "/outgoing/")


def test_extra_may_be_text_and_port_and_folder_may_be_missing():
    extra = json.dumps({"key_file": "/keys/publisher", "host_key": HOST_KEY})
    site = site_from_environment("primary", environment(extra=extra, port=None))
    assert (site.port, site.folder) == (22, "/")


def test_each_site_has_its_own_variable():
    with pytest.raises(ConfigurationError, match="SMKI_SITE_DR"):
        site_from_environment("dr", environment())


def test_what_is_missing_is_named():
    with pytest.raises(ConfigurationError, match="login, key_file"):
        site_from_environment("primary", environment(login="", extra={"host_key": HOST_KEY}))


@pytest.mark.parametrize("text", ["sftp://host", "[]", '{"extra": "no"}', '{"port": "ssh"}', '{"extra": 3}'])
def test_a_variable_that_is_no_such_json_is_refused(text: str):
    with pytest.raises(ConfigurationError, match="SMKI_SITE_PRIMARY"):
        site_from_environment("primary", {"SMKI_SITE_PRIMARY": text})
