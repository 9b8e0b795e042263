"""What the auditor saw, and since when a file has been offered whatever became of it later."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def _when(name: str, comment: str | None = None, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, comment=comment)


def upgrade() -> None:
    """Two tables, and a column that keeps how late a publication was."""
    op.add_column(
        "publication",
        sa.Column(
            "first_published_at",
            sa.DateTime(timezone=True),
            nullable=True,
            server_default=sa.text("clock_timestamp()"),
            comment="lateness is judged by it",
        ),
    )
    op.execute("UPDATE publication SET first_published_at = published_at")
    op.alter_column("publication", "first_published_at", nullable=False)
    op.alter_column("publication", "published_at", comment="also when a lost file was put there again")
    op.create_table(
        "finding",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("site", sa.Text, nullable=False, comment="empty: it is not of one site"),
        sa.Column("item", sa.Text, nullable=False, comment="the file, or what else it is about"),
        sa.Column("obligation", sa.Text),
        sa.Column("business_date", sa.Date),
        sa.Column("rule", sa.Text, nullable=False, comment="what is wrong, as seen last"),
        sa.Column("next_step", sa.Text, nullable=False),
        _when("first_seen"),
        _when("last_seen"),
        _when("closed_at", "null while it is open", nullable=True),
        _when("opening_told_at", "when people were told of it; null: they are to be", nullable=True),
        _when("closing_told_at", nullable=True),
    )
    op.create_index(
        "finding_open_key",
        "finding",
        ["kind", "site", "item"],
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_index("finding_closed_at_idx", "finding", ["closed_at"])
    op.create_table(
        "audited_file",
        sa.Column("site", sa.Text, primary_key=True),
        sa.Column("path", sa.Text, primary_key=True, comment="on the server"),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        _when("modified_at", "as the server states it"),
        sa.Column("sha256", sa.Text, nullable=False, comment="read back whole, hex"),
        _when("hashed_at"),
    )


def downgrade() -> None:
    """The way back; findings are lost."""
    op.drop_table("audited_file")
    op.drop_table("finding")
    op.alter_column("publication", "published_at", comment=None)
    op.drop_column("publication", "first_published_at")
