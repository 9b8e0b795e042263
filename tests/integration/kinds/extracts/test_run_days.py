"""For which days a run of an extract's DAG works."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from airflow.sdk.execution_time.context import set_current_context
from sqlalchemy import Engine

from builders import FULL_EXTRACT, cut_off, day, during, lodge_bodies, look_alikes
from smki.errors import ConfigurationError
from smki.repository.database import libpq_url
from smki.repository.windows import list_windows
from smki_airflow.tasks.extracts import close_window


def test_day_on_which_no_extract_is_due_closes_nothing_unless_it_was_asked_for(
    repository: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that a person begins has `now` as its logical date, unless they state another."""
    monkeypatch.setenv("SMKI_DATABASE_URL", libpq_url(repository))
    lodge_bodies(repository, look_alikes(3), during(2))
    begun = cut_off(day(3)) + timedelta(hours=14)

    def closed(any_day: str | None) -> int:
        run = SimpleNamespace(dag_id=FULL_EXTRACT, run_id="manual__1")
        context = {"dag_run": run, "params": {"any_day": any_day}, "data_interval_end": begun}
        with set_current_context(cast("Any", context)):
            return int(close_window.function("full"))

    with pytest.raises(ConfigurationError, match="no full is due on 2025-06-04"):
        closed(None)
    assert list_windows(repository) == []
    assert closed(day(3).isoformat()) == 2
