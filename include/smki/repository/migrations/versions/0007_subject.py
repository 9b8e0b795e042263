"""Whom a file is for, in every key of the ledger that a file has; empty where it is for all Parties."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_TABLES = ("artefact", "gate_run", "finding")


def upgrade() -> None:
    """A column in each, empty for what is there."""
    for table in _TABLES:
        op.add_column(
            table,
            sa.Column(
                "subject", sa.Text, nullable=False, server_default="", comment="whom the file is for; empty: all"
            ),
        )


def downgrade() -> None:
    """The way back; whom a file was for is lost."""
    for table in _TABLES:
        op.drop_column(table, "subject")
