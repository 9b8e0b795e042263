"""What a server copied of a published file, and which of its pages have been read back."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"


def _when(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, comment=comment)


def upgrade() -> None:
    """The column and the table; of files that were published before, all was sent, and the auditor reads all pages."""
    op.add_column(
        "publication",
        sa.Column(
            "copied_bytes",
            sa.BigInteger,
            nullable=False,
            server_default="0",
            comment="that the server copied from another file; the rest was sent",
        ),
    )
    op.create_table(
        "page_reading",
        sa.Column(
            "publication_id", sa.BigInteger, sa.ForeignKey("publication.id"), primary_key=True, autoincrement=False
        ),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        _when("modified_at", "as the server states it; with other bytes or another time nothing here holds"),
        sa.Column("as_published", sa.Boolean, nullable=False, comment="bytes and time are those that publishing left"),
        _when("since", "when it was published, or seen to have changed"),
        sa.Column("unread", sa.LargeBinary, nullable=False, comment="pages that nobody has read since: a bit each"),
        sa.Column(
            "wrong", postgresql.ARRAY(sa.Integer), nullable=False, comment="places of what was read and is wrong"
        ),
        sa.Column("again", sa.Integer, nullable=False, comment="page that is read next, where none is unread"),
        _when("read_at", "when pages were read last"),
    )


def downgrade() -> None:
    """The way back."""
    op.drop_table("page_reading")
    op.drop_column("publication", "copied_bytes")
