"""A site as Airflow knows it: the SFTP connection `smki_sftp_NAME` of each name in SMKI_SITES.

The auditor logs in to the same site by `smki_audit_NAME`, with the account of a Party, who may only read.

Extra of the connection: `host_key` (the pinned one, "ssh-ed25519 AAAA…"), `key_file` (the publisher's private key).
Passwords are not used. The remote folder comes from user_guide.toml, below the connection's `folder` if it has one.
"""

from airflow.sdk import Connection

from smki.publish.login import SiteLogin
from smki.publish.site import Site
from smki_airflow.names import audit_connection_id, connection_id


def open_site(name: str, folder: str) -> Site:
    """The site as its connection describes it; `folder` is the obligation's. Raises ConfigurationError."""
    return _site(name, connection_id(name), folder)


def open_audited_site(name: str) -> Site:
    """The site as the auditor logs in to it. Raises ConfigurationError."""
    return _site(name, audit_connection_id(name), "/")


def _site(name: str, conn_id: str, folder: str) -> Site:
    connection = Connection.get(conn_id)
    extra = connection.extra_dejson
    login = SiteLogin(
        connection.host,
        connection.port,
        connection.login,
        extra.get("key_file"),
        extra.get("host_key"),
        extra.get("folder"),
    )
    return login.site(
        name,
        folder,
        stated_in=f"Airflow connection {conn_id}",
        next_step="complete the connection (Admin → Connections) and clear the task.",
    )
