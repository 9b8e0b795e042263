"""The operator that has a run's files judged, and stops those that may not be published.

It records every judgement; what failed is kept in quarantine and fails the task at once, what is held is left to the
release task after it. How files are judged is the DAG's step, how a decision is carried on stands in `gate_steps`.
"""

import importlib
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException

from smki_airflow.links import GateReportLink, report_url
from smki_airflow.names import RELEASE
from smki_airflow.runs import current_run

if TYPE_CHECKING:
    from smki_airflow.gate_steps import Judged

log = logging.getLogger(__name__)
_ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}


class GateOperator(BaseOperator):
    """Judges what the step `module:function` returns for the run and `arguments`; returns what may be published.

    Where several files belong together and one fails, none is published.
    """

    template_fields: Sequence[str] = ("step", "arguments")
    operator_extra_links = (GateReportLink(),)

    def __init__(self, *, step: str, arguments: dict[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self.step = step
        self.arguments = arguments
        self.shown_gate_run: int | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Judges; returns artefacts, and what of them a person has to release."""
        # Loaded by the task, not by the DAG processor: Great Expectations takes seconds.
        from smki_airflow import gate_steps
        from smki_airflow.handover import opened

        logging.getLogger("great_expectations").setLevel(logging.WARNING)  # else 200 lines, while it is loaded
        module, _, function = self.step.partition(":")
        step = cast("Callable[..., list[Judged]]", getattr(importlib.import_module(module), function))
        judged = step(current_run(), **self.arguments)
        settings, engine, _ = opened()
        outcome = gate_steps.recorded(engine, judged, lambda label: self._waits(label, context)) if judged else None
        if outcome is None:
            raise AirflowSkipException("nothing to publish, or another run waits with it: see the lines above")
        self.shown_gate_run = outcome.shown
        log.info("report %s", report_url(outcome.shown))
        gate_steps.refuse_failed(settings.staging, outcome)
        return outcome.as_json()

    def _waits(self, label: str, context: Context) -> bool:
        """Whether the run of this label has the answer to the release task that belongs to this one still to come."""
        dag_id, _, run_id = label.partition("/")
        if not run_id:
            return False
        group, dot, _ = self.task_id.rpartition(".")
        release = f"{group}{dot}{RELEASE}"
        states = context["ti"].get_task_states(dag_id=dag_id, task_ids=[release], run_ids=[run_id]).get(run_id, {})
        return release in states and states[release] not in _ENDED
