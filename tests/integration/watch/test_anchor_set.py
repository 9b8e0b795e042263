"""The files of the anchor set are judged, and go out, together."""

from datetime import timedelta

from sqlalchemy import Engine

from smki.gate.ledger import Decision, record_decision, record_judgement
from smki.gate.model import CheckResult, Judgement, Severity
from smki.obligations.catalogue import AnchorPart, UserGuide
from smki.watch.due import Due
from smki.watch.due_status import State, due_status
from smki.watch.facts import load_facts

from .conftest import DAY, NOON, TODAY

_HOURS = timedelta(hours=1)


def test_a_set_waits_for_what_is_held_of_it_until_a_person_or_a_later_try_of_the_run_decides(
    repository: Engine, user_guide: UserGuide
) -> None:
    table = user_guide.anchors()[AnchorPart.TABLE]
    many = CheckResult("anchors.changed", "a slip", Severity.HOLD, False, "at most 10 slots", "15 slots")

    def judge(hours: int, run: str, *results: CheckResult) -> int:
        numbers = {}
        for one in user_guide.anchors().values():
            broken = results if one == table else ()
            at = NOON + hours * _HOURS
            judged = Judgement(one.name, one.file, TODAY, 1, "aa", run, at, "v", broken, (), 0.1)
            numbers[one.name] = record_judgement(repository, judged)
        return numbers[table.name]

    def states(hours: int) -> dict[str, State]:
        facts = load_facts(repository, user_guide, ["primary"], TODAY)
        now = NOON + hours * _HOURS
        dues = [Due(one, TODAY + DAY) for one in user_guide.anchors().values()]
        return {one.obligation.name: due_status(one, facts, now).state for one in dues}

    names = [one.name for one in user_guide.anchors().values()]
    held = judge(0, "smki_anchor_slots/a", many)
    record_judgement(repository, Judgement("delta", "d", TODAY, 1, "aa", "smki_anchor_slots/a", NOON, "v", (), (), 0.1))
    assert states(30) == dict.fromkeys(names, State.HELD)
    record_decision(repository, held, Decision(False, "not yet", "Eve", NOON + 13 * _HOURS))
    assert states(30) == dict.fromkeys(names, State.LATE)

    judge(13, "smki_anchor_slots/b", many)
    assert states(14) == dict.fromkeys(names, State.HELD)
    judge(15, "smki_anchor_slots/b")  # the table is mended, and the run's gate cleared
    assert states(30) == dict.fromkeys(names, State.LATE), "nobody has to decide, and none is published"

    judge(16, "smki gate by eve", many)
    assert states(30) == dict.fromkeys(names, State.LATE) | {table.name: State.HELD}, "a command line has no set"
