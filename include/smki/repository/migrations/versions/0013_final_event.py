"""Finds the few events that nothing may follow, E and R, among all: the gate asks of every extract whether one did."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """A partial index; an event's status never changes."""
    op.create_index(
        "status_event_final_idx",
        "status_event",
        ["certificate_id", "id"],
        postgresql_where=sa.text("status IN ('E', 'R')"),
    )


def downgrade() -> None:
    """The way back."""
    op.drop_index("status_event_final_idx", "status_event")
