"""The SHA-256 of each body, taken when it is lodged: what is closed and judged later does not read the bodies again.

A table of its own: it has a tenth of the pages, and no change of status rewrites it. A trigger fills it, so that no
certificate can be without. No index names the status: a change of it then need not touch any.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """The table, filled for what is lodged, its trigger, and indexes for what is asked every day."""
    op.execute("LOCK TABLE certificate IN SHARE ROW EXCLUSIVE MODE")  # what is lodged waits for the trigger
    op.execute("CREATE TABLE body_hash AS SELECT id AS certificate_id, sha256(body) AS sha256 FROM certificate")
    op.alter_column("body_hash", "certificate_id", nullable=False)
    op.alter_column("body_hash", "sha256", nullable=False, comment="of the body, as lodged")
    op.create_primary_key("body_hash_pkey", "body_hash", ["certificate_id"])
    op.execute(
        """
        CREATE FUNCTION keep_body_hashes() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          INSERT INTO body_hash SELECT id, sha256(body) FROM lodged;
          RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER keep_body_hashes AFTER INSERT ON certificate
        REFERENCING NEW TABLE AS lodged FOR EACH STATEMENT EXECUTE FUNCTION keep_body_hashes()
        """
    )
    op.create_index("certificate_manufacturing_idx", "certificate", ["id"], postgresql_where=sa.text("manufacturing"))
    op.create_index(
        "certificate_revocable_idx", "certificate", ["issuer_id"], postgresql_where=sa.text("class <> 'DEVICE'")
    )


def downgrade() -> None:
    """The way back."""
    for name in ("revocable", "manufacturing"):
        op.drop_index(f"certificate_{name}_idx", "certificate")
    op.execute("DROP TRIGGER keep_body_hashes ON certificate")
    op.execute("DROP FUNCTION keep_body_hashes")
    op.drop_table("body_hash")
