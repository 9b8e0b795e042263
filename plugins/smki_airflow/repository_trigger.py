"""The trigger behind event-driven DAGs: asks the repository whether something waits to be published.

* What was seen before stands in the database only: the question compares the repository with the ledger, so a trigger
  that starts anew misses nothing, and nothing that is published fires again.
* Something that waits fires once, and again only after hours, ever more of them: the run that it began retries by
  itself, and the DAG's daily run is the safety net. So a publication that fails does not fill Airflow with runs.
* What the gate holds still waits to be published, so it fires just as rarely; the runs that this begins are skipped.
* While the repository does not answer, nothing fires and the trigger goes on asking.
"""

import asyncio
import importlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from typing import Any, cast

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from smki.errors import SmkiError

log = logging.getLogger(__name__)

Question = Callable[[], list[str]]  # what waits, in words that change when it does; empty: nothing

_POLL_S = 5
_AGAIN_S = 2 * 3600  # longer than a run retries by itself (`defaults.DEFAULT_ARGS`)
_RARELY_S = 24 * 3600


@dataclass(slots=True)
class Pacing:
    """When something that waits fires; times are seconds of any steady clock."""

    _fired: set[str] = field(default_factory=set)
    _again_at: float = 0
    _pause: float = _AGAIN_S

    def fires(self, waiting: Collection[str], now: float) -> bool:
        """Whether to fire for what waits now. Something new fires at once, the same after 2, 4, 8 … 24 hours."""
        self._fired &= set(waiting)
        if not set(waiting) - self._fired:
            if not waiting or now < self._again_at:
                return False
            self._pause = min(2 * self._pause, _RARELY_S)
        else:
            self._pause = _AGAIN_S
        self._fired = set(waiting)
        self._again_at = now + self._pause
        return True


class RepositoryTrigger(BaseEventTrigger):
    """Fires when the question `module:function` says that something waits; it is asked in a thread of its own."""

    def __init__(self, question: str, poll_s: float = _POLL_S) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.question = question
        self.poll_s = poll_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What the triggerer makes it from again."""
        return "smki_airflow.repository_trigger.RepositoryTrigger", {"question": self.question, "poll_s": self.poll_s}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Asks until the triggerer ends."""
        pacing = Pacing()
        while True:
            waiting = await asyncio.to_thread(self._ask)
            if pacing.fires(waiting, time.monotonic()):
                yield TriggerEvent({"waiting": waiting})  # type: ignore[no-untyped-call]
            await asyncio.sleep(self.poll_s)

    def _ask(self) -> list[str]:
        module, _, function = self.question.partition(":")
        try:
            return cast("Question", getattr(importlib.import_module(module), function))()
        except SmkiError as error:
            log.warning("question unanswered question=%s error=%s", self.question, error)
            return []
