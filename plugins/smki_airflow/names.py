"""Names that Airflow's database, the DAGs and whoever sets Airflow up agree on. Imports nothing of Airflow."""

PUBLISH_POOL = "smki_publish"  # one slot; `airflow pools set smki_publish 1 "one publisher at a time"`
DAILY_DELTA = "smki_daily_delta"
FULL_EXTRACT = "smki_full_extract"
RETENTION = "smki_retention"
REVOCATION_LISTS = "smki_revocation_lists"
ANCHOR_SLOTS = "smki_anchor_slots"


def connection_id(site: str) -> str:
    """The Airflow connection of a site."""
    return f"smki_sftp_{site}"
