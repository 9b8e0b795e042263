"""One issuer whatever the spelling of its Name (RFC 5280, 7.1): string types, case and white space say nothing.

Issuers that were told apart by their spelling alone become the first of them, and so do those of their certificates and
revocation lists.
"""

import sqlalchemy as sa
from alembic import op

from smki.certificates.names import comparable_name
from smki.errors import MigrationRefusedError

revision = "0009"
down_revision = "0008"

_TWICE = {
    "certificate": "SELECT encode(serial_number, 'hex') FROM certificate WHERE issuer_id = ANY(:ids) "
    "GROUP BY serial_number HAVING count(*) > 1 ORDER BY 1 LIMIT 10",
    "revocation_list": "SELECT kind || ' ' || number FROM revocation_list WHERE issuer_id = ANY(:ids) "
    "GROUP BY kind, number HAVING count(*) > 1 ORDER BY 1 LIMIT 10",
}


def upgrade() -> None:
    """Fills the column and joins the spellings. Raises MigrationRefusedError where two rows would become one."""
    op.add_column("issuer", sa.Column("comparable", sa.LargeBinary, comment="equal for all spellings of the Name"))
    connection = op.get_bind()
    spellings: dict[bytes, list[int]] = {}
    displays = {}
    for issuer_id, name, display in connection.execute(sa.text("SELECT id, name, display FROM issuer ORDER BY id")):
        spellings.setdefault(comparable_name(name), []).append(issuer_id)
        displays[issuer_id] = display
    for comparable, (first, *others) in spellings.items():
        if others:
            _join(connection, displays[first], first, others)
        connection.execute(
            sa.text("UPDATE issuer SET comparable = :comparable WHERE id = :id"),
            {"comparable": comparable, "id": first},
        )
    op.alter_column("issuer", "comparable", nullable=False)
    op.drop_constraint("issuer_name_key", "issuer")
    op.create_unique_constraint("issuer_comparable_key", "issuer", ["comparable"])
    op.alter_column("issuer", "name", comment="the issuer's Name, DER, as it was spelled first")


def downgrade() -> None:
    """The way back; how the other spellings were is lost."""
    op.alter_column("issuer", "name", comment="the issuer's Name, DER")
    op.create_unique_constraint("issuer_name_key", "issuer", ["name"])
    op.drop_column("issuer", "comparable")


def _join(connection: sa.Connection, display: str, first: int, others: list[int]) -> None:
    for table, query in _TWICE.items():
        if twice := connection.execute(sa.text(query), {"ids": [first, *others]}).scalars().all():
            raise MigrationRefusedError(
                f"issuer {display}",
                f"its Name is lodged in {1 + len(others)} spellings, which are one issuer (RFC 5280, 7.1), and rows of "
                f"{table} would be the same: {', '.join(twice)}.",
                next_step="ask the issuer which of each two it issued, remove the other's row, then migrate again.",
            )
        issuer_id = sa.column("issuer_id", sa.Integer)
        connection.execute(
            sa.update(sa.table(table, issuer_id)).where(issuer_id.in_(others)).values({issuer_id: first})
        )
    connection.execute(sa.text("DELETE FROM issuer WHERE id = ANY(:others)"), {"others": others})
