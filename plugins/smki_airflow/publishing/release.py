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
from smki_airflow.links import GateReportLink, links_on_server
from smki_airflow.run import Json, open_project

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

    def execute(self, context: Context) -> list[Json]:
        """Returns the artefacts, or begins to wait."""
        from smki.gate.requests import list_undecided
        from smki_airflow.signals.telling import tell_of_held

        held = {one["gate_run"]: one for one in self.judged["held"]}
        ask = []
        if held:
            project = open_project()
            ask = [held[number] for number in list_undecided(project.engine, list(held))]
            tell_of_held(project.engine, project.guide, [one["gate_run"] for one in ask])
        if ask:
            links = links_on_server()
            self.subject = f"Release {', '.join(one['name'] for one in ask)}?"
            self.body = "\n\n---\n\n".join(
                f"{one['summary']}\n\n[Report of gate run {one['gate_run']}]({links.report(one['gate_run'])})"
                for one in ask
            )
            super().execute(context)
        artefacts: list[Json] = self.judged["artefacts"]
        return artefacts

    def execute_complete(self, context: Context, event: Json) -> list[Json]:  # noqa: ARG002  # Airflow's signature
        """Takes the answer: records it, and returns the artefacts or raises."""
        from smki.gate.ledger import Decision
        from smki.gate.requests import decide, list_undecided

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
        engine = open_project().engine
        held = [one["gate_run"] for one in self.judged["held"]]
        decide(engine, list_undecided(engine, held), decision)
        artefacts: list[Json] = self.judged["artefacts"]
        return artefacts


def _not_released(item: str, rule: str) -> PublicationRefusedError:
    return PublicationRefusedError(
        item,
        rule,
        "Nothing is published and no decision is recorded; nothing on the server changed.",
        "clear the task `release`: Airflow asks again.",
    )
