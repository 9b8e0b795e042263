"""A site as Airflow knows it: the connection `smki_sftp_NAME` of each name in SMKI_SITES, of type `smki_site`.

The auditor logs in to the same site by `smki_audit_NAME`, with the account of a Party, who may only read.

Beside host, port and account a connection states the publisher's private key (`key_file`), the pinned host key
(`host_key`, "ssh-ed25519 AAAA…") and, where it has one, the folder that the folders of user_guide.toml are below
(`folder`). Passwords are not used. Connections of type `sftp` that state these in their extra serve as well.
"""

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from smki.errors import ConfigurationError, SmkiError
from smki.publish.login import SiteLogin
from smki.publish.site import Site, open_sftp
from smki_airflow.names import SITE, audit_connection_id, connection_id


class SmkiSiteHook(BaseHook):
    """The SFTP server that a connection describes. Its form is in `provider`."""

    conn_name_attr = "site_conn_id"
    default_conn_name = connection_id("primary")
    conn_type = SITE
    hook_name = "SMKI site"

    def __init__(self, site_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.site_conn_id = site_conn_id

    def site(self, name: str, folder: str = "/") -> Site:
        """The site of this name; `folder` is an obligation's. Raises ConfigurationError for what is missing."""
        try:
            connection = self.get_connection(self.site_conn_id)
        except AirflowNotFoundException as error:
            raise ConfigurationError(
                f"Airflow connection {self.site_conn_id}",
                "it is missing.",
                next_step="make it (Admin → Connections), of type SMKI site.",
            ) from error
        login = SiteLogin.of(connection.host, connection.port, connection.login, connection.extra_dejson)
        return login.site(
            name,
            folder,
            stated_in=f"Airflow connection {self.site_conn_id}",
            next_step="complete the connection (Admin → Connections).",
        )

    def test_connection(self) -> tuple[bool, str]:
        """Logs in, by the pinned host key only, and lists the folder: what Airflow's Test button does."""
        try:
            site = self.site("test")
            with open_sftp(site) as sftp:
                files = sftp.listdir(site.folder)
        except (SmkiError, OSError) as error:
            return False, str(error)
        return True, (
            f"{site.host}:{site.port} showed the pinned host key and let {site.username} in; "
            f"{site.folder} has {len(files)} entries."
        )


def open_site(name: str, folder: str = "/") -> Site:
    """The site as the publisher logs in to it; `folder` is the obligation's. Raises ConfigurationError."""
    return SmkiSiteHook(connection_id(name)).site(name, folder)


def open_audited_site(name: str) -> Site:
    """The site as the auditor logs in to it. Raises ConfigurationError."""
    return SmkiSiteHook(audit_connection_id(name)).site(name)
