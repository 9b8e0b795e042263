"""The triggers behind event-driven DAGs: they ask the repository whether something waits to be published.

* What was seen before is kept in the database only: the question compares the repository with the ledger. So a trigger
  that starts anew misses nothing, and nothing that is published fires again.
* Something that waits fires once, and again only after hours, ever more of them: the run that it began retries by
  itself, and the DAG's daily run is the safety net. So a publication that fails does not fill Airflow with runs.
* What the gate holds still waits to be published, so it fires just as rarely; the runs that this begins are skipped.
* While the repository does not answer, nothing fires and the trigger goes on asking; what fired before it fell silent
  fires no sooner for that.
* An error that nobody foresaw fires, as rarely as what goes on waiting, so that a run fails, and is told, where people
  look. The trigger goes on asking.
"""

import asyncio
import logging
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import Asset, AssetWatcher
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from smki.errors import SmkiError
from smki_airflow.run import open_project

if TYPE_CHECKING:
    from smki.repository.project import Project

log = logging.getLogger(__name__)

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
    """Fires when something waits to be published."""

    asset: ClassVar[str]  # name of the asset whose event it is

    def __init__(self, poll_s: float = _POLL_S) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.poll_s = poll_s

    @abstractmethod
    def find_waiting(self, project: "Project") -> list[str]:
        """What waits, in words that change when it does; asked in a thread of its own."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What the triggerer makes it from again."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"poll_s": self.poll_s}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Asks until the triggerer ends."""
        of_waiting, of_unforeseen = Pacing(), Pacing()
        while True:
            try:
                waiting = await asyncio.to_thread(self._ask)
                fires = waiting is not None and of_waiting.fires(waiting, time.monotonic())
            except Exception as error:
                waiting = [f"no answer: {type(error).__name__}"]
                fires = of_unforeseen.fires(["no answer"], time.monotonic())
                log.warning("question failed trigger=%s fires=%s", type(self).__name__, fires, exc_info=error)
            if fires:
                yield TriggerEvent({"waiting": waiting})  # type: ignore[no-untyped-call]
            await asyncio.sleep(self.poll_s)

    def _ask(self) -> list[str] | None:
        """What waits; none where the repository does not say."""
        try:
            project = open_project()
            try:
                return self.find_waiting(project)
            finally:
                project.close()  # the triggerer polls: it keeps no pool open
        except SmkiError as error:
            log.warning("question unanswered trigger=%s error=%s", type(self).__name__, error)
            return None


class UnpublishedLists(RepositoryTrigger):
    """Fires for revocation lists that some site does not offer yet."""

    asset = "smki_lodged_revocation_list"

    def find_waiting(self, project: "Project") -> list[str]:
        from smki.kinds.revocation.file import unpublished_lists

        return unpublished_lists(project.engine, project.guide, project.settings.sites)


class UnpublishedAnchors(RepositoryTrigger):
    """Fires for files of the anchor set that some site does not offer yet.

    A set that breaks a rule waits, too: the run that it begins fails with what is wrong, where people look.
    """

    asset = "smki_changed_anchor_slots"

    def find_waiting(self, project: "Project") -> list[str]:
        from datetime import UTC, datetime

        from smki.errors import AnchorConfigurationError, AnchorSlotError, AnchorSlotsUnsetError
        from smki.kinds.anchors.production import content_digests, load_anchor_set
        from smki.kinds.anchors.set_ledger import unpublished

        try:
            anchor_set = load_anchor_set(project.engine, project.settings.anchor_slots, datetime.now(UTC))
        except AnchorSlotsUnsetError:
            return []
        except (AnchorSlotError, AnchorConfigurationError) as error:
            return [str(error)]
        digests = content_digests(anchor_set, project.guide)
        return unpublished(project.engine, digests, project.settings.sites)


def asset_of(trigger: RepositoryTrigger) -> Asset:
    """The asset that has an event when the trigger fires."""
    return Asset(trigger.asset, watchers=[AssetWatcher(name="unpublished", trigger=trigger)])
