"""The operator that publishes a verified artefact on one site.

The recipe and what a crash after each step leaves behind stand in `smki.publish.recipe`; lock and ledger in
`smki.publish.ledger`. This operator adds what Airflow knows: the connection, the progress in the log, and
the event by which other DAGs learn of the publication.

* A file that is newly on every site is an event of the asset `smki://OBLIGATION`, such as `smki://full`, with the
  file's name, day and digests as its extra: a DAG with `schedule=[Asset("smki://full")]` starts on it.
* The event belongs to the task that put the last site right. So there is one for each file, not one for each site,
  and none for a run that finds everything published, as the daily run of lists and anchors nearly always does.
* A file that was removed from the site for good does not come back: the task is skipped, and its log says when and why
  it was removed.
* A file that a server lost and that is put there again is an event again, and so is one whose run is cleared: no event
  is lost with a worker. Compare the digest where that matters.
* As several obligations may share a DAG, and its mapped task, the operator's outlet is an alias for all their assets:
  `Asset("smki://…")` as an outlet would have an event whenever the task ends well.
"""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias, BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException

from smki_airflow.names import PUBLISHED, published_uri
from smki_airflow.run import Json, open_project, run_of
from smki_airflow.signals.metrics import measure_margin, measure_publication

if TYPE_CHECKING:
    from smki.publish.artefact import Publication
    from smki.repository.project import Project

log = logging.getLogger(__name__)
_PROGRESS_EVERY_S = 10
_PUBLISHED = AssetAlias(PUBLISHED)
_PAST = 40  # files among which the margin of one is looked for; an older one is nobody's margin any more

# Given where a task is wired: the scheduler does not see what an __init__ sets on a mapped task.
CHANGE_WITHIN = timedelta(hours=4)
PUBLISHING: dict[str, Any] = {"execution_timeout": CHANGE_WITHIN, "outlets": [_PUBLISHED]}


class PublishOperator(BaseOperator):
    """Publishes the run's artefact on one site; the same artefact again finds it done."""

    template_fields: Sequence[str] = ("artefact", "site")

    def __init__(self, *, artefact: Any, site: str, **options: Any) -> None:
        super().__init__(**options)
        self.artefact = artefact
        self.site = site

    def execute(self, context: Context) -> Json:
        """Returns what the ledger has."""
        from smki.kinds.revocation.file import refuse_ended
        from smki.kinds.revocation.predecessor import follows
        from smki.obligations.catalogue import RevocationList
        from smki.publish.ledger import publish_artefact
        from smki.publish.unknown_files import refuse_if_behind
        from smki.store.content import stored_content
        from smki.watch.facts import past_files
        from smki_airflow.publishing.handover import artefact_from_json
        from smki_airflow.sites import open_site

        project, run = open_project(), run_of(context)
        artefact = artefact_from_json(self.artefact)
        obligation = project.guide.obligation(artefact.obligation, artefact.subject)
        if artefact.version is None:
            refuse_if_behind(project.engine, open_site(self.site), project.guide, datetime.now(UTC))
        content = stored_content(project.store, artefact.name, artefact.sha256, artefact.manifest)
        is_list = isinstance(obligation.kind, RevocationList)
        if is_list:
            refuse_ended(content, datetime.now(UTC))
        publication = publish_artefact(
            project.engine,
            open_site(self.site, obligation.folder),
            artefact,
            content,
            run.label,
            _log_progress(artefact.name, self.site),
            partial(follows, project.engine, content) if is_list else None,
        )
        if publication.ended_at is not None:
            removed = f"removed from {self.site} at {publication.ended_at:%Y-%m-%d %H:%M} UTC: {publication.end_reason}"
            raise AirflowSkipException(f"{artefact.name} is not published again, as it was {removed}")
        if publication.run == run.label:
            measure_publication(publication)
        if publication.run == run.label and _completes(project, publication):
            if artefact.version is None:  # what is replaced in place goes out when it is there
                past = {one.business_date: one.margin for one in past_files(project.engine, obligation, _PAST)}
                if (margin := past.get(artefact.business_date)) is not None:
                    measure_margin(obligation, margin)
            asset = Asset(published_uri(artefact.obligation, artefact.subject))
            context["outlet_events"][_PUBLISHED].add(asset, _event(publication))
        return {
            "site": publication.site,
            "path": publication.path,
            "bytes": publication.artefact.bytes,
            "bytes_sent": publication.sent_bytes,
            "bytes_copied": publication.copied_bytes,
            "records": publication.artefact.records,
            "sha256": publication.artefact.sha256,
            "published_at": publication.published_at.isoformat(),
        }


def _completes(project: "Project", publication: "Publication") -> bool:
    """Whether this publication is the one by which its content is on every site."""
    from smki.publish.ledger import find_publication
    from smki.repository.database import reading

    with reading(project.engine) as connection:
        there = [find_publication(connection, site, publication.name) for site in project.settings.sites]
    content = publication.artefact.content_digest
    if not all(one is not None and one.artefact.content_digest == content for one in there):
        return False
    newest = max((one for one in there if one is not None), key=lambda one: one.published_at)
    return newest.site == publication.site


def _event(publication: "Publication") -> Json:
    artefact = publication.artefact
    return {
        "name": artefact.name,
        "business_date": artefact.business_date.isoformat(),
        "version": artefact.version,
        "records": artefact.records,
        "bytes": artefact.bytes,
        "sha256": artefact.sha256,
        "content_digest": artefact.content_digest,
        "path": publication.path,
    }


def _log_progress(name: str, site: str) -> Callable[[int, int], None]:
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
