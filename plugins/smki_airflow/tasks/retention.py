"""A retention run.

It looks at what is there now, not at a business date: late or repeated, it removes what is due when it runs, and its
clock is the ledger's. So a run with a date in the future removes nothing before its time. A dry run (param `dry_run`)
says what it would remove, as `smki retention plan` and `smki store garbage` do, and changes nothing.

What goes wrong with one file stops nothing else: the index of a site follows whatever was removed there, and garbage is
collected whatever became of the quarantine. `record` ends the run, and does so well only where all the others did.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import TriggerRule, task
from airflow.sdk.exceptions import AirflowSkipException

from smki_airflow.names import lane_pool
from smki_airflow.publishing.publish import CHANGE_WITHIN
from smki_airflow.run import Json, current_run, is_dry_run, open_project
from smki_airflow.tasks.index import index_of_site

log = logging.getLogger(__name__)


def retire_files(sites: Sequence[str]) -> list[Any]:
    """A task for each site, in the lane of what it removes; the site's index then says what is left.

    The output is what `remove_files` returns, one a site.
    """
    return [_retirement(site) for site in sites]


def _retirement(site: str) -> Any:
    remove = remove_files.override(task_id=f"remove_files_{site}", pool=lane_pool(site, in_place=False))
    removed = remove(site)
    removed >> index_of_site(site, trigger_rule=TriggerRule.ALL_DONE)
    return removed


@task(execution_timeout=CHANGE_WITHIN)
def remove_files(site: str, params: Json | None = None) -> Json:
    """Removes from a site what is due there; returns the paths of what does not simply stay, by action.

    Raises the problems that single files made once all others are dealt with.
    """
    from smki.retention.execution import apply_retention, look_at_site
    from smki.retention.rules import Action
    from smki_airflow.sites import open_site

    project, login = open_project(), open_site(site)
    if is_dry_run(params):
        report = look_at_site(project.engine, login, project.guide)
    else:
        report = apply_retention(project.engine, login, project.guide, current_run().label)
    for plan in report.plans:
        log.info("retention %s path=%s rule=%s", plan.action, plan.path, plan.rule)
    report.raise_problems()
    actions = [action for action in Action if action is not Action.KEEP]
    return {"site": site} | {one: [plan.path for plan in report.plans if plan.action is one] for one in actions}


@task(trigger_rule=TriggerRule.ALL_DONE)
def collect_garbage(params: Json | None = None) -> Json:
    """Removes from the store what no file needs any more; returns how many objects, and their bytes."""
    from smki.publish.garbage import collect_garbage, find_garbage

    project, now = open_project(), datetime.now(UTC)
    garbage = find_garbage(project.engine, project.store, now)
    log.info("garbage %s", garbage)
    if not is_dry_run(params):
        garbage = collect_garbage(project.engine, project.store, garbage, now)
    return {"objects": garbage.count, "bytes": garbage.bytes, "kept": garbage.kept}


@task(trigger_rule=TriggerRule.NONE_FAILED)
def record(removed: Sequence[Json], garbage: Json) -> Json:
    """Ends a run in which nothing failed: returns what was removed, or would be."""
    return {"sites": list(removed), "garbage": garbage}


@task
def clear_quarantine(params: Json | None = None) -> list[str]:
    """Removes what failed the gate and has been kept long enough (quality.toml); returns the names."""
    from smki.gate import quarantine
    from smki.gate.bounds import load_quality

    if is_dry_run(params):
        raise AirflowSkipException("a dry run removes nothing")
    project = open_project()
    kept_for = load_quality(project.settings.config).quarantine.kept_for
    return quarantine.clear_quarantine(project.store, kept_for, datetime.now(UTC))
