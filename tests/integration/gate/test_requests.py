"""What follows from judgements, on a real ledger: recorded, asked for once, carried on, kept and refused."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from builders import made_judgement, store_in
from smki.errors import GateRefusedError, GateRejectedError
from smki.gate.ledger import Decision, GateRun, find_gate_run, list_gate_runs
from smki.gate.model import CheckResult, Judgement, Severity
from smki.gate.quarantine import kept_files
from smki.gate.report.wording import hold_summary
from smki.gate.requests import (
    decide,
    list_undecided,
    record_judgements,
    refuse_failed,
    select_shown,
    select_undecided,
)

NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)
NAME = "SMKIKR_ORGANISATION_CRL.crl.gz"
RELEASED = Decision(released=True, reason="ticket 4711", decided_by="ada", decided_at=NOW)
REJECTED = replace(RELEASED, released=False, reason="no reason")


def judged(*failed: str, run: str = "dag/monday", name: str = NAME, sha256: str = "ab" * 32) -> Judgement:
    """Of a file; `failed` names the checks that did not pass, "!" before those that FAIL."""
    results = [
        CheckResult(
            id=check.removeprefix("!"),
            protects="It matters.",
            severity=Severity.FAIL if check.startswith("!") else Severity.HOLD,
            passed=check not in failed,
            expected="less",
            observed="more",
        )
        for check in ("list.lost", "list.number", "!list.signature")
    ]
    return made_judgement("crl", name, NOW.date(), sha256, run=run, judged_at=NOW, results=tuple(results))


def recorded(
    engine: Engine, *judgements: Judgement, waits: Callable[[str], bool] = lambda _run: False
) -> tuple[GateRun, ...]:
    found = record_judgements(engine, judgements, [""] * len(judgements), waits)
    assert found is not None
    return found


def held(gate_runs: tuple[GateRun, ...]) -> list[int]:
    return [run.id for run in select_undecided(gate_runs)]


def refuse(folder: Path, gate_runs: tuple[GateRun, ...]) -> None:
    """Of files that are made of manifests of their own."""
    refuse_failed(store_in(folder), gate_runs, [f"manifest of {run.judgement.name}" for run in gate_runs])


def test_file_that_passes_may_be_published_and_nobody_is_asked(repository: Engine):
    found = recorded(repository, judged())
    assert held(found) == []
    assert find_gate_run(repository, found[0].id).is_cleared


def test_of_several_files_the_first_that_did_not_pass_is_shown(repository: Engine):
    found = recorded(repository, judged(name="a"), judged("list.lost", name="b"), judged("list.lost", name="c"))
    assert select_shown(found).judgement.name == "b"


def test_of_a_set_nothing_is_published_if_one_file_fails_and_all_judgements_are_recorded(
    repository: Engine, tmp_path: Path
):
    found = recorded(repository, judged(name="a"), judged("!list.signature", name="b"))
    with pytest.raises(GateRefusedError) as refused:
        refuse(tmp_path, found)
    assert refused.value.item == "b"
    assert "list.signature" in refused.value.rule
    assert len(list_gate_runs(repository)) == 2
    assert list(kept_files(store_in(tmp_path))) == [{"name": "b", "sha256": "ab" * 32, "manifest": "manifest of b"}]
    assert "kept in the store as quarantine/b-abababababab" in refused.value.consequence


def test_store_that_takes_nothing_more_changes_nothing_about_a_refusal(repository: Engine, tmp_path: Path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "quarantine").write_text("in the way")
    with pytest.raises(GateRefusedError) as refused:
        refuse(tmp_path, recorded(repository, judged("!list.signature")))
    assert "list.signature" in refused.value.rule
    assert "could not be put into quarantine" in refused.value.consequence


def test_held_file_is_asked_for(repository: Engine, tmp_path: Path):
    found = recorded(repository, judged("list.lost"))
    refuse(tmp_path, found)
    (asked,) = select_undecided(found)
    assert asked.judgement.name == NAME
    assert "list.lost" in hold_summary(asked.judgement)
    assert list_undecided(repository, held(found)) == held(found)


def test_release_stands_when_another_run_judges_the_same_bytes(repository: Engine):
    decide(repository, held(recorded(repository, judged("list.lost", "list.number"))), RELEASED)
    again = recorded(repository, judged("list.lost", run="dag/tuesday"))
    assert held(again) == []
    assert find_gate_run(repository, again[0].id).decision == RELEASED


def test_release_stands_however_often_the_bytes_are_judged(repository: Engine):
    decide(repository, held(recorded(repository, judged("list.lost"))), RELEASED)
    for day in ("tuesday", "wednesday", "thursday"):
        again = recorded(repository, judged("list.lost", run=f"dag/{day}"))
        assert find_gate_run(repository, again[0].id).decision == RELEASED


def test_what_trips_only_now_is_asked_for_although_the_bytes_were_released(repository: Engine):
    decide(repository, held(recorded(repository, judged("list.lost"))), RELEASED)
    again = recorded(repository, judged("list.lost", "list.number", run="dag/tuesday"))
    assert held(again) == [again[0].id]


def test_other_bytes_are_asked_for_although_those_before_were_released(repository: Engine):
    decide(repository, held(recorded(repository, judged("list.lost"))), RELEASED)
    again = recorded(repository, judged("list.lost", run="dag/tuesday", sha256="ef" * 32))
    assert held(again) == [again[0].id]


def test_rejection_stands_when_another_run_judges_the_same_bytes(repository: Engine, tmp_path: Path):
    with pytest.raises(GateRejectedError, match=r"ada .*2026-03-01 at 06:00 UTC.* no reason"):
        decide(repository, held(recorded(repository, judged("list.lost"))), REJECTED)
    again = recorded(repository, judged("list.lost", run="dag/tuesday"))
    assert held(again) == [], "nobody is asked"
    with pytest.raises(GateRejectedError, match=NAME):
        refuse(tmp_path, again)


def test_run_whose_gate_is_cleared_asks_again(repository: Engine):
    with pytest.raises(GateRejectedError):
        decide(repository, held(recorded(repository, judged("list.lost"))), REJECTED)
    carried = recorded(repository, judged("list.lost", run="dag/tuesday"))
    cleared = recorded(repository, judged("list.lost", run="dag/tuesday"))
    assert held(carried) == []
    assert held(cleared) == [cleared[0].id]


def test_bytes_that_wait_in_another_run_are_not_asked_for_and_nothing_is_recorded(repository: Engine):
    asked_of: list[str] = []

    def waits(run: str) -> bool:
        asked_of.append(run)
        return True

    first = recorded(repository, judged("list.lost"))
    assert record_judgements(repository, [judged("list.lost", run="dag/tuesday")], [""], waits) is None
    assert asked_of == ["dag/monday"]
    assert [run.id for run in list_gate_runs(repository)] == [first[0].id], "so the first one's release counts"


def test_bytes_whose_run_has_ended_undecided_are_asked_for(repository: Engine):
    recorded(repository, judged("list.lost"))
    again = recorded(repository, judged("list.lost", run="dag/tuesday"))
    assert held(again) == [again[0].id]


def test_failed_file_is_recorded_whatever_waits_elsewhere(repository: Engine):
    recorded(repository, judged("list.lost", name="a"))
    files = judged("list.lost", name="a", run="dag/tuesday"), judged("!list.signature", name="b", run="dag/tuesday")
    assert len(recorded(repository, *files, waits=lambda _run: True)) == 2


def test_decision_that_is_recorded_already_is_found_done(repository: Engine):
    numbers = held(recorded(repository, judged("list.lost")))
    decide(repository, numbers, RELEASED)
    assert list_undecided(repository, numbers) == []
    decide(repository, list_undecided(repository, numbers), replace(RELEASED, decided_by="bob"))
    assert find_gate_run(repository, numbers[0]).decision == RELEASED


def test_one_answer_decides_all_files_that_it_was_about(repository: Engine):
    numbers = held(recorded(repository, judged("list.lost", name="a"), judged("list.lost", name="b")))
    with pytest.raises(GateRejectedError, match="a: ada rejected it"):
        decide(repository, numbers, REJECTED)
    assert [find_gate_run(repository, number).decision for number in numbers] == [REJECTED, REJECTED]
