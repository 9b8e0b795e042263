"""The tasks of both extract DAGs: Airflow's side of the steps in `extract_steps`.

The steps are imported by the task that runs, not by the DAG processor: they load numpy, pyarrow and lxml.
"""

from typing import Any

from airflow.sdk import task

from smki_airflow.runs import current_run

Json = dict[str, Any]
_SEGMENTS = "segments {{ task.op_kwargs['numbers'][0] }}–{{ task.op_kwargs['numbers'][-1] }}"


@task
def close_window() -> int:
    """Closes the window of the run's day, and those before it that are still open; returns how many it closed."""
    from smki_airflow import extract_steps

    return extract_steps.close_window(current_run())


@task
def plan(obligation: str) -> list[list[int]]:
    """Plans the run's extract; returns the segment numbers of each task."""
    from smki_airflow import extract_steps

    return extract_steps.plan(current_run(), obligation)


@task(map_index_template=_SEGMENTS)
def render(numbers: list[int]) -> list[Json]:
    """Renders and stages some segments; returns their facts."""
    from smki_airflow import extract_steps

    return extract_steps.render(current_run(), numbers)


@task
def assemble(rendered: list[list[Json]]) -> str:
    """Puts the segments together; returns the file's name."""
    from smki_airflow import extract_steps

    return extract_steps.assemble(current_run(), rendered)


@task(map_index_template=_SEGMENTS)
def verify(numbers: list[int], name: str) -> list[Json]:
    """Checks some segments of the assembled file from its own octets; returns their figures, with what is wrong."""
    from smki_airflow import extract_steps

    return extract_steps.verify(current_run(), numbers, name)


@task
def record(published: list[Json]) -> list[Json]:
    """Ends the run: says what is published where and empties its staging folder."""
    from smki_airflow import extract_steps

    return extract_steps.record(current_run(), published)
