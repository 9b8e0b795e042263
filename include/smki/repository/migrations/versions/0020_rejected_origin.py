"""What is refused and has no bytes is told apart by where it came from."""

from alembic import op

revision = "0020"
down_revision = "0019"
_BEFORE = "of the body; a second offer of the same counts up"
_NOW = "of the body, or of the origin where there is none; a second offer of the same counts up"


def upgrade() -> None:
    """What the column says of itself; what was kept before stays as it is."""
    op.alter_column("rejected_lodgement", "sha256", comment=_NOW, existing_comment=_BEFORE)


def downgrade() -> None:
    """The way back."""
    op.alter_column("rejected_lodgement", "sha256", comment=_BEFORE, existing_comment=_NOW)
