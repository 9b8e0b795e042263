"""The tasks of DAG `smki_retention`: Airflow's side of `retention_steps`, which the task that runs imports."""

from typing import Any

from airflow.sdk import get_current_context, task

from smki_airflow.publish_operator import PUBLISHING

Json = dict[str, Any]


@task(map_index_template="{{ task.op_kwargs['site'] }}", **PUBLISHING)
def remove_files(site: str) -> Json:
    """Removes from a site what is due there; returns what was removed, held, lost or found foreign."""
    from smki_airflow import retention_steps

    run = get_current_context()["dag_run"]
    return retention_steps.remove_files(site, f"{run.dag_id}/{run.run_id}")


@task
def clear_staging() -> list[str]:
    """Removes what failed runs left in the staging area; returns the folders."""
    from smki_airflow import retention_steps

    return retention_steps.clear_staging()


@task
def clear_quarantine() -> list[str]:
    """Removes what failed the gate and has been kept long enough; returns the folders."""
    from smki_airflow import retention_steps

    return retention_steps.clear_quarantine()
