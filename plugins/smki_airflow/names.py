"""Names that Airflow's database, the DAGs and whoever sets Airflow up agree on. Imports nothing of Airflow."""

RETENTION = "smki_retention"
AUDITOR = "smki_auditor"
HOUSEKEEPING = "smki_housekeeping"
JUDGE, RELEASE, PUBLISH = "judge", "release", "publish"  # the tasks that end every publishing DAG; `publish_SITE`
PUBLISHED = "smki_published"  # the alias by which a publication becomes an event of `smki://OBLIGATION`
SITE = "smki_site"  # connection type of an SFTP server that is published to
SMTP, WEBHOOK = "smki_smtp", "smki_webhook"  # connections; whichever exists is what people are told by
METADATA = "smki_metadata"  # connection; Airflow's own database, for housekeeping alone
BOARD_VIEW = {  # how Airflow's navigation leads to the board
    "name": "SMKI",
    "href": "/smki/board",
    "destination": "nav",
    "category": "browse",
    "url_route": "smki-board",
}


def publish_task(site: str) -> str:
    """The task that publishes on a site."""
    return f"{PUBLISH}_{site}"


def lane_pool(site: str, *, in_place: bool) -> str:
    """The pool, of one slot, of those who publish on a site: of files that are replaced in place, or of all others."""
    return f"smki_{'in_place' if in_place else 'dated'}_{site}"


def connection_id(site: str) -> str:
    """The Airflow connection of a site."""
    return f"smki_sftp_{site}"


def audit_connection_id(site: str) -> str:
    """The Airflow connection by which the auditor logs in to a site: a Party's read-only account."""
    return f"smki_audit_{site}"


def published_uri(obligation: str, subject: str = "") -> str:
    """The asset that has an event whenever a file of the obligation is newly on every site."""
    return f"smki://{obligation}" + (f"/{subject}" if subject else "")
