"""A site as Airflow knows it: the SFTP connection `smki_sftp_NAME` of each name in SMKI_SITES.

Extra of the connection: `host_key` (the pinned one, "ssh-ed25519 AAAA…"), `key_file` (the publisher's private key).
Passwords are not used. The remote folder comes from user_guide.toml, below the connection's `folder` if it has one.
"""

from airflow.sdk import Connection

from smki.publish.site import Site
from smki.publish.site_settings import SiteLogin
from smki_airflow.names import connection_id


def open_site(name: str, folder: str) -> Site:
    """The site as its connection describes it; `folder` is the obligation's. Raises ConfigurationError."""
    connection = Connection.get(connection_id(name))
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
        stated_in=f"Airflow connection {connection_id(name)}",
        next_step="complete the connection (Admin → Connections) and clear the task.",
    )
