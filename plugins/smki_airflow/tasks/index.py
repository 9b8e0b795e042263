"""The task that follows each publication: the signed index of what a site offers now."""

import logging
from datetime import UTC, datetime
from functools import partial
from typing import Any

from airflow.sdk import TriggerRule, task
from airflow.sdk.exceptions import AirflowSkipException

from smki_airflow.names import lane_pool
from smki_airflow.publishing.publish import CHANGE_WITHIN
from smki_airflow.run import Json, is_dry_run, open_project

log = logging.getLogger(__name__)


def index_of_site(site: str, *, trigger_rule: TriggerRule = TriggerRule.ALL_SUCCESS) -> Any:
    """The task of a site. It is in the lane of what is replaced in place, whatever the DAG publishes."""
    in_lane = publish_index.override(
        task_id=f"publish_index_{site}", pool=lane_pool(site, in_place=True), trigger_rule=trigger_rule
    )
    return in_lane(site)


@task(execution_timeout=CHANGE_WITHIN)
def publish_index(site: str, params: Json | None = None) -> list[str]:
    """Returns the names of what was put on the site. Skipped where the index is switched off, or nobody signs it."""
    from smki.kinds.index import publishing
    from smki.kinds.index.signing import load_signer
    from smki.publish.unknown_files import refuse_if_behind
    from smki_airflow.sites import open_site

    if is_dry_run(params):
        raise AirflowSkipException("a dry run publishes nothing")
    project = open_project()
    guide, signer = project.guide, load_signer(project.settings)
    if guide.index is None or signer is None:
        raise AirflowSkipException("no index: [index] in user_guide.toml switches it off, or SMKI_INDEX_KEY is not set")
    refuse_if_behind(project.engine, open_site(site), guide, datetime.now(UTC))
    login = open_site(site, guide.index.folder)
    return publishing.publish_index(project.engine, project.store, login, guide, signer, partial(datetime.now, UTC))
