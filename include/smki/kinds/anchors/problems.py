"""What is wrong with a configuration, said all at once: whoever mends it wants to do so in one go."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from smki.errors import AnchorConfigurationError, AnchorSlotError

_CONSEQUENCE = "No anchor-slot file or document was produced; what is published stays."


@dataclass(frozen=True, slots=True)
class Problem:
    """One rule that is broken."""

    place: str  # in the configuration, with the certificate where there is one
    rule: str
    next_step: str

    def __str__(self) -> str:
        return f"{self.place}: {self.rule} → {self.next_step}"


def configuration_error(file: str, problems: Iterable[Problem]) -> AnchorConfigurationError:
    """All problems of a configuration that cannot be read as one."""
    return AnchorConfigurationError(*_parts(file, list(problems), "correct the file; SMKI_ANCHOR_SLOTS names it."))


def slot_error(item: str, problems: Iterable[Problem]) -> AnchorSlotError:
    """All problems of certificates that do not fit."""
    return AnchorSlotError(*_parts(item, list(problems), "mend what is listed; `smki anchors check` shows every slot."))


def _parts(item: str, problems: Sequence[Problem], next_step: str) -> tuple[str, str, str, str]:
    if len(problems) == 1:
        (problem,) = problems
        return f"{item} {problem.place}", problem.rule, _CONSEQUENCE, problem.next_step
    listed = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(problems, start=1))
    return item, f"{len(problems)} rules are broken:\n{listed}\n", _CONSEQUENCE, next_step
