"""The operator that has a run's files judged, and stops those that may not be published.

It records every judgement; what failed is kept in quarantine and fails the task at once, what is held is left to the
release task after it. What becomes of judgements and decisions is `smki.gate.requests`.
"""

import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException

from smki.watch.links import Links, RunLabel
from smki_airflow.links import GateReportLink, base_url
from smki_airflow.names import JUDGE, RELEASE
from smki_airflow.publishing.handover import Judged, artefact_as_json
from smki_airflow.run import Json, Run, open_project, run_of

if TYPE_CHECKING:
    from smki.gate.judging_process import Judge

log = logging.getLogger(__name__)
_ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}


class GateOperator(BaseOperator):
    """Judges what the tasks before it have `produced`; returns what may be published, and what of it a person has to
    release.

    Where several files belong together and one fails, none is published.
    """

    template_fields: Sequence[str] = ("produced",)
    operator_extra_links = (GateReportLink(),)

    def __init__(self, *, produced: Any, task_id: str = JUDGE, **options: Any) -> None:
        super().__init__(task_id=task_id, **options)
        self.produced = produced
        self.shown_gate_run: int | None = None

    @abstractmethod
    def judge(self, run: Run, judge: "Judge") -> list[Judged]:
        """The files with what `judge` says of each; none where there is nothing to publish.

        It may judge again at any time, when it is cleared: what it needs stays in the store.
        """

    def execute(self, context: Context) -> Json:
        from smki.gate.judging_process import begin_judging
        from smki.gate.report.wording import hold_summary
        from smki.gate.requests import record_judgements, refuse_failed, select_shown, select_undecided

        with begin_judging() as judge:
            judged = self.judge(run_of(context), judge)
        project = open_project()
        judgements = [one.judgement for one in judged]
        manifests = [one.artefact.manifest for one in judged]
        gate_runs = record_judgements(project.engine, judgements, manifests, self._waits(context)) if judged else None
        if gate_runs is None:
            raise AirflowSkipException("nothing to publish, or another run waits with it: see the lines above")
        self.shown_gate_run = select_shown(gate_runs).id
        log.info("report %s", Links(base_url()).report(self.shown_gate_run))
        refuse_failed(project.store, gate_runs, manifests)
        return {
            "artefacts": [artefact_as_json(one.artefact) for one in judged],
            "shown": self.shown_gate_run,
            "held": [
                {"gate_run": run.id, "name": run.judgement.name, "summary": hold_summary(run.judgement)}
                for run in select_undecided(gate_runs)
            ],
        }

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
