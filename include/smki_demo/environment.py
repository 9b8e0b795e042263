"""The environment in which Airflow runs the project's DAGs on one machine.

docker-compose.yml sets the same variables to its own values; a test holds the two against each other.
"""

import json
from pathlib import Path

from smki.settings import PROJECT
from smki_airflow.names import METADATA, SITE, SMTP

USERS = {"admin": "admin", "viewer": "viewer"}  # user → role of Airflow's simple auth manager


def airflow_environment(
    *, home: Path, repository_url: str, metadata_url: str, var: Path, port: int, secret: str
) -> dict[str, str]:
    """Variables for every Airflow process; `secret` signs its tokens, `port` is the API server's on loopback."""
    return {
        "SMKI_DATABASE_URL": repository_url,
        "SMKI_VAR": str(var),
        "SMKI_STORE": str(var / "store"),
        "SMKI_ANCHOR_SLOTS": str(var / "anchor_slots.toml"),
        "SMKI_SITES": "primary",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__FERNET_KEY": "",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, role in USERS.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata_url,
        f"AIRFLOW_CONN_{METADATA.upper()}": metadata_url.replace("+psycopg2", ""),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": secret,
        "AIRFLOW__API__SECRET_KEY": secret,
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "AIRFLOW__SCHEDULER__MP_START_METHOD": "forkserver",
        "AIRFLOW__SCHEDULER__MP_FORKSERVER_PRELOAD": "smki_airflow.preload",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def site_connection(conn_id: str, host: str, port: int, login: str, key_file: Path, host_key: str) -> dict[str, str]:
    """The variable that gives Airflow the connection of a site, as publisher or as auditor."""
    extra = {"key_file": str(key_file), "host_key": host_key}
    return _connection(conn_id, {"conn_type": SITE, "host": host, "port": port, "login": login, "extra": extra})


def mail_connection(host: str, port: int) -> dict[str, str]:
    """The variable that gives Airflow the mail server by which people are told."""
    extra = {"from_email": "smki@example.org", "disable_ssl": True, "disable_tls": True}
    return _connection(SMTP, {"conn_type": "smtp", "host": host, "port": port, "extra": extra})


def _connection(conn_id: str, stated: dict[str, object]) -> dict[str, str]:
    return {f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(stated)}
