"""The operator that asks a person about what the gate held, by Airflow's own approval.

* Nothing held: it returns at once and asks nobody.
* Held: people are told, and the task waits without a worker, for the time that it is given. The page shows what
  tripped, with figures and history. The answer needs a reason; who gave it, when and why is recorded in the ledger.
* Rejected: the run fails with the reason. Not answered in time: it fails, and nothing is recorded.
* Airflow's page asks for the reason and its API does not: approved without one, the task fails, publishes nothing and
  records nothing. Cleared, it asks again.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Context

from smki.errors import PublicationRefusedError
from smki_airflow.links import GateReportLink, report_path

_LEAST_LETTERS = 3
_NO_REASON = "no reason was given"


class ReleaseOperator(ApprovalOperator):
    """Returns the artefacts that may be published, once whoever has to release them has done so."""

    template_fields: Sequence[str] = ("judged",)
    operator_extra_links = (GateReportLink(),)

    def __init__(self, *, judged: Any, **options: Any) -> None:
        super().__init__(subject="", **options)
        self.judged = judged  # what `GateOperator` returned

    @property
    def serialized_params(self) -> dict[str, dict[str, Any]]:
        """The form: one field that has to be filled in.

        Not as Airflow's `params`: a task whose params have no valid value before it runs does not begin to run.
        """
        schema = {"type": "string", "title": "Reason", "minLength": _LEAST_LETTERS}
        return {"reason": {"value": "", "description": "Why; the ledger keeps it with your name.", "schema": schema}}

    @property
    def shown_gate_run(self) -> int:
        """The gate run whose report the task's button shows."""
        shown: int = self.judged["shown"]
        return shown

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Returns the artefacts, or begins to wait."""
        # Loaded by the task, not by the DAG processor.
        from smki_airflow import gate_steps
        from smki_airflow.handover import opened

        held = {one["gate_run"]: one for one in self.judged["held"]}
        ask = []
        if held:
            _, engine, guide = opened()
            ask = [held[number] for number in gate_steps.undecided(engine, list(held))]
            gate_steps.tell_of_held(engine, guide, [one["gate_run"] for one in ask])
        if ask:
            self.subject = f"Release {', '.join(one['name'] for one in ask)}?"
            self.body = "\n\n---\n\n".join(
                f"{one['summary']}\n\n[Report of gate run {one['gate_run']}]({report_path(one['gate_run'])})"
                for one in ask
            )
            super().execute(context)
        artefacts: list[dict[str, Any]] = self.judged["artefacts"]
        return artefacts

    def execute_complete(self, context: Context, event: dict[str, Any]) -> list[dict[str, Any]]:  # noqa: ARG002
        """Takes the answer: records it, and returns the artefacts or raises."""
        from smki.gate.ledger import Decision
        from smki_airflow import gate_steps
        from smki_airflow.handover import opened

        names = ", ".join(one["name"] for one in self.judged["held"])
        if "error" in event:
            raise _not_released(names, f"nobody released or rejected it: {event['error']}")
        released = event["chosen_options"] == [self.APPROVE]
        reason = str((event["params_input"] or {}).get("reason") or "").strip()
        if released and len(reason) < _LEAST_LETTERS:
            raise _not_released(names, "it was approved without a reason, and a release needs one.")
        who = event["responded_by_user"] or {}
        when: datetime = event["responded_at"]
        decision = Decision(released, reason or _NO_REASON, who.get("name") or who.get("id") or "somebody", when)
        engine = opened()[1]
        held = [one["gate_run"] for one in self.judged["held"]]
        gate_steps.decide(engine, gate_steps.undecided(engine, held), decision)
        artefacts: list[dict[str, Any]] = self.judged["artefacts"]
        return artefacts


def _not_released(item: str, rule: str) -> PublicationRefusedError:
    return PublicationRefusedError(
        item,
        rule,
        "Nothing is published and no decision is recorded; nothing on the server changed.",
        "clear the task `release`: Airflow asks again.",
    )
