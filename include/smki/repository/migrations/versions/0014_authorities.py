"""Trusted roots and issuers that cannot be had; windows that were taken over.

Certificates that were lodged before signatures were verified stay, and so does what they need: lodged CA certificates
that sign themselves are stated as trusted roots, and issuers that are not lodged as ones that cannot be had.
"""

import sqlalchemy as sa
from alembic import op
from asn1crypto import x509

from smki.certificates.names import comparable_name

revision = "0014"
down_revision = "0013"

_REASON = "its certificates were lodged before signatures were verified"


def upgrade() -> None:
    """Both tables, and what the repository needs in them."""
    in_classes = "class IN ('OCA', 'DCA')"
    op.create_table(
        "trusted_root",
        sa.Column("sha256", sa.LargeBinary, primary_key=True, comment="of the CA certificate's DER"),
        sa.Column("class", sa.Text, nullable=False),
        _stated_at(),
        sa.CheckConstraint(in_classes, name="class"),
    )
    op.create_table(
        "unchecked_issuer",
        sa.Column("comparable", sa.LargeBinary, primary_key=True, comment="equal for equal Names (RFC 5280, 7.1)"),
        sa.Column("name", sa.LargeBinary, nullable=False, comment="the issuer's Name, DER"),
        sa.Column("class", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False, comment="why its certificate cannot be had"),
        _stated_at(),
        sa.CheckConstraint(in_classes, name="class"),
    )
    op.add_column(
        "delta_window",
        sa.Column(
            "taken_over",
            sa.Boolean,
            nullable=False,
            server_default=sa.text("false"),
            comment="its file was published before",
        ),
    )
    op.alter_column("delta_window", "seq", comment="1, 2, 3 … without holes; 0: a baseline")
    _state_what_is_there(op.get_bind())


def _stated_at() -> sa.Column[object]:
    return sa.Column(
        "stated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()")
    )


def _state_what_is_there(connection: sa.Connection) -> None:
    lodged = set()
    for body, of_class in connection.execute(
        sa.text("SELECT body, class FROM certificate WHERE class IN ('OCA', 'DCA')")
    ).all():
        parsed = x509.Certificate.load(body)
        lodged.add(comparable_name(parsed.subject.dump()))
        if comparable_name(parsed.subject.dump()) == comparable_name(parsed.issuer.dump()):
            connection.execute(
                sa.text(
                    "INSERT INTO trusted_root (sha256, class) VALUES (sha256(:body), :class) ON CONFLICT DO NOTHING"
                ),
                {"body": body, "class": of_class},
            )
    issuers = """
        SELECT i.name, EXISTS (
          SELECT FROM certificate c WHERE c.issuer_id = i.id AND c.class IN ('OCA', 'ORGANISATION')
        ) FROM issuer i
    """
    for name, is_oca in connection.execute(sa.text(issuers)).all():
        if comparable_name(name) not in lodged:
            connection.execute(
                sa.text(
                    "INSERT INTO unchecked_issuer (comparable, name, class, reason) "
                    "VALUES (:comparable, :name, :class, :reason) ON CONFLICT DO NOTHING"
                ),
                {
                    "comparable": comparable_name(name),
                    "name": name,
                    "class": "OCA" if is_oca else "DCA",
                    "reason": _REASON,
                },
            )


def downgrade() -> None:
    """The way back; what was stated is lost."""
    op.alter_column("delta_window", "seq", comment="1, 2, 3 … without holes")
    op.drop_column("delta_window", "taken_over")
    op.drop_table("unchecked_issuer")
    op.drop_table("trusted_root")
