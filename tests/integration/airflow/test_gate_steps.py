"""What becomes of judgements, on a real ledger: recorded, asked for once, carried on, kept and refused."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from smki.certificates.set_digest import SetDigest
from smki.errors import GateRefusedError, GateRejectedError
from smki.gate.ledger import Decision, find_gate_run, list_gate_runs
from smki.gate.model import CheckResult, Judgement, Severity
from smki.publish.artefact import Artefact
from smki_airflow.publishing.gate_steps import Judged, Outcome, decide, list_undecided, record_judgements, refuse_failed

NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)
NAME = "SMKIKR_ORGANISATION_CRL.crl.gz"
RELEASED = Decision(released=True, reason="ticket 4711", decided_by="ada", decided_at=NOW)
REJECTED = replace(RELEASED, released=False, reason="no reason")
Make = Callable[..., Judged]


@pytest.fixture
def judged(tmp_path: Path) -> Make:
    """A judged file in the staging area; `failed` names the checks that did not pass, "!" before those that FAIL."""

    def make(*failed: str, run: str = "dag/monday", name: str = NAME, sha256: str = "ab" * 32) -> Judged:
        file = tmp_path / "staging" / run / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"what was produced")
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
        judgement = Judgement(
            obligation="crl",
            name=name,
            business_date=NOW.date(),
            bytes=17,
            sha256=sha256,
            run=run,
            judged_at=NOW,
            suite_version="1",
            results=tuple(results),
            figures=(),
            seconds=0.1,
        )
        artefact = Artefact("crl", name, date(2026, 3, 1), None, 17, sha256, "cd" * 32, 20, 3, SetDigest(), run, NOW, 7)
        return Judged(judgement, artefact, file)

    return make


def outcome(engine: Engine, *files: Judged, waits: Callable[[str], bool] = lambda _run: False) -> Outcome:
    found = record_judgements(engine, files, waits)
    assert found is not None
    return found


def held(found: Outcome) -> list[int]:
    return [one["gate_run"] for one in found.as_json()["held"]]


def test_file_that_passes_may_be_published_and_nobody_is_asked(repository: Engine, judged: Make):
    found = outcome(repository, judged())
    stated = found.as_json()
    assert (stated["held"], [artefact["name"] for artefact in stated["artefacts"]]) == ([], [NAME])
    assert find_gate_run(repository, stated["shown"]).cleared


def test_of_several_files_the_first_that_did_not_pass_is_shown(repository: Engine, judged: Make):
    found = outcome(repository, judged(name="a"), judged("list.lost", name="b"), judged("list.lost", name="c"))
    assert find_gate_run(repository, found.shown).judgement.name == "b"


def test_of_a_set_nothing_is_published_if_one_file_fails_and_all_judgements_are_recorded(
    repository: Engine, judged: Make, tmp_path: Path
):
    found = outcome(repository, judged(name="a"), judged("!list.signature", name="b"))
    with pytest.raises(GateRefusedError) as refused:
        refuse_failed(tmp_path, found)
    assert refused.value.item == "b"
    assert all(figure in refused.value.rule for figure in ("gate run 2", "list.signature", "more", "less"))
    assert len(list_gate_runs(repository)) == 2
    (kept,) = (tmp_path / "quarantine").iterdir()
    assert {file.name for file in kept.iterdir()} == {"b", "judgement.json", "report.html"}


def test_staging_area_that_takes_nothing_more_changes_nothing_about_a_refusal(
    repository: Engine, judged: Make, tmp_path: Path
):
    (tmp_path / "quarantine").write_text("in the way")
    file = judged("!list.signature")
    with pytest.raises(GateRefusedError) as refused:
        refuse_failed(tmp_path, outcome(repository, file))
    assert str(file.file) in refused.value.consequence


def test_held_file_is_asked_for(repository: Engine, judged: Make):
    found = outcome(repository, judged("list.lost"))
    refuse_failed(Path("nowhere"), found)
    (asked,) = found.as_json()["held"]
    assert asked["name"] == NAME
    assert "list.lost" in asked["summary"]
    assert list_undecided(repository, held(found)) == held(found)


def test_release_stands_when_another_run_judges_the_same_bytes(repository: Engine, judged: Make):
    decide(repository, held(outcome(repository, judged("list.lost", "list.number"))), RELEASED)
    again = outcome(repository, judged("list.lost", run="dag/tuesday"))
    assert held(again) == []
    assert find_gate_run(repository, again.shown).decision == RELEASED


def test_release_stands_however_often_the_bytes_are_judged(repository: Engine, judged: Make):
    decide(repository, held(outcome(repository, judged("list.lost"))), RELEASED)
    for day in ("tuesday", "wednesday", "thursday"):
        again = outcome(repository, judged("list.lost", run=f"dag/{day}"))
        assert find_gate_run(repository, again.shown).decision == RELEASED


def test_what_trips_only_now_is_asked_for_although_the_bytes_were_released(repository: Engine, judged: Make):
    decide(repository, held(outcome(repository, judged("list.lost"))), RELEASED)
    again = outcome(repository, judged("list.lost", "list.number", run="dag/tuesday"))
    assert held(again) == [again.shown]


def test_other_bytes_are_asked_for_although_those_before_were_released(repository: Engine, judged: Make):
    decide(repository, held(outcome(repository, judged("list.lost"))), RELEASED)
    again = outcome(repository, judged("list.lost", run="dag/tuesday", sha256="ef" * 32))
    assert held(again) == [again.shown]


def test_rejection_stands_when_another_run_judges_the_same_bytes(repository: Engine, judged: Make):
    with pytest.raises(GateRejectedError) as rejected:
        decide(repository, held(outcome(repository, judged("list.lost"))), REJECTED)
    again = outcome(repository, judged("list.lost", run="dag/tuesday"))
    assert held(again) == [], "nobody is asked"
    assert all(figure in rejected.value.rule for figure in ("ada", "2026-03-01", "06:00", "gate run 1", "no reason"))
    with pytest.raises(GateRejectedError):
        refuse_failed(Path("nowhere"), again)


def test_run_whose_gate_is_cleared_asks_again(repository: Engine, judged: Make):
    with pytest.raises(GateRejectedError):
        decide(repository, held(outcome(repository, judged("list.lost"))), REJECTED)
    carried = outcome(repository, judged("list.lost", run="dag/tuesday"))
    cleared = outcome(repository, judged("list.lost", run="dag/tuesday"))
    assert held(carried) == []
    assert held(cleared) == [cleared.shown]


def test_bytes_that_wait_in_another_run_are_not_asked_for_and_nothing_is_recorded(repository: Engine, judged: Make):
    asked_of: list[str] = []

    def waits(run: str) -> bool:
        asked_of.append(run)
        return True

    first = outcome(repository, judged("list.lost"))
    assert record_judgements(repository, [judged("list.lost", run="dag/tuesday")], waits) is None
    assert asked_of == ["dag/monday"]
    assert [run.id for run in list_gate_runs(repository)] == [first.shown], "so the first one's release counts"


def test_bytes_whose_run_has_ended_undecided_are_asked_for(repository: Engine, judged: Make):
    outcome(repository, judged("list.lost"))
    again = outcome(repository, judged("list.lost", run="dag/tuesday"))
    assert held(again) == [again.shown]


def test_failed_file_is_recorded_whatever_waits_elsewhere(repository: Engine, judged: Make):
    outcome(repository, judged("list.lost", name="a"))
    files = judged("list.lost", name="a", run="dag/tuesday"), judged("!list.signature", name="b", run="dag/tuesday")
    assert len(outcome(repository, *files, waits=lambda _run: True).gate_runs) == 2


def test_decision_that_is_recorded_already_is_found_done(repository: Engine, judged: Make):
    numbers = held(outcome(repository, judged("list.lost")))
    decide(repository, numbers, RELEASED)
    assert list_undecided(repository, numbers) == []
    decide(repository, list_undecided(repository, numbers), replace(RELEASED, decided_by="bob"))
    assert find_gate_run(repository, numbers[0]).decision == RELEASED


def test_one_answer_decides_all_files_that_it_was_about(repository: Engine, judged: Make):
    numbers = held(outcome(repository, judged("list.lost", name="a"), judged("list.lost", name="b")))
    with pytest.raises(GateRejectedError) as rejected:
        decide(repository, numbers, REJECTED)
    assert rejected.value.item == "a"
    assert [find_gate_run(repository, number).decision for number in numbers] == [REJECTED, REJECTED]
