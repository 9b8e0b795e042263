"""An artefact that is made of pages names its manifest in the store."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """The column; files that were produced before have no manifest, and none is taken over from."""
    op.add_column(
        "artefact",
        sa.Column(
            "manifest",
            sa.Text,
            nullable=False,
            server_default="",
            comment="SHA-256 of its manifest, hex; empty: the file is one object",
        ),
    )


def downgrade() -> None:
    """The way back."""
    op.drop_column("artefact", "manifest")
