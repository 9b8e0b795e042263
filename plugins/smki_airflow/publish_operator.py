"""The operator that publishes a verified artefact on one site.

The recipe and what a crash after each step leaves behind stand in `smki.publish.recipe`; lock and ledger in
`smki.publish.ledger`. This operator adds what Airflow knows: the connection, the pool, the progress in the log.
"""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator, Context

from smki.obligations.user_guide import load_user_guide
from smki.settings import Settings
from smki_airflow.names import PUBLISH_POOL
from smki_airflow.runs import current_run

log = logging.getLogger(__name__)
_PROGRESS_EVERY_S = 10

# Given where the operator is mapped: the scheduler does not see what an __init__ sets on a mapped task.
PUBLISHING: dict[str, Any] = {"pool": PUBLISH_POOL, "execution_timeout": timedelta(hours=4)}


class PublishOperator(BaseOperator):
    """Publishes the run's artefact on one site; the same artefact again finds it done."""

    template_fields: Sequence[str] = ("artefact", "site")

    def __init__(self, *, artefact: Any, site: str, **options: Any) -> None:
        super().__init__(**options)
        self.artefact = artefact
        self.site = site

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002  # Airflow's signature
        """Publishes; returns what the ledger has."""
        # Loaded by the task, not by the DAG processor.
        from smki.publish.ledger import publish_artefact
        from smki.repository.database import ensure_server, open_engine
        from smki_airflow.handover import artefact_from_json
        from smki_airflow.sites import open_site

        settings, run = Settings.from_environment(), current_run()
        artefact = artefact_from_json(self.artefact)
        obligation = load_user_guide(settings.config).obligation(artefact.obligation, artefact.subject)
        publication = publish_artefact(
            open_engine(ensure_server(settings)),
            open_site(self.site, obligation.folder),
            artefact,
            run.staging(settings) / artefact.name,
            run.label,
            _logged_progress(artefact.name, self.site),
        )
        return {
            "site": publication.site,
            "path": publication.path,
            "bytes": publication.artefact.bytes,
            "records": publication.artefact.records,
            "sha256": publication.artefact.sha256,
            "published_at": publication.published_at.isoformat(),
        }


def _logged_progress(name: str, site: str) -> Callable[[int, int], None]:
    """A progress callback that writes a line every ten seconds, and the last one."""
    begun = said = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if done == total or now - said >= _PROGRESS_EVERY_S:
            said = now
            rate = done / max(now - begun, 1e-3) / 1e6
            log.info("upload name=%s site=%s bytes=%d of=%d rate_mb_s=%.1f", name, site, done, total, rate)

    return progress
