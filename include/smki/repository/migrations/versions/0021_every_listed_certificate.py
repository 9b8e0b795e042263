"""The entries of all lists that were lodged, not of each issuer's current one only.

What a list had named and the list after it had forgotten was lodged with the status that it was offered with; it gets
status R when the next window is closed.
"""

import sqlalchemy as sa
from alembic import op
from asn1crypto import crl

revision = "0021"
down_revision = "0020"
_BEFORE = "list and reason, as the status event has them"
_NOW = "the first list that had it, and its reason, as the status event has them"
_LISTS = "SELECT id FROM revocation_list ORDER BY id"
_LIST = """
SELECT r.issuer_id, r.kind || ' ' || r.number || ' of ' || i.display, r.body
FROM revocation_list r JOIN issuer i ON i.id = r.issuer_id WHERE r.id = :id
"""
_KEEP = sa.text(
    """
    INSERT INTO listed_certificate (issuer_id, serial_number, reason, revoked_at)
    VALUES (:issuer_id, :serial_number, :reason, :revoked_at) ON CONFLICT DO NOTHING
    """
)


def upgrade() -> None:
    """List by list: a list may have 100,000 entries."""
    op.alter_column("listed_certificate", "reason", comment=_NOW, existing_comment=_BEFORE)
    connection = op.get_bind()
    for number in connection.execute(sa.text(_LISTS)).scalars().all():
        issuer_id, named, body = connection.execute(sa.text(_LIST), {"id": number}).one()
        entries = crl.CertificateList.load(body)["tbs_cert_list"]["revoked_certificates"]
        if rows := [_row(issuer_id, named, entry) for entry in entries]:
            connection.execute(_KEEP, rows)


def downgrade() -> None:
    """The way back; the next list of an issuer deletes what it does not name."""
    op.alter_column("listed_certificate", "reason", comment=_BEFORE, existing_comment=_NOW)


def _row(issuer_id: int, named: str, entry: crl.RevokedCertificate) -> dict[str, object]:
    try:
        stated = entry.crl_reason_value
        reason = "unspecified" if stated is None else stated.native.replace("_", " ")
    except ValueError:  # a code that RFC 5280 does not have
        reason = "unspecified"
    revoked_at = entry["revocation_date"].native
    return {
        "issuer_id": issuer_id,
        "serial_number": entry["user_certificate"].contents.lstrip(b"\0"),
        "reason": f"on {named}: {reason}, revoked at {revoked_at:%Y-%m-%d %H:%M:%S} UTC",
        "revoked_at": revoked_at,
    }
