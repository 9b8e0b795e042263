"""An issuer that was restored from a backup gives a CRL number twice; which list is published, a person decides."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """The number is no key any more; it still finds the list that is offered again."""
    op.drop_constraint("revocation_list_kind_issuer_id_number_key", "revocation_list")
    op.create_index("revocation_list_number_idx", "revocation_list", ["issuer_id", "number"])


def downgrade() -> None:
    """The way back, as long as no number stands twice."""
    op.drop_index("revocation_list_number_idx", "revocation_list")
    op.create_unique_constraint(
        "revocation_list_kind_issuer_id_number_key", "revocation_list", ["kind", "issuer_id", "number"]
    )
