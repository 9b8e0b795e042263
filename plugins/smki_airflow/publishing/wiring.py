"""The end of every publishing DAG, as three tasks.

1. `judge` (`gate.GateOperator`, a subclass a kind): the gate checks the files against repository and ledger. Files that
   pass go on, a file that fails ends the run and is kept in quarantine.
2. `release` (`release.ReleaseOperator`): asks a person about what the gate held; returns at once where it held nothing.
3. `publish` (`publish.PublishOperator`), mapped over files and sites: puts each file on each site and records it.
"""

from typing import Any

from smki.settings import Settings
from smki_airflow.defaults import HELD_FOR
from smki_airflow.names import PUBLISH, RELEASE
from smki_airflow.publishing.gate import GateOperator
from smki_airflow.publishing.publish import PUBLISHING, PublishOperator
from smki_airflow.publishing.release import ReleaseOperator


def gated_publishing(gate: GateOperator) -> Any:
    """Wires the three tasks; their output is what was published where."""
    released = ReleaseOperator(task_id=RELEASE, judged=gate.output, response_timeout=HELD_FOR)
    publish = PublishOperator.partial(
        task_id=PUBLISH, map_index_template="{{ task.artefact['name'] }} · {{ task.site }}", **PUBLISHING
    ).expand(artefact=released.output, site=list(Settings.from_environment().sites))
    return publish.output
