"""What the gate said of each artefact, and what a person decided where it held one."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Two tables of the ledger."""
    op.create_table(
        "gate_run",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("obligation", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False, comment="of the judged file"),
        sa.Column("sha256", sa.Text, nullable=False, comment="of the judged file, hex"),
        sa.Column("business_date", sa.Date, nullable=False),
        sa.Column(
            "verdict",
            sa.Text,
            sa.CheckConstraint("verdict IN ('PASS', 'HOLD', 'FAIL')", op.f("gate_run_verdict_check")),
            nullable=False,
        ),
        sa.Column("suite_version", sa.Text, nullable=False),
        sa.Column("run", sa.Text, nullable=False, comment="who judged: an Airflow run or a command line"),
        sa.Column("judged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "judgement", postgresql.JSONB, nullable=False, comment="every result and figure; the report is made of it"
        ),
    )
    op.create_index("gate_run_name_sha256_idx", "gate_run", ["name", "sha256"])
    op.create_index("gate_run_obligation_business_date_idx", "gate_run", ["obligation", "business_date"])
    op.create_table(
        "gate_decision",
        sa.Column("gate_run_id", sa.BigInteger, sa.ForeignKey("gate_run.id"), primary_key=True, autoincrement=False),
        sa.Column("released", sa.Boolean, nullable=False, comment="false: rejected"),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("decided_by", sa.Text, nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    """The way back; verdicts are lost."""
    op.drop_table("gate_decision")
    op.drop_table("gate_run")
