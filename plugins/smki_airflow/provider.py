"""What Airflow is told of the connection type `smki_site`, by the entry point `apache_airflow_provider`.

Airflow reads a connection's form from here alone, without loading the hook. Every process of Airflow loads this module.
"""

from typing import Any

from smki_airflow.names import SITE

PACKAGE = "smki-publisher"  # as pyproject.toml names it; Airflow refuses another name


def get_provider_info() -> dict[str, Any]:
    """As provider_info.schema.json of Airflow has it."""
    text = {"type": ["string", "null"]}
    return {
        "package-name": PACKAGE,
        "name": "SMKI publisher",
        "description": "Publishes SMKI Repository files to SFTP servers.",
        "connection-types": [
            {
                "connection-type": SITE,
                "hook-class-name": "smki_airflow.sites.SmkiSiteHook",
                "hook-name": "SMKI site",
                "ui-field-behaviour": {
                    "hidden-fields": ["password", "schema"],
                    "relabeling": {"login": "Account"},
                    "placeholders": {"host": "sftp.example.org", "port": "22"},
                },
                "conn-fields": {
                    "key_file": {
                        "label": "Key file",
                        "description": "Path of the account's private key on every worker; it has no passphrase.",
                        "schema": text,
                    },
                    "host_key": {
                        "label": "Pinned host key",
                        "description": "The only one that is accepted, as the server's operator gives it: "
                        "ssh-ed25519 AAAA…",
                        "schema": text,
                    },
                    "folder": {
                        "label": "Folder",
                        "description": "On the server; the folders of user_guide.toml are below it.",
                        "schema": text | {"default": "/"},
                    },
                },
            }
        ],
    }
