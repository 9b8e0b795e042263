"""What a failed task's log and the board say to do in Airflow, and which day a run is for."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from smki import errors
from smki.errors import ConfigurationError, SmkiError
from smki_airflow.run import run_of
from smki_airflow.signals.failures import advice_for, on_failure, on_retry


def context(**more: Any) -> dict[str, Any]:
    run = SimpleNamespace(dag_id="dag", run_id="run")
    return {"dag_run": run, "ti": SimpleNamespace(task_id="publish")} | more


@pytest.mark.parametrize(
    "kind", [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, SmkiError)]
)
def test_every_error_has_a_way_on_in_airflow_and_says_nothing_of_it_itself(kind: type[SmkiError]) -> None:
    assert advice_for(kind("item", "rule."))
    assert "clear" not in kind("item", "rule.").next_step


def test_an_error_of_somebody_else_has_none() -> None:
    assert advice_for(ValueError("x")) == advice_for(None) == ""


def test_a_refused_file_is_judged_again_only_after_it_is_made_again() -> None:
    assert "from its first task on" in advice_for(errors.GateRefusedError("file", "rule."))
    assert "`judge`" in advice_for(errors.GateRejectedError("file", "rule."))


@pytest.mark.parametrize("kind", [errors.MissingObjectError, errors.PlanError])
def test_a_run_whose_parts_are_gone_begins_anew(kind: type[SmkiError]) -> None:
    """Clearing the failed task alone gives the same answer."""
    assert "from its first task on" in advice_for(kind("segments/ab", "rule."))


def test_a_ledger_that_does_not_answer_fails_no_callback_and_the_advice_is_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SMKI_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    failed = context(exception=errors.SiteLoginError("site", "rule."))
    on_retry(failed)
    assert "in Airflow:" not in caplog.text
    on_failure(failed)
    assert "in Airflow: mend the cause, then clear the failed task." in caplog.text
    assert "error not kept" in caplog.text


def test_a_run_is_for_the_day_of_its_cut_off_or_for_the_one_that_was_asked_for() -> None:
    cut_off = datetime(2026, 3, 1, tzinfo=UTC)
    assert run_of(context(data_interval_end=cut_off)).business_date == date(2026, 3, 1)
    a_second_later = context(data_interval_end=cut_off + timedelta(seconds=1))  # as a person may begin it
    assert run_of(a_second_later).business_date == date(2026, 3, 1)
    asked = context(data_interval_end=cut_off, params={"any_day": "2026-02-25"})
    assert run_of(asked).business_date == date(2026, 2, 25)
    assert run_of(context(params={"any_day": "2026-02-25"})).business_date == date(2026, 2, 25)
    with pytest.raises(ConfigurationError):
        _ = run_of(context(params={"any_day": None})).business_date


def test_a_run_is_named_in_the_ledger_by_dag_and_run_whatever_its_id_holds() -> None:
    run = run_of({"dag_run": SimpleNamespace(dag_id="dag", run_id="manual__2026-03-01T00:00:00+00:00/..")})
    assert run.label == "dag/manual__2026-03-01T00:00:00+00:00/.."
