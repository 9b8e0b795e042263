"""Finds what expires among millions that never do: closing a window gives it status E."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """A partial index; notAfter never changes, so it costs changes of status nothing."""
    op.create_index(
        "certificate_expiring_idx",
        "certificate",
        ["not_after"],
        postgresql_where=sa.text("not_after < '9999-12-31 00:00:00+00'"),
    )


def downgrade() -> None:
    """The way back."""
    op.drop_index("certificate_expiring_idx", "certificate")
