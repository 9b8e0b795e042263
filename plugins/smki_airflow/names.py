"""Names that Airflow's database, the DAGs and whoever sets Airflow up agree on. Imports nothing of Airflow."""

from smki.obligations.user_guide import Obligation

PUBLISH_POOL = "smki_publish"  # one slot; `airflow pools set smki_publish 1 "one publisher at a time"`
DAILY_DELTA = "smki_daily_delta"
FULL_EXTRACT = "smki_full_extract"
RETENTION = "smki_retention"
REVOCATION_LISTS = "smki_revocation_lists"
ANCHOR_SLOTS = "smki_anchor_slots"
AUDITOR = "smki_auditor"
DAG_OF = {
    Obligation.FULL: FULL_EXTRACT,
    Obligation.DELTA: DAILY_DELTA,
    Obligation.ARL: REVOCATION_LISTS,
    Obligation.CRL: REVOCATION_LISTS,
    Obligation.ANCHOR_NORTH: ANCHOR_SLOTS,
    Obligation.ANCHOR_CENTRAL_SOUTH: ANCHOR_SLOTS,
    Obligation.ANCHOR_DOCUMENT: ANCHOR_SLOTS,
    Obligation.ANCHOR_TABLE: ANCHOR_SLOTS,
}
JUDGE, RELEASE, PUBLISH = "judge", "release", "publish"  # the tasks that end every publishing DAG
PAGES = "/smki"  # below which the API server offers the project's pages


SMTP, WEBHOOK = "smki_smtp", "smki_webhook"  # connections; whichever exists is what people are told by


def connection_id(site: str) -> str:
    """The Airflow connection of a site."""
    return f"smki_sftp_{site}"


def audit_connection_id(site: str) -> str:
    """The Airflow connection by which the auditor logs in to a site: a Party's read-only account."""
    return f"smki_audit_{site}"
