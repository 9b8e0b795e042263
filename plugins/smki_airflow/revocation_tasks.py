"""The tasks of the DAG of revocation lists: Airflow's side of the steps in `revocation_steps`.

The steps are imported by the task that runs, not by the DAG processor.
"""

from typing import Any

from airflow.sdk import task, task_group
from airflow.sdk.exceptions import AirflowSkipException

from smki_airflow.gated_publishing import publish_what_the_gate_clears
from smki_airflow.runs import current_run

Json = dict[str, Any]


@task
def check_next_update() -> list[str]:
    """Warns of each list that nears its nextUpdate while none follows it; returns their names."""
    from smki_airflow import revocation_steps

    return revocation_steps.warn_of_missing_successors()


@task
def stage(obligation: str) -> Json:
    """Produces the newest list's file; returns its artefact."""
    from smki_airflow import revocation_steps

    staged = revocation_steps.stage(current_run(), obligation)
    if staged is None:
        raise AirflowSkipException(f"no {obligation.upper()} is lodged: nothing to publish")
    return staged


@task
def record(artefact: Json, published: list[Json]) -> list[Json]:
    """Ends the list's part of the run: says what is published where."""
    from smki_airflow import revocation_steps

    return revocation_steps.record(current_run(), artefact, published)


@task_group
def publish_list(obligation: str, sites: list[str]) -> None:
    """One list, from the repository to every site; the other list's part does not wait for it."""
    artefact: Any = stage(obligation)
    published = publish_what_the_gate_clears("smki_airflow.judging_steps:judge_list", sites, produced=artefact)
    record(artefact, published)
