"""Files that are replaced in place, removal, and revocation lists."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _when(name: str, comment: str | None = None, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, comment=comment)


def upgrade() -> None:
    """A publication may end; a name is then free for its successor, where it is replaced in place."""
    op.add_column(
        "artefact",
        sa.Column(
            "version",
            sa.BigInteger(),
            comment="of a file that is replaced in place: rises with its content; else null",
        ),
    )
    op.add_column(
        "publication",
        _when("ended_at", "when its file was replaced or removed; null while it is offered", nullable=True),
    )
    op.add_column(
        "publication", sa.Column("ended_by", sa.Text(), comment="who did it: an Airflow run or a command line")
    )
    op.add_column("publication", sa.Column("end_reason", sa.Text(), comment="replaced, or the retention rule"))
    op.drop_constraint("publication_site_name_key", "publication")
    op.create_index(
        "publication_offered_key",
        "publication",
        ["site", "name"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "revocation_list",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="lodging order"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("issuer_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Numeric(60, 0), nullable=False, comment="CRL number (RFC 5280, 5.2.3)"),
        _when("this_update"),
        _when("next_update"),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="DER, exactly as lodged"),
        sa.Column("lodged_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint("kind IN ('ARL', 'CRL')", name=op.f("revocation_list_kind_check")),
        sa.PrimaryKeyConstraint("id", name="revocation_list_pkey"),
        sa.UniqueConstraint("kind", "issuer_id", "number", name="revocation_list_kind_issuer_id_number_key"),
    )


def downgrade() -> None:
    """The way back; fails where a name has been published more than once."""
    op.drop_table("revocation_list")
    op.drop_index("publication_offered_key", "publication")
    op.create_unique_constraint("publication_site_name_key", "publication", ["site", "name"])
    for column in ("end_reason", "ended_by", "ended_at"):
        op.drop_column("publication", column)
    op.drop_column("artefact", "version")
