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
    cut_off: datetime  # UTC; the end of the data interval

    @property
    def business_date(self) -> date:
        """The day of the cut-off; never taken from the wall clock."""
        return self.cut_off.date()

    @property
    def label(self) -> str:
        """Who did it, for the ledger."""
        return f"{self.dag_id}/{self.run_id}"

    def staging(self, settings: Settings) -> Path:
        """The run's own folder; tasks of the run share it, and a cleared task finds what others left."""
        return settings.staging / self.dag_id / re.sub(r"[^A-Za-z0-9_.+-]", "_", self.run_id)


def current_run() -> Run:
    """The run of the task that calls. Raises ConfigurationError for a run without a data interval."""
    context: Any = get_current_context()
    dag_run, end = context["dag_run"], context.get("data_interval_end")
    if end is None:
        raise ConfigurationError(
            f"run {dag_run.run_id}",
            "it has no data interval, so it belongs to no business date.",
            "Nothing was produced.",
            "trigger with a logical date, or create a backfill for the day.",
        )
    return Run(dag_run.dag_id, dag_run.run_id, end)
