"""What a task of ours begins with: the DAG run that it is part of, and the project that the environment names."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context

from smki.errors import ConfigurationError
from smki.watch.links import RunLabel

if TYPE_CHECKING:
    from smki.repository.project import Project

Json = dict[str, Any]  # what tasks hand each other


@dataclass(frozen=True, slots=True)
class Run:
    """One DAG run."""

    dag_id: str
    run_id: str
    cut_off: datetime | None  # UTC; its logical date; none where an asset's event began the run
    any_day: date | None = None  # that a person asked for in place of the cut-off's day

    @property
    def business_date(self) -> date:
        """The day that was asked for, else that of the cut-off; never the wall clock's. Raises ConfigurationError."""
        if self.any_day is not None:
            return self.any_day
        if self.cut_off is None:
            raise ConfigurationError(
                f"run {self.run_id}",
                "the run has no logical date, hence no business date.",
                "Nothing was produced.",
                "trigger with the cut-off as logical date, or create a backfill for the day.",
            )
        return self.cut_off.date()

    @property
    def label(self) -> str:
        """The run's name in the ledger."""
        return str(RunLabel(self.dag_id, self.run_id))


def current_run() -> Run:
    """The run of the task that calls."""
    return run_of(get_current_context())


def run_of(context: Any) -> Run:
    """The run of a task or callback with this context."""
    dag_run, any_day = context["dag_run"], (context.get("params") or {}).get("any_day")
    return Run(
        dag_run.dag_id,
        dag_run.run_id,
        context.get("data_interval_end"),
        date.fromisoformat(any_day) if any_day else None,
    )


def is_dry_run(params: Json | None) -> bool:
    """Whether a run is to look and say, and to change nothing (`defaults.DRY_RUN`)."""
    return bool((params or {}).get("dry_run"))


def open_project() -> "Project":
    """What nearly every task works with: `smki.repository.project`, loaded by the task and not by the DAG processor."""
    from smki.repository import project

    return project.open_project()
