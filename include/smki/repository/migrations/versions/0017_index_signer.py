"""By which certificate the index of a site is signed, so that an auditor anywhere can look at it."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """The table; a site has its row from its next index on."""
    op.create_table(
        "index_signer",
        sa.Column("site", sa.Text, primary_key=True),
        sa.Column("certificate", sa.LargeBinary, nullable=False, comment="DER"),
        sa.Column("stated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")),
    )


def downgrade() -> None:
    """The way back."""
    op.drop_table("index_signer")
