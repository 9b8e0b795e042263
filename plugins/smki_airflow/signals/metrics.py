"""What tasks measure, by Airflow's own metrics: docs/metrics.md has every name, its unit and its attributes.

* They go wherever Airflow's go, and nowhere unless `[metrics] otel_on` says so.
* All are gauges of what was done last. A task is a process of its own, in which a counter would begin anew.
* Airflow puts its prefix, `airflow.`, before each name, and gives gauges no unit: it ends the name instead.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow.sdk.observability import stats

if TYPE_CHECKING:
    from smki.obligations.catalogue import Obligation
    from smki.publish.artefact import Publication
    from smki.store.manifest import Manifest
    from smki.watch.findings_ledger import KnownFinding


class Metric(StrEnum):
    """Names, without Airflow's prefix."""

    MARGIN = "smki.margin_s"
    BYTES_SENT = "smki.sent_bytes"
    BYTES_COPIED = "smki.copied_bytes"
    PAGES_NEW = "smki.new_pages"
    PAGES_TAKEN_OVER = "smki.taken_over_pages"
    FINDINGS = "smki.open_findings"
    LIST_AGE = "smki.list_age_s"


def measure_publication(publication: "Publication") -> None:
    """Of a file that was put on a site: what of it was sent, and what the server copied from another file."""
    artefact = publication.artefact
    of_file = {"obligation": artefact.obligation, "subject": artefact.subject, "site": publication.site}
    _set(Metric.BYTES_SENT, publication.sent_bytes, of_file)
    _set(Metric.BYTES_COPIED, publication.copied_bytes, of_file)


def measure_margin(obligation: "Obligation", margin: timedelta) -> None:
    """Of a dated file, now that it is on every site: the time that was left, negative where it is late."""
    _set(Metric.MARGIN, margin.total_seconds(), {"obligation": obligation.name, "subject": obligation.subject})


def measure_pages(manifest: "Manifest") -> None:
    """Of an extract that was put together: pages that were rendered, and those of the extract before."""
    of_file = {"obligation": manifest.obligation}
    _set(Metric.PAGES_NEW, len(manifest.pages) - manifest.taken_over, of_file)
    _set(Metric.PAGES_TAKEN_OVER, manifest.taken_over, of_file)


def measure_findings(findings: Iterable["KnownFinding"]) -> None:
    """How many are open, by kind; 0 is said, too."""
    from smki.watch.findings import Kind

    counts = Counter(known.finding.kind for known in findings)
    for kind in Kind:
        _set(Metric.FINDINGS, counts[kind], {"kind": kind.value})


def measure_lists(ages: Iterable[tuple["Obligation", timedelta]]) -> None:
    """How old each obligation's newest revocation list is."""
    for obligation, age in ages:
        _set(Metric.LIST_AGE, age.total_seconds(), {"obligation": obligation.name, "subject": obligation.subject})


def _set(metric: Metric, value: float, attributes: Mapping[str, str]) -> None:
    stats.gauge(metric.value, value, tags={name: said for name, said in attributes.items() if said})
