"""The repository (certificates, their status history, windows) and the ledger (artefacts, publications)."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

STATUS = "status IN ('P', 'I', 'N', 'E', 'R')"


def _when(name: str, *, now: bool = True) -> sa.Column[object]:
    default = sa.text("clock_timestamp()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=False)


def _id(kind: type[sa.Integer] = sa.BigInteger, comment: str | None = None) -> sa.Column[int]:
    return sa.Column("id", kind(), sa.Identity(always=True), nullable=False, comment=comment)


def upgrade() -> None:
    """Creates all tables."""
    op.create_table(
        "issuer",
        _id(sa.Integer),
        sa.Column("name", sa.LargeBinary(), nullable=False, comment="the issuer's Name, DER"),
        sa.Column("display", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="issuer_pkey"),
        sa.UniqueConstraint("name", name="issuer_name_key"),
    )
    op.create_table(
        "certificate",
        _id(comment="lodging order"),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("issuer_id", sa.Integer(), nullable=False),
        sa.Column("serial_number", sa.LargeBinary(), nullable=False, comment="big-endian magnitude"),
        sa.Column("eui64", sa.LargeBinary()),
        sa.Column("common_name", sa.Text()),
        sa.Column("role", sa.SmallInteger()),
        sa.Column("usage", sa.Text()),
        sa.Column("manufacturing", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        _when("not_after", now=False),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="DER, exactly as lodged"),
        sa.Column("status", sa.Text(), nullable=False, comment="latest"),
        sa.Column("note", sa.Text(), comment="why a strict parser refuses the body"),
        _when("lodged_at"),
        sa.CheckConstraint("class IN ('OCA', 'DCA', 'ORGANISATION', 'DEVICE')", name=op.f("certificate_class_check")),
        sa.CheckConstraint("octet_length(eui64) = 8", name=op.f("certificate_eui64_check")),
        sa.CheckConstraint("usage IN ('DS', 'KA')", name=op.f("certificate_usage_check")),
        sa.CheckConstraint(STATUS, name=op.f("certificate_status_check")),
        sa.PrimaryKeyConstraint("id", name="certificate_pkey"),
        sa.UniqueConstraint("serial_number", "issuer_id", name="certificate_serial_number_issuer_id_key"),
    )
    op.create_table(
        "status_event",
        sa.Column("certificate_id", sa.BigInteger(), autoincrement=False, nullable=False),
        _id(comment="order in which changes took effect"),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        _when("recorded_at"),
        sa.Column("window_seq", sa.Integer(), comment="null until a window claims the event"),
        sa.CheckConstraint(STATUS, name=op.f("status_event_status_check")),
        sa.PrimaryKeyConstraint("certificate_id", "id", name="status_event_pkey"),
    )
    op.create_index(
        "status_event_window_seq_certificate_id_idx",
        "status_event",
        ["window_seq", "certificate_id"],
        postgresql_where=sa.text("window_seq IS NOT NULL"),
    )
    op.create_index(
        "status_event_unclaimed_idx",
        "status_event",
        ["certificate_id"],
        postgresql_where=sa.text("window_seq IS NULL"),
    )
    op.create_table(
        "delta_window",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False, comment="1, 2, 3 … without holes"),
        sa.Column("business_date", sa.Date(), nullable=False),
        _when("cutoff", now=False),
        _when("closed_at"),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Text(), nullable=False, comment="set digest of the certificates that the delta holds"),
        sa.Column("entered", sa.Text(), nullable=False, comment="set digest of what came into status I"),
        sa.Column("departed", sa.Text(), nullable=False, comment="set digest of what left status I"),
        sa.PrimaryKeyConstraint("seq", name="delta_window_pkey"),
        sa.UniqueConstraint("business_date", name="delta_window_business_date_key"),
    )
    op.create_table(
        "rejected_lodgement",
        _id(),
        sa.Column(
            "sha256", sa.LargeBinary(), nullable=False, comment="of the body; a second offer of the same counts up"
        ),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("offers", sa.Integer(), server_default=sa.text("1"), nullable=False),
        _when("first_offered_at"),
        _when("last_offered_at"),
        sa.PrimaryKeyConstraint("id", name="rejected_lodgement_pkey"),
        sa.UniqueConstraint("sha256", name="rejected_lodgement_sha256_key"),
    )
    op.create_table(
        "artefact",
        _id(),
        sa.Column("obligation", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("window_seq", sa.Integer()),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of the file, hex"),
        sa.Column("content_digest", sa.Text(), nullable=False, comment="of the XML, hex; equal for equal content"),
        sa.Column("xml_bytes", sa.BigInteger(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("set_digest", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False, comment="who produced it: an Airflow run or a command line"),
        _when("verified_at"),
        sa.ForeignKeyConstraint(["window_seq"], ["delta_window.seq"], name="artefact_window_seq_fkey"),
        sa.PrimaryKeyConstraint("id", name="artefact_pkey"),
        sa.UniqueConstraint("name", "sha256", name="artefact_name_sha256_key"),
    )
    op.create_table(
        "publication",
        _id(),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("artefact_id", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False, comment="on the server"),
        sa.Column("run", sa.Text(), nullable=False),
        _when("published_at"),
        sa.ForeignKeyConstraint(["artefact_id"], ["artefact.id"], name="publication_artefact_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="publication_pkey"),
        sa.UniqueConstraint("site", "name", name="publication_site_name_key"),
    )


def downgrade() -> None:
    """Drops all tables."""
    for table in (
        "publication",
        "artefact",
        "rejected_lodgement",
        "delta_window",
        "status_event",
        "certificate",
        "issuer",
    ):
        op.drop_table(table)
