"""What a gate run judged, as the store has it: what waits for a person stays there however long that takes."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """The column; what was judged before is as old as the store's grace, or published."""
    op.add_column(
        "gate_run",
        sa.Column(
            "manifest",
            sa.Text,
            nullable=False,
            server_default="",
            comment="SHA-256 of the judged file's manifest, hex; empty: the file is one object",
        ),
    )


def downgrade() -> None:
    """The way back."""
    op.drop_column("gate_run", "manifest")
