"""What a repository has to hold, as a plain list of what happened: no SQL, and no query of the project."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from builders import cut_off, day
from smki.certificates.model import Status
from smki.repository.status import LEGAL

Statuses = dict[bytes, str]  # by body (DER)


@dataclass(frozen=True)
class Happening:
    """A certificate got a status: by lodging, by a change, by its end."""

    body: bytes
    status: str
    at: datetime  # by whoever's clock
    window: int | None = None  # number of the day whose delta has it; none: no closed one


@dataclass
class Expected:
    """The repository; a window is numbered as its day (`builders.day`)."""

    ends: Mapping[bytes, datetime]  # notAfter of each certificate that ever is
    happened: list[Happening] = field(default_factory=list)  # in the order in which they took effect
    first: int = 1  # the first day that has a file of ours
    closed: int = 0  # the newest day whose window is closed

    def copy(self) -> "Expected":
        return replace(self, happened=list(self.happened))

    def now(self) -> Statuses:
        return {one.body: one.status for one in self.happened}

    def as_of(self, window: int) -> Statuses:
        return {one.body: one.status for one in self.happened if one.window is not None and one.window <= window}

    def changed_by(self, window: int) -> Statuses:
        state = self.as_of(window)
        return {one.body: state[one.body] for one in self.happened if one.window == window}

    def may_become(self, body: bytes, status: str) -> bool:
        return Status(status) in LEGAL[Status(self.now()[body])]

    def happens(self, bodies: Iterable[bytes], status: str, at: datetime) -> None:
        self.happened += [Happening(body, status, at) for body in bodies]

    def close(self) -> None:
        """Closes the next day's window: with all that waits and is of its time, and with what ends by its cut-off."""
        self.closed += 1
        cutoff = cut_off(day(self.closed))
        self._claim(lambda one: one.at <= cutoff)
        state = self.as_of(self.closed)
        ended = {body for body, status in state.items() if status in "PIN" and self.ends[body] <= cutoff}
        self._claim(lambda one: one.body in ended)
        now = self.now()
        expired = [Happening(body, "E", cutoff, self.closed) for body in now if body in ended and now[body] in "PIN"]
        self.happened += expired

    def takes_over(self, window: int, content: Statuses) -> None:
        """The window is what a published delta (or, of a new repository, a full extract) says, and nothing else."""
        self.closed = window
        cutoff = cut_off(day(window))
        self._claim(lambda one: one.at <= cutoff)
        self.happened += [Happening(body, status, cutoff, window) for body, status in content.items()]

    @property
    def is_orderly(self) -> bool:
        """Whether days follow each other in the order in which things happened: no clock was wrong."""
        days = [one.window or self.closed + 1 for one in self.happened]
        late = any(one.window is None and one.at > cut_off(day(self.closed + 1)) for one in self.happened)
        return days == sorted(days) and not late

    def _claim(self, is_of_window: Callable[[Happening], bool]) -> None:
        self.happened = [
            replace(one, window=self.closed) if one.window is None and is_of_window(one) else one
            for one in self.happened
        ]


def in_use(state: Statuses) -> set[bytes]:
    return {body for body, status in state.items() if status == "I"}
