"""The task of DAG `smki_auditor`: Airflow's side of `auditor_steps`, which the task that runs imports."""

from datetime import timedelta
from typing import Any

from airflow.sdk import task

Json = dict[str, Any]


# The next run looks again anyway: one that cannot look ends within minutes, so that it is seen to fail.
@task(
    map_index_template="{{ task.op_kwargs['site'] }}",
    retries=3,
    retry_delay=timedelta(seconds=20),
    max_retry_delay=timedelta(minutes=1),
)
def audit(site: str) -> Json:
    """Looks at a site as a Party does; returns how many files and findings there are."""
    from smki_airflow import auditor_steps

    return auditor_steps.audit(site)
