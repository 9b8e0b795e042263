"""The end of every publishing DAG, as four tasks.

1. `judge` (`gate.GateOperator`, a subclass a kind): the gate checks the files against repository and ledger. Files that
   pass go on, a file that fails ends the run and is kept in quarantine.
2. `release` (`release.ReleaseOperator`): asks a person about what the gate held; returns at once where it held nothing.
3. `publish_SITE` (`publish.PublishOperator`) for each site, mapped over the files: puts each there and records it, in
   the pool that is the site's lane. No site waits for another one, and no revocation list for a full extract.
4. `publish_index_SITE` (`tasks.index`): the signed index says what the site offers now.
"""

from typing import Any

from airflow.sdk import TriggerRule

from smki.settings import Settings
from smki_airflow.defaults import HELD_FOR
from smki_airflow.names import RELEASE, lane_pool, publish_task
from smki_airflow.publishing.gate import GateOperator
from smki_airflow.publishing.publish import PUBLISHING, PublishOperator
from smki_airflow.publishing.release import ReleaseOperator
from smki_airflow.tasks.index import index_of_site


def gated_publishing(gate: GateOperator, *, in_place: bool) -> list[Any]:
    """Wires the tasks; the output is what was published where, one list a site.

    `in_place`: whether the files take the place of those before them.
    """
    released = ReleaseOperator(task_id=RELEASE, judged=gate.output, response_timeout=HELD_FOR)
    return [_publishing(site, released.output, in_place=in_place) for site in Settings.from_environment().sites]


def _publishing(site: str, artefacts: Any, *, in_place: bool) -> Any:
    published = PublishOperator.partial(
        task_id=publish_task(site),
        site=site,
        pool=lane_pool(site, in_place=in_place),
        map_index_template="{{ task.artefact['name'] }}",
        **PUBLISHING,
    ).expand(artefact=artefacts)
    # Also where one file failed: the others are something new.
    published >> index_of_site(site, trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
    return published.output
