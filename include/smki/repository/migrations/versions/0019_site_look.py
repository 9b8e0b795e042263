"""When the auditor looked at each site last, so that people notice that it does not."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """The table; a site has its row from the next look on."""
    op.create_table(
        "site_look",
        sa.Column("site", sa.Text, primary_key=True),
        sa.Column(
            "looked_at", sa.DateTime(timezone=True), nullable=False, comment="when the last recorded look at it began"
        ),
    )


def downgrade() -> None:
    """The way back."""
    op.drop_table("site_look")
