"""The steps of a retention run.

A run looks at what is there now, not at a business date: late or repeated, it removes what is due when it runs, and its
clock is the ledger's. So a run with a date in the future removes nothing before its time.
"""

import logging
from datetime import UTC, datetime
from typing import Any

from smki.gate.bounds import load_quality
from smki.gate.quarantine import clear_quarantine as clear_quarantined
from smki.obligations.user_guide import load_user_guide
from smki.repository.database import ensure_server, open_engine
from smki.retention.execution import apply_retention
from smki.retention.rules import Action
from smki.settings import PROJECT, Settings
from smki.store.staging import remove_stale_runs
from smki_airflow.sites import open_site

log = logging.getLogger(__name__)


def remove_files(site: str, run: str) -> dict[str, Any]:
    """Removes from a site what is due there; returns the paths of what does not simply stay, by action.

    Raises the problems that single files made once all others are dealt with.
    """
    settings = Settings.from_environment()
    guide = load_user_guide(settings.config)
    report = apply_retention(open_engine(ensure_server(settings)), open_site(site, "/"), guide, run)
    for plan in report.plans:
        log.info("retention %s path=%s rule=%s", plan.action, plan.path, plan.rule)
    report.raise_problems()
    actions = [action for action in Action if action is not Action.KEEP]
    return {"site": site} | {v: [f.path for f in report.plans if f.action is v] for v in actions}


def clear_staging() -> list[str]:
    """Removes what failed runs of our DAGs left in the staging area; returns the folders."""
    dag_ids = {file.stem for file in (PROJECT / "dags").glob("*.py")}  # a file is named like its DAG
    stale = remove_stale_runs(Settings.from_environment().staging, dag_ids, datetime.now(UTC))
    return [str(folder) for folder in stale]


def clear_quarantine() -> list[str]:
    """Removes what failed the gate and has been kept long enough (quality.toml); returns the folders."""
    settings = Settings.from_environment()
    kept_for = load_quality(settings.config).quarantine.kept_for
    return [str(folder) for folder in clear_quarantined(settings.staging, kept_for, datetime.now(UTC))]
