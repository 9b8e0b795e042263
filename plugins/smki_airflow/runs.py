"""What one DAG run works on: its business date, its place in the staging area, its name in the ledger."""

import re
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from airflow.sdk import get_current_context

from smki.errors import ConfigurationError
from smki.settings import Settings


@dataclass(frozen=True, slots=True)
class Run:
    """One DAG run."""

    dag_id: str
    run_id: str
    cut_off: datetime | None  # UTC; the end of the data interval; none where an asset's event began the run

    @property
    def business_date(self) -> date:
        """The day of the cut-off; never taken from the wall clock. Raises ConfigurationError for a run without one."""
        if self.cut_off is None:
            raise ConfigurationError(
                f"run {self.run_id}",
                "it has no data interval, so it belongs to no business date.",
                "Nothing was produced.",
                "trigger with a logical date, or create a backfill for the day.",
            )
        return self.cut_off.date()

    @property
    def label(self) -> str:
        """Who did it, for the ledger."""
        return f"{self.dag_id}/{self.run_id}"

    def staging(self, settings: Settings) -> Path:
        """The run's own folder; tasks of the run share it, and a cleared task finds what others left."""
        return settings.staging / self.dag_id / re.sub(r"[^A-Za-z0-9_.+-]", "_", self.run_id)


def current_run() -> Run:
    """The run of the task that calls."""
    context: Any = get_current_context()
    dag_run = context["dag_run"]
    return Run(dag_run.dag_id, dag_run.run_id, context.get("data_interval_end"))
