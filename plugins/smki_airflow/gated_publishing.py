"""How every publishing DAG ends: the gate, a person where one is needed, and the publication on every site."""

from collections.abc import Sequence
from typing import Any

from smki_airflow.defaults import HELD_FOR
from smki_airflow.gate_operator import GateOperator
from smki_airflow.names import JUDGE, PUBLISH, RELEASE
from smki_airflow.publish_operator import PUBLISHING, PublishOperator
from smki_airflow.release_operator import ReleaseOperator

# For the runbook of a DAG whose files can be held.
GATE = """**The gate** (`judge`) looks at what the run made before anybody else does, by all that repository and ledger
    know. *Gate report*, under *Details* of the task and in its log, leads to what it checked and found.
    - HOLD: something is so unusual that a person has to look. `release` waits for six days and takes no worker; runs
      after it do not wait. *Required Actions* shows what tripped, with its history. *Approve* publishes this very file,
      *Reject* fails the run; either needs a reason, which the ledger keeps with your name.
    - FAIL, `GateRefusedError`: it is wrong, and nobody may release it. It is kept in quarantine with its report for
      some weeks; nothing on the server changed. Put right what the report names, and clear the run from its first task
      on.
    - `PublicationRefusedError` of `release`: approved without a reason, or nobody answered. Clear it: it asks again."""


def publish_what_the_gate_clears(step: str, sites: Sequence[str], **arguments: Any) -> Any:
    """Three tasks; their output is what was published where. `step` judges a run's files (`GateOperator`)."""
    judged = GateOperator(task_id=JUDGE, step=step, arguments=arguments)
    released = ReleaseOperator(task_id=RELEASE, judged=judged.output, response_timeout=HELD_FOR)
    publish = PublishOperator.partial(
        task_id=PUBLISH, map_index_template="{{ task.artefact['name'] }} · {{ task.site }}", **PUBLISHING
    ).expand(artefact=released.output, site=list(sites))
    return publish.output
