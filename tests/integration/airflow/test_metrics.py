"""The project's metrics, as a collector gets them from tasks of the real scheduler."""

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from builders import DAILY_DELTA
from otlp import Collector
from smki.obligations.catalogue import UserGuide
from smki.watch.facts import past_files
from smki.watch.findings import Kind
from smki.watch.findings_ledger import list_open_findings
from smki_airflow.names import AUDITOR
from smki_airflow.signals.metrics import Metric
from smki_demo.stack import Stack

from .conftest import END, DagRun, backfill, run_of, trigger, wait_until

pytestmark = pytest.mark.stack


def test_every_metric_arrives_with_its_attributes(
    stack: Stack, collector: Collector, engine: Engine, user_guide: UserGuide
) -> None:
    assert backfill(stack, DAILY_DELTA, END, END, timedelta(days=1)) == {END: "success"}
    run = DagRun(stack, DAILY_DELTA, run_of(stack, DAILY_DELTA, END))
    run.clear(only_failed=False)  # another test may have published another file since
    assert run.ends() == "success"
    assert trigger(stack, AUDITOR).ends() == "success"
    wait_until(lambda: all(collector.values(f"airflow.{metric}") for metric in Metric))

    def value(metric: Metric, **attributes: str) -> float:
        return collector.values(f"airflow.{metric}")[frozenset(attributes.items())]

    published = past_files(engine, user_guide.delta, 50)  # other tests', too, in an order of their own
    (of_end,) = [file for file in published if file.business_date == END]
    assert value(Metric.MARGIN, obligation="delta") == of_end.margin.total_seconds()
    of_delta = {"obligation": "delta", "site": "primary"}
    wait_until(lambda: value(Metric.BYTES_SENT, **of_delta) + value(Metric.BYTES_COPIED, **of_delta) == of_end.bytes)
    assert value(Metric.PAGES_NEW, obligation="delta") > 0
    assert value(Metric.PAGES_TAKEN_OVER, obligation="delta") == 0

    def kinds_are_those_of_the_ledger() -> bool:
        found = Counter(known.finding.kind for known in list_open_findings(engine))
        return all(value(Metric.FINDINGS, kind=kind.value) == found[kind] for kind in Kind)

    wait_until(kinds_are_those_of_the_ledger)  # a look that another test began may end just now
    ages = {name: value(Metric.LIST_AGE, obligation=name) for name in ("arl", "crl")}
    assert all(0 <= age < timedelta(days=2).total_seconds() for age in ages.values())
