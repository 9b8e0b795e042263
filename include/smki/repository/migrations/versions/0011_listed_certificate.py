"""The entries of each issuer's current revocation list: what is lodged after the list gets status R by them."""

import sqlalchemy as sa
from alembic import op
from asn1crypto import crl

revision = "0011"
down_revision = "0010"

_CURRENT = """
SELECT DISTINCT ON (r.issuer_id) r.issuer_id, r.kind || ' ' || r.number || ' of ' || i.display, r.body
FROM revocation_list r JOIN issuer i ON i.id = r.issuer_id ORDER BY r.issuer_id, r.id DESC
"""


def upgrade() -> None:
    """The table, filled from the lists that are lodged."""
    table = op.create_table(
        "listed_certificate",
        sa.Column("issuer_id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("serial_number", sa.LargeBinary, nullable=False, comment="big-endian magnitude"),
        sa.Column("reason", sa.Text, nullable=False, comment="list and reason, as the status event has them"),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("issuer_id", "serial_number", name="listed_certificate_pkey"),
    )
    for issuer_id, named, body in op.get_bind().execute(sa.text(_CURRENT)).all():
        entries = crl.CertificateList.load(body)["tbs_cert_list"]["revoked_certificates"]
        op.bulk_insert(table, [_row(issuer_id, named, entry) for entry in entries])


def downgrade() -> None:
    """The way back."""
    op.drop_table("listed_certificate")


def _row(issuer_id: int, named: str, entry: crl.RevokedCertificate) -> dict[str, object]:
    reason = "unspecified" if entry.crl_reason_value is None else entry.crl_reason_value.native.replace("_", " ")
    revoked_at = entry["revocation_date"].native
    return {
        "issuer_id": issuer_id,
        "serial_number": entry["user_certificate"].contents.lstrip(b"\0"),
        "reason": f"on {named}: {reason}, revoked at {revoked_at:%Y-%m-%d %H:%M:%S} UTC",
        "revoked_at": revoked_at,
    }
