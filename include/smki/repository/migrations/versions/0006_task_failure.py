"""What failed tasks said last, for the messages of what is missing."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """One table."""
    op.create_table(
        "task_failure",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("dag", sa.Text, nullable=False),
        sa.Column("run", sa.Text, nullable=False, comment="the run's label: DAG/RUN"),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("business_date", sa.Date, comment="null where an event began the run"),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("task_failure_dag_failed_at_idx", "task_failure", ["dag", "failed_at"])


def downgrade() -> None:
    """The way back; the errors are lost, but for Airflow's logs."""
    op.drop_table("task_failure")
