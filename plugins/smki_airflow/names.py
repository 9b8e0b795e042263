"""Names that Airflow's database, the DAGs and whoever sets Airflow up agree on. Imports nothing of Airflow."""

PUBLISH_POOL = "smki_publish"  # one slot; `airflow pools set smki_publish 1 "one publisher at a time"`
RETENTION = "smki_retention"
AUDITOR = "smki_auditor"
JUDGE, RELEASE, PUBLISH = "judge", "release", "publish"  # the tasks that end every publishing DAG
PAGES = "/smki"  # below which the API server offers the project's pages
SMTP, WEBHOOK = "smki_smtp", "smki_webhook"  # connections; whichever exists is what people are told by


def connection_id(site: str) -> str:
    """The Airflow connection of a site."""
    return f"smki_sftp_{site}"


def audit_connection_id(site: str) -> str:
    """The Airflow connection by which the auditor logs in to a site: a Party's read-only account."""
    return f"smki_audit_{site}"
