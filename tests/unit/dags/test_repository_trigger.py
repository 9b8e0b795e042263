"""When the trigger of event-driven DAGs fires, and that it asks on whatever the repository does."""

import asyncio
from itertools import pairwise

import pytest
from airflow.sdk._shared.module_loading import import_string

from smki.errors import RepositoryUnavailableError
from smki.repository.project import Project
from smki_airflow.signals.repository_trigger import (
    Pacing,
    RepositoryTrigger,
    UnpublishedAnchors,
    UnpublishedLists,
    asset_of,
)


class Answered(RepositoryTrigger):
    """Is answered in turn."""

    def __init__(self, *answers: list[str] | Exception) -> None:
        super().__init__(poll_s=0)
        self.answers = list(answers)

    def find_waiting(self, _project: Project) -> list[str]:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def fired(trigger: RepositoryTrigger, count: int) -> list[list[str]]:
    """What its first events say."""
    events = trigger.run()
    return [(await anext(events)).payload["waiting"] for _ in range(count)]


def times_fired(waiting_at: dict[int, list[str]], until: int) -> list[int]:
    """Minutes at which it fires when asked every minute; what waits changes at the given ones."""
    pacing, waiting, fired = Pacing(), [], []
    for minute in range(until):
        waiting = waiting_at.get(minute, waiting)
        if pacing.fires(waiting, minute * 60):
            fired.append(minute)
    return fired


def test_nothing_new_never_fires():
    assert times_fired({0: []}, 10_000) == []


def test_something_new_fires_at_once_and_once():
    assert times_fired({5: ["CRL 1"], 8: []}, 10_000) == [5]


def test_a_newer_list_fires_although_the_older_one_still_waits():
    assert times_fired({5: ["CRL 1"], 6: ["CRL 1", "ARL 1"], 7: ["CRL 2", "ARL 1"]}, 60) == [5, 6, 7]


def test_what_is_published_in_part_does_not_fire_again():
    assert times_fired({5: ["CRL 1", "ARL 1"], 6: ["ARL 1"]}, 100) == [5]


def test_what_keeps_failing_fires_ever_more_rarely():
    fired = times_fired({0: ["CRL 1"]}, 7 * 24 * 60)
    pauses = [(later - earlier) / 60 for earlier, later in pairwise(fired)]
    assert pauses[:5] == [2, 4, 8, 16, 24]
    assert set(pauses[5:]) == {24}


def test_published_and_lodged_anew_fires_at_once_again():
    assert times_fired({0: ["CRL 1"], 1: [], 2: ["CRL 2"], 3: [], 4: ["CRL 3"]}, 60) == [0, 2, 4]


def test_trigger_goes_on_asking_when_the_repository_does_not_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SMKI_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")  # an engine connects when used
    trigger = Answered([], RepositoryUnavailableError("repository", "it is gone."), ["CRL 9 on primary"])
    assert asyncio.run(fired(trigger, 1)) == [["CRL 9 on primary"]]
    assert trigger.answers == []


def test_what_has_fired_does_not_fire_again_because_the_repository_was_away(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SMKI_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    away = RepositoryUnavailableError("repository", "it is gone.")
    trigger = Answered(["CRL 9"], away, ["CRL 9"], away, ["CRL 9"], ["CRL 9", "CRL 10"])
    assert asyncio.run(fired(trigger, 2)) == [["CRL 9"], ["CRL 9", "CRL 10"]]


def test_unforeseen_error_fires_once_and_the_trigger_goes_on_asking(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("SMKI_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    trigger = Answered(KeyError("a"), [], ZeroDivisionError("b"), KeyError("c"), ["CRL 9 on primary"])
    assert asyncio.run(fired(trigger, 2)) == [["no answer: KeyError"], ["CRL 9 on primary"]]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [
        KeyError,
        ZeroDivisionError,
        KeyError,
    ]


def test_nothing_waits_and_the_log_says_why_while_the_server_is_down(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("SMKI_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    assert UnpublishedLists()._ask() is None
    assert "question unanswered trigger=UnpublishedLists" in caplog.text


@pytest.mark.parametrize("kind", [UnpublishedLists, UnpublishedAnchors])
def test_trigger_is_made_again_from_what_it_says_of_itself(kind: type[RepositoryTrigger]):
    path, arguments = kind(poll_s=7).serialize()
    again = import_string(path)(**arguments)
    assert (type(again), again.serialize()) == (kind, (path, arguments))
    assert asset_of(again).name == kind.asset
