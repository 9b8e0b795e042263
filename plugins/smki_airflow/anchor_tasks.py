"""The tasks of the DAG of anchor-slot files: Airflow's side of the steps in `anchor_steps`.

The steps are imported by the task that runs, not by the DAG processor.
"""

from typing import Any

from airflow.sdk import task
from airflow.sdk.exceptions import AirflowSkipException

from smki.errors import AnchorSlotsUnsetError
from smki_airflow.runs import current_run

Json = dict[str, Any]


@task
def produce() -> list[Json]:
    """Checks, writes, verifies and records the four files; without a configuration the run is skipped."""
    from smki_airflow import anchor_steps

    try:
        return anchor_steps.produce(current_run())
    except AnchorSlotsUnsetError as error:
        raise AirflowSkipException(str(error)) from error


@task
def record(produced: list[Json], published: list[Json]) -> list[Json]:
    """Ends a run that published everything; returns what is published where."""
    from smki_airflow import anchor_steps

    return anchor_steps.record(current_run(), produced, published)


@task(trigger_rule="none_skipped")  # also when a file could not be published: then the set is not complete
def report() -> list[str]:
    """Says which version of each file each site offers."""
    from smki_airflow import anchor_steps

    return anchor_steps.report()
