"""A site from what an Airflow connection or an environment variable states of it.

Outside Airflow the variable `SMKI_SITE_PRIMARY` describes the site `primary`, with the same JSON as the environment
variable AIRFLOW_CONN_SMKI_SFTP_PRIMARY; `conn_type` is not looked at. If it is not set, Airflow's own variable
is taken, which is there in Airflow's containers:

    {"host": "sftp.example", "port": 22, "login": "publisher",
     "extra": {"key_file": "/run/secrets/publisher_key", "host_key": "ssh-ed25519 AAAA…", "folder": "/"}}

While the server is to change its host key both are pinned: "ssh-ed25519 AAAA…, ssh-ed25519 BBBB…".

`SMKI_AUDIT_PRIMARY` describes in the same way how the auditor logs in there, with a Party's read-only account; its
Airflow connection is `smki_audit_primary` (AIRFLOW_CONN_SMKI_AUDIT_PRIMARY).

Passwords are not used.
"""

import json
import os
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from smki.errors import ConfigurationError
from smki.publish.site import Site


@dataclass(frozen=True, slots=True)
class SiteLogin:
    """What is stated of a site; all of it may be missing."""

    host: str | None = None
    port: int | None = None  # 22 if stated nowhere
    login: str | None = None
    key_file: str | None = None  # private key, without a passphrase
    host_key: str | None = None  # the pinned one, "ssh-ed25519 AAAA…", or two
    folder: str | None = None  # that the folders of user_guide.toml are below

    @classmethod
    def of(cls, host: str | None, port: int | None, login: str | None, extra: Mapping[str, str]) -> "SiteLogin":
        """As a connection states it, whose `extra` has the rest."""
        return cls(host, port, login, extra.get("key_file"), extra.get("host_key"), extra.get("folder"))

    def site(self, name: str, folder: str, *, stated_in: str, next_step: str) -> Site:
        """The site, whose folder is an obligation's below this one's. Raises ConfigurationError for what is missing."""
        host, login, key_file, host_key = self.host, self.login, self.key_file, self.host_key
        if not (host and login and key_file and host_key):
            missing = [key for key in ("host", "login", "host_key", "key_file") if not getattr(self, key)]
            raise ConfigurationError(
                stated_in,
                f"a site needs a pinned host key and a key login, and {', '.join(missing)} is missing.",
                next_step=next_step,
            )
        return Site(
            name=name,
            host=host,
            port=self.port or 22,
            username=login,
            key_file=Path(key_file),
            host_key=host_key,
            folder=posixpath.join(self.folder or "/", folder.lstrip("/")),
        )


def site_from_environment(name: str, environment: Mapping[str, str] = os.environ) -> Site:
    """The site as the variable SMKI_SITE_NAME describes it. Raises ConfigurationError."""
    return _site(name, f"SMKI_SITE_{name.upper()}", f"AIRFLOW_CONN_SMKI_SFTP_{name.upper()}", environment)


def audited_site_from_environment(name: str, environment: Mapping[str, str] = os.environ) -> Site:
    """The site as the auditor logs in to it, by the variable SMKI_AUDIT_NAME. Raises ConfigurationError."""
    return _site(name, f"SMKI_AUDIT_{name.upper()}", f"AIRFLOW_CONN_SMKI_AUDIT_{name.upper()}", environment)


def _site(name: str, variable: str, connection: str, environment: Mapping[str, str]) -> Site:
    """What the variable describes; where it is not set, what Airflow's does, unless that is a URL."""
    if text := environment.get(variable):
        login = _parse(variable, text)
    elif (text := environment.get(connection, "")).lstrip().startswith("{"):
        login = _parse(connection, text)
    else:
        login = SiteLogin()
    return login.site(name, "/", stated_in=variable, next_step=f"set {variable}.")


def _parse(variable: str, text: str) -> SiteLogin:
    try:
        stated = json.loads(text)
        extra = stated.get("extra") or {}
        if isinstance(extra, str):  # Airflow writes it both ways
            extra = json.loads(extra)
        port = stated.get("port")
        return SiteLogin.of(stated.get("host"), None if port is None else int(port), stated.get("login"), extra)
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            variable,
            f"it has to be the JSON of an Airflow connection ({error}).",
            next_step='write {"host": …, "port": …, "login": …, "extra": {"key_file": …, "host_key": …}}.',
        ) from error
