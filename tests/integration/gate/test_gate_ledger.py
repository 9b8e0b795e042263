"""What the gate said and what people decided, in a real ledger."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Engine

from builders import day, made_artefact
from conftest import CONFIG
from smki.errors import PublicationRefusedError, UnknownGateRunError
from smki.gate.ledger import (
    Decision,
    PastPublication,
    check_cleared,
    find_gate_run,
    list_gate_runs,
    newest_gate_run,
    past_publications,
    past_values,
    record_decision,
    record_judgement,
    waiting_gate_runs,
)
from smki.gate.model import CheckResult, Figure, Judgement, Past, Severity, Verdict
from smki.obligations.user_guide import load_user_guide
from smki.publish.ledger import end_publication, record_artefact, record_publication
from smki.publish.recipe import PublishedFile

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
GUIDE = load_user_guide(CONFIG)
NAME = "SMKIKR_DELT_2025-06-08.xml.gz"
OBLIGATION, OTHER = "delta", "full"
PASS, HOLD, FAIL = Verdict.PASS, Verdict.HOLD, Verdict.FAIL
RELEASED = Decision(released=True, reason="a mass installation", decided_by="ann", decided_at=NOW)
REJECTED = Decision(released=False, reason="nobody knows why", decided_by="bob", decided_at=NOW + timedelta(hours=1))


def sha256_of(number: int) -> str:
    return f"{number:064x}"


def said(
    verdict: Verdict = PASS,
    number: int = 1,
    name: str = NAME,
    business_date: date | None = None,
    records: float = 10.0,
    obligation: str = OBLIGATION,
) -> Judgement:
    """A judgement of the file with that hash."""
    results = (
        CheckResult("all.name", "a name", Severity.FAIL, verdict is not FAIL, "this", "that", ("one", "other")),
        CheckResult("delta.volume", "a day", Severity.HOLD, verdict is PASS, "1 to 2", "3", (), "records"),
    )
    figures = (
        Figure("records", "Certificates", "", records, (Past(day(1), 9.0), Past(day(2), 11.5)), 1.0, None, "a basis"),
    )
    business_date = business_date or day(7)
    return Judgement(obligation, name, business_date, 99, sha256_of(number), "test", NOW, "abc", results, figures, 0.25)


def publish(engine: Engine, judgement: Judgement, *, site: str = "primary") -> None:
    """Puts a judged file onto a site, as the ledger has it."""
    artefact = made_artefact(judgement.obligation, judgement.name, judgement.business_date, judgement.sha256)
    published = PublishedFile(f"/{judgement.name}", judgement.bytes, judgement.sha256, already_there=False)
    with engine.begin() as connection:
        record_artefact(connection, artefact)
        record_publication(connection, site, judgement.name, published, "test")


def past(engine: Engine, *, until: date | None = None, sha256: str = "", count: int = 28) -> list[PastPublication]:
    with engine.connect() as connection:
        return past_publications(connection, GUIDE.obligation(OBLIGATION), until or day(60), sha256, count)


# -- judgements --


@pytest.mark.parametrize("verdict", Verdict)
def test_judgement_is_found_as_it_was_recorded(repository: Engine, verdict: Verdict) -> None:
    judgement = said(verdict)
    run = find_gate_run(repository, record_judgement(repository, judgement))
    assert (run.judgement, run.judgement.verdict, run.decision) == (judgement, verdict, None)


def test_every_run_is_kept_and_listed_newest_first(repository: Engine) -> None:
    numbers = [record_judgement(repository, said(verdict)) for verdict in (PASS, HOLD, FAIL, PASS)]
    assert [run.id for run in list_gate_runs(repository)] == numbers[::-1]
    assert [run.id for run in list_gate_runs(repository, limit=2)] == numbers[:1:-1]
    assert [run.id for run in list_gate_runs(repository, verdict=PASS)] == [numbers[3], numbers[0]]


def test_runs_of_one_obligation_are_listed(repository: Engine) -> None:
    record_judgement(repository, said())
    number = record_judgement(repository, said(obligation=OTHER))
    assert [run.id for run in list_gate_runs(repository, obligation=OTHER)] == [number]
    assert list_gate_runs(repository, obligation="arl") == []


def test_newest_run_is_found_by_name_and_by_bytes(repository: Engine) -> None:
    numbers = [record_judgement(repository, said(HOLD, number)) for number in (1, 2, 1)]
    newest = newest_gate_run(repository, NAME)
    assert newest is not None
    assert newest.id == numbers[2]
    of_bytes = newest_gate_run(repository, NAME, sha256_of(2))
    assert of_bytes is not None
    assert of_bytes.id == numbers[1]
    assert newest_gate_run(repository, NAME, sha256_of(9)) is None
    assert newest_gate_run(repository, "another") is None


def test_waiting_is_what_the_newest_run_over_a_name_holds_and_nobody_decided(repository: Engine) -> None:
    released, _, waits, _, passed = [
        record_judgement(repository, said(verdict, number, name))
        for verdict, number, name in (
            (HOLD, 1, "released"),
            (HOLD, 1, "waits"),
            (HOLD, 2, "waits"),
            (HOLD, 1, "passed later"),
            (PASS, 2, "passed later"),
        )
    ]
    record_judgement(repository, said(FAIL, 1, "failed"))
    record_decision(repository, released, RELEASED)
    assert [run.id for run in waiting_gate_runs(repository, NOW)] == [waits]
    assert waiting_gate_runs(repository, NOW + timedelta(seconds=1)) == []
    record_decision(repository, waits, REJECTED)
    assert waiting_gate_runs(repository, NOW) == []
    assert passed > waits


def test_run_that_does_not_exist_is_named(repository: Engine) -> None:
    with pytest.raises(UnknownGateRunError, match="gate run 7"):
        find_gate_run(repository, 7)
    with pytest.raises(UnknownGateRunError, match="gate run 7"):
        record_decision(repository, 7, RELEASED)


# -- decisions --


@pytest.mark.parametrize("decision", [RELEASED, REJECTED])
def test_held_artefact_is_decided_once(repository: Engine, decision: Decision) -> None:
    number = record_judgement(repository, said(HOLD))
    record_decision(repository, number, decision)
    assert find_gate_run(repository, number).decision == decision


def test_same_decision_again_changes_nothing(repository: Engine) -> None:
    number = record_judgement(repository, said(HOLD))
    record_decision(repository, number, RELEASED)
    record_decision(repository, number, replace(RELEASED, reason="another one", decided_by="eve"))
    assert find_gate_run(repository, number).decision == RELEASED


@pytest.mark.parametrize(
    ("first", "then", "words"), [(RELEASED, REJECTED, "ann released"), (REJECTED, RELEASED, "bob rejected")]
)
def test_other_decision_afterwards_is_refused(repository: Engine, first: Decision, then: Decision, words: str) -> None:
    number = record_judgement(repository, said(HOLD))
    record_decision(repository, number, first)
    with pytest.raises(UnknownGateRunError, match=f"{words} it before: {first.reason}"):
        record_decision(repository, number, then)
    assert find_gate_run(repository, number).decision == first


@pytest.mark.parametrize("verdict", [PASS, FAIL])
def test_only_what_is_held_is_decided(repository: Engine, verdict: Verdict) -> None:
    number = record_judgement(repository, said(verdict))
    with pytest.raises(UnknownGateRunError, match=f"its verdict is {verdict}"):
        record_decision(repository, number, RELEASED)


def test_of_people_who_decide_at_once_one_decides(repository: Engine) -> None:
    number = record_judgement(repository, said(HOLD))

    def decide(decision: Decision) -> bool:
        try:
            record_decision(repository, number, decision)
        except UnknownGateRunError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(decide, [RELEASED, REJECTED] * 8))
    decided = find_gate_run(repository, number).decision
    assert decided in (RELEASED, REJECTED)
    assert done == [decision == decided for decision in [RELEASED, REJECTED] * 8]


# -- what may be published --


def cleared(engine: Engine, number: int = 1, name: str = NAME) -> str:
    """Empty if it is cleared, else what the refusal says."""
    try:
        with engine.connect() as connection:
            check_cleared(connection, name, sha256_of(number))
    except PublicationRefusedError as error:
        return str(error)
    return ""


def test_what_nobody_judged_is_not_cleared(repository: Engine) -> None:
    assert "no gate run has judged it" in cleared(repository)


@pytest.mark.parametrize(
    ("verdict", "decision", "refusal"),
    [
        (PASS, None, ""),
        (HOLD, None, "says HOLD"),
        (HOLD, REJECTED, "says HOLD"),
        (HOLD, RELEASED, ""),
        (FAIL, None, "says FAIL"),
    ],
)
def test_what_passed_or_was_released_is_cleared(
    repository: Engine, verdict: Verdict, decision: Decision | None, refusal: str
) -> None:
    number = record_judgement(repository, said(verdict))
    if decision is not None:
        record_decision(repository, number, decision)
    said_of_it = cleared(repository)
    assert refusal in said_of_it
    assert bool(said_of_it) is bool(refusal)
    assert find_gate_run(repository, number).is_cleared is not bool(refusal)


@pytest.mark.parametrize(
    ("before", "newest", "is_cleared"), [(PASS, FAIL, False), (FAIL, PASS, True), (PASS, HOLD, False)]
)
def test_newest_run_counts(repository: Engine, before: Verdict, newest: Verdict, is_cleared: bool) -> None:
    record_judgement(repository, said(before))
    record_judgement(repository, said(newest))
    assert (cleared(repository) == "") is is_cleared


def test_release_does_not_outlive_a_later_hold(repository: Engine) -> None:
    record_decision(repository, record_judgement(repository, said(HOLD)), RELEASED)
    assert cleared(repository) == ""
    record_judgement(repository, said(HOLD))
    assert "says HOLD" in cleared(repository)


def test_other_bytes_and_other_names_are_judged_themselves(repository: Engine) -> None:
    record_judgement(repository, said(PASS, number=1))
    record_judgement(repository, said(FAIL, number=2))
    assert cleared(repository, number=1) == ""
    assert "says FAIL" in cleared(repository, number=2)
    assert "no gate run" in cleared(repository, number=3)
    assert "no gate run" in cleared(repository, number=1, name="SMKIKR_DELT_2025-06-09.xml.gz")


# -- history --


def days(found: list[PastPublication]) -> list[date]:
    return [one.business_date for one in found]


def published_on(engine: Engine, window: int, records: float = 10.0, **obligation: object) -> Judgement:
    judgement = replace(
        said(number=window, name=f"DELT_{day(window)}", business_date=day(window), records=records), **obligation
    )
    record_judgement(engine, judgement)
    publish(engine, judgement)
    return judgement


def test_history_is_that_of_published_artefacts_oldest_first(repository: Engine) -> None:
    record_judgement(repository, said(HOLD, number=1, name="held", business_date=day(1)))
    record_judgement(repository, said(FAIL, number=2, name="failed", business_date=day(2)))
    record_judgement(repository, said(PASS, number=3, name="passed and not published", business_date=day(3)))
    for window, records in ((6, 60.0), (5, 50.0), (8, 80.0)):
        published_on(repository, window, records)
    assert past(repository) == [PastPublication(day(w), {"records": 10.0 * w}) for w in (5, 6, 8)]


def test_newest_ones_count(repository: Engine) -> None:
    for window in range(1, 6):
        published_on(repository, window)
    assert days(past(repository, count=2)) == [day(4), day(5)]


def test_later_days_are_no_history(repository: Engine) -> None:
    for window in range(1, 6):
        published_on(repository, window)
    assert days(past(repository, until=day(3))) == [day(1), day(2), day(3)]


def test_nothing_is_its_own_history(repository: Engine) -> None:
    first, second = published_on(repository, 1), published_on(repository, 2)
    assert days(past(repository, sha256=second.sha256)) == [first.business_date]


def test_other_obligations_are_no_history(repository: Engine) -> None:
    published_on(repository, 1, obligation=OTHER)
    assert past(repository) == []


def test_other_bytes_under_a_published_name_are_no_history(repository: Engine) -> None:
    judgement = published_on(repository, 1, 10.0)
    record_judgement(repository, replace(judgement, sha256=sha256_of(99)))
    assert len(past(repository)) == 1


def test_of_several_runs_over_a_publication_the_newest_counts_once(repository: Engine) -> None:
    judgement = published_on(repository, 1, 10.0)
    publish(repository, judgement, site="dr")
    (figure,) = judgement.figures
    record_judgement(repository, replace(judgement, figures=(replace(figure, value=11.0),)))
    assert past(repository) == [PastPublication(day(1), {"records": 11.0})]


def test_publication_that_has_ended_stays_history(repository: Engine) -> None:
    judgement = published_on(repository, 1)
    with repository.begin() as connection:
        end_publication(connection, "primary", judgement.name, "test", "retention")
    assert days(past(repository)) == [day(1)]


def test_publications_without_a_figure_are_left_out_of_its_history() -> None:
    found = [
        PastPublication(day(1), {"records": 1.0}),
        PastPublication(day(2), {}),
        PastPublication(day(3), {"records": 3}),
    ]
    assert past_values(found, "records") == (Past(day(1), 1.0), Past(day(3), 3))
