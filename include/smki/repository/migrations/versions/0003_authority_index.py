"""Finds the few certificates of authorities among millions: a revocation list names its issuer by subject only."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """A partial index; a class never changes, so it costs changes of status nothing."""
    op.create_index(
        "certificate_authority_idx", "certificate", ["class"], postgresql_where=sa.text("class IN ('OCA', 'DCA')")
    )


def downgrade() -> None:
    """The way back."""
    op.drop_index("certificate_authority_idx", "certificate")
