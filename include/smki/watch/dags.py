"""Which DAG publishes what: Airflow's part of the project and whoever has to tell where to look agree on it."""

from smki.obligations.catalogue import Obligation

DAG_OF = {
    Obligation.FULL: "smki_full_extract",
    Obligation.DELTA: "smki_daily_delta",
    Obligation.ARL: "smki_revocation_lists",
    Obligation.CRL: "smki_revocation_lists",
    Obligation.ANCHOR_NORTH: "smki_anchor_slots",
    Obligation.ANCHOR_CENTRAL_SOUTH: "smki_anchor_slots",
    Obligation.ANCHOR_DOCUMENT: "smki_anchor_slots",
    Obligation.ANCHOR_TABLE: "smki_anchor_slots",
}
