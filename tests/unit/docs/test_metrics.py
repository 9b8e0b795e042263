"""docs/metrics.md, the dashboard and the code name the same metrics."""

import json
import re
from typing import Any

import pytest

from smki.settings import PROJECT
from smki_airflow.signals.metrics import Metric

PAGE = (PROJECT / "docs" / "metrics.md").read_text(encoding="utf-8")
NAMES = {f"airflow.{metric}" for metric in Metric}
ROWS = {row[0]: row[1:] for row in re.findall(r"^\| `(airflow\.[\w.]+)` \| (\w+) \| (.+?) \|", PAGE, re.MULTILINE)}


@pytest.fixture(scope="module")
def dashboard() -> Any:
    return json.loads((PROJECT / "deploy" / "grafana" / "smki.json").read_text(encoding="utf-8"))


def test_page_has_a_row_for_each_metric_and_no_other() -> None:
    assert set(ROWS) == NAMES


def test_names_end_with_their_unit() -> None:
    for name, (unit, _) in ROWS.items():
        assert name.endswith({"seconds": "_s"}.get(unit, f"_{unit}")), name


def test_dashboard_shows_every_metric_and_no_other_by_attributes_that_it_has(dashboard: Any) -> None:
    attributes = {name.replace(".", "_"): set(re.findall(r"`(\w+)`", stated)) for name, (_, stated) in ROWS.items()}
    shown = set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            (metric,) = re.findall(r"\bairflow_\w+", target["expr"])
            (grouped,) = re.findall(r"by \((.+?)\)", target["expr"])
            shown.add(metric)
            assert set(grouped.split(", ")) <= attributes[metric], panel["title"]
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= set(grouped.split(", ")), panel["title"]
    assert shown == set(attributes)


def test_panels_have_room_and_one_data_source(dashboard: Any) -> None:
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
    sources = {target["datasource"]["uid"] for panel in panels for target in [panel, *panel["targets"]]}
    assert sources == {f"${{{variable['name']}}}" for variable in dashboard["templating"]["list"]}
