"""Names that Airflow's database, the DAGs and whoever sets Airflow up agree on. Imports nothing of Airflow."""

PUBLISH_POOL = "smki_publish"  # one slot; `airflow pools set smki_publish 1 "one publisher at a time"`
RETENTION = "smki_retention"
AUDITOR = "smki_auditor"
JUDGE, RELEASE, PUBLISH = "judge", "release", "publish"  # the tasks that end every publishing DAG
PUBLISHED = "smki_published"  # the alias by which a publication becomes an event of `smki://OBLIGATION`
SITE = "smki_site"  # connection type of an SFTP server that is published to
SMTP, WEBHOOK = "smki_smtp", "smki_webhook"  # connections; whichever exists is what people are told by
BOARD_VIEW = {  # how Airflow's navigation leads to the board
    "name": "SMKI",
    "href": "/smki/board",
    "destination": "nav",
    "category": "browse",
    "url_route": "smki-board",
}


def connection_id(site: str) -> str:
    """The Airflow connection of a site."""
    return f"smki_sftp_{site}"


def audit_connection_id(site: str) -> str:
    """The Airflow connection by which the auditor logs in to a site: a Party's read-only account."""
    return f"smki_audit_{site}"


def published_uri(obligation: str, subject: str = "") -> str:
    """The asset that has an event whenever a file of the obligation is newly on every site."""
    return f"smki://{obligation}" + (f"/{subject}" if subject else "")
