"""The auditor's login from the environment: the same JSON under its own name."""

import json

import pytest

from smki.errors import ConfigurationError
from smki.publish.login import audited_site_from_environment, site_from_environment

from .test_login import STATED


def test_the_auditor_has_a_variable_of_its_own():
    environment = {
        "SMKI_AUDIT_PRIMARY": json.dumps(STATED | {"login": "party"}),
        "SMKI_SITE_PRIMARY": json.dumps(STATED),
    }
    site = audited_site_from_environment("primary", environment)
    assert (site.name, site.username, site.folder) == ("primary", "party", "/outgoing/")


def test_the_publishers_login_is_never_taken_for_it():
    with pytest.raises(ConfigurationError, match="SMKI_AUDIT_PRIMARY"):
        audited_site_from_environment("primary", {"SMKI_SITE_PRIMARY": json.dumps(STATED)})


def test_where_airflows_own_variable_is_there_it_does():
    environment = {
        "AIRFLOW_CONN_SMKI_SFTP_PRIMARY": json.dumps(STATED),
        "AIRFLOW_CONN_SMKI_AUDIT_PRIMARY": json.dumps(STATED | {"login": "party"}),
        "AIRFLOW_CONN_SMKI_AUDIT_DR": "sftp://party@dr.example",  # Airflow takes URLs, too
    }
    assert audited_site_from_environment("primary", environment).username == "party"
    assert site_from_environment("primary", environment).username == "publisher"
    own = {"SMKI_AUDIT_PRIMARY": json.dumps(STATED | {"login": "other"})}
    assert audited_site_from_environment("primary", environment | own).username == "other"
    with pytest.raises(ConfigurationError, match="SMKI_AUDIT_DR"):
        audited_site_from_environment("dr", environment)


def test_text_that_is_no_json_is_refused_by_the_variables_name():
    with pytest.raises(ConfigurationError, match="SMKI_AUDIT_DR"):
        audited_site_from_environment("dr", {"SMKI_AUDIT_DR": "sftp://host"})
