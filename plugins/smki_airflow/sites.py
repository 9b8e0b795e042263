"""A site as Airflow knows it: the SFTP connection `smki_sftp_NAME` of each name in SMKI_SITES.

Extra of the connection: `host_key` (the pinned one, "ssh-ed25519 AAAA…"), `key_file` (the publisher's private key).
Passwords are not used. The remote folder comes from user_guide.toml, below the connection's `folder` if it has one.
"""

import posixpath
from pathlib import Path

from airflow.sdk import Connection

from smki.errors import ConfigurationError
from smki.publish.site import Site
from smki_airflow.names import connection_id


def open_site(name: str, folder: str) -> Site:
    """The site as its connection describes it; `folder` is the obligation's. Raises ConfigurationError."""
    connection = Connection.get(connection_id(name))
    extra = connection.extra_dejson
    missing = [key for key in ("host_key", "key_file") if not extra.get(key)]
    if missing or not connection.host or not connection.login:
        missing += [key for key in ("host", "login") if not getattr(connection, key)]
        raise ConfigurationError(
            f"Airflow connection {connection_id(name)}",
            f"a site needs a pinned host key and a key login, and {', '.join(missing)} is missing.",
            "Nothing was published there.",
            "complete the connection (Admin → Connections) and clear the task.",
        )
    return Site(
        name=name,
        host=connection.host,
        port=connection.port or 22,
        username=connection.login,
        key_file=Path(extra["key_file"]),
        host_key=extra["host_key"],
        folder=posixpath.join(extra.get("folder", "/"), folder.lstrip("/")),
    )
