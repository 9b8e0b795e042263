"""The operator that has a run's files judged, and stops those that may not be published.

It records every judgement; what failed is kept in quarantine and fails the task at once, what is held is left to the
release task after it. What becomes of judgements and decisions is `gate_steps`.
"""

import logging
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException

from smki.watch.links import Links, RunLabel
from smki_airflow.links import GateReportLink, base_url
from smki_airflow.names import JUDGE, RELEASE
from smki_airflow.run import Json, Project, Run, open_project, run_of

if TYPE_CHECKING:
    from smki.gate.evidence import Source
    from smki_airflow.publishing.gate_steps import Judged

log = logging.getLogger(__name__)
_ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}


class GateOperator(BaseOperator):
    """Judges a run's files; returns what may be published, and what of it a person has to release.

    Where several files belong together and one fails, none is published.
    """

    operator_extra_links = (GateReportLink(),)

    def __init__(self, *, task_id: str = JUDGE, **options: Any) -> None:
        super().__init__(task_id=task_id, **options)
        self.shown_gate_run: int | None = None

    @abstractmethod
    def judge(self, run: Run) -> "list[Judged]":
        """The files with their judgements; none where there is nothing to publish.

        What was staged may be judged again at any time, by a gate that is cleared: what that needs stays where it is.
        """

    def execute(self, context: Context) -> Json:
        from smki_airflow.publishing import gate_steps

        logging.getLogger("great_expectations").setLevel(logging.WARNING)  # else 200 lines, while it is loaded
        judged = self.judge(run_of(context))
        project = open_project()
        outcome = gate_steps.record_judgements(project.engine, judged, self._waits(context)) if judged else None
        if outcome is None:
            raise AirflowSkipException("nothing to publish, or another run waits with it: see the lines above")
        self.shown_gate_run = outcome.shown
        log.info("report %s", Links(base_url()).report(outcome.shown))
        gate_steps.refuse_failed(project.settings.staging, outcome)
        return outcome.as_json()

    def _waits(self, context: Context) -> Callable[[str], bool]:
        """Says of a run's label whether that run has the answer to its release task still to come."""
        group, dot, _ = self.task_id.rpartition(".")
        release = f"{group}{dot}{RELEASE}"

        def waits(label: str) -> bool:
            run = RunLabel.parse(label)
            if run is None:
                return False
            states = context["ti"].get_task_states(dag_id=run.dag_id, task_ids=[release], run_ids=[run.run_id])
            of_run: dict[str, Any] = states.get(run.run_id, {})
            return release in of_run and of_run[release] not in _ENDED

        return waits


def gate_source(project: Project) -> "Source":
    """What evidence is drawn from."""
    from smki.gate.bounds import load_quality
    from smki.gate.evidence import Source

    settings = project.settings
    return Source(project.engine, project.guide, load_quality(settings.config), settings.annex_b_xsd)
