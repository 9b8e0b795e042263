"""What is measured of files, so that one can be held against those published before it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from smki.gate.bounds import Bounds
from smki.gate.ledger import PastPublication, past_values
from smki.gate.model import Figure


@dataclass(frozen=True, slots=True)
class Measure:
    """Something that every file of a kind has a number of."""

    name: str  # in the ledger
    title: str  # as people read it
    unit: str = ""  # such as bytes; empty for a count

    def figure(
        self,
        value: float,
        past: Sequence[PastPublication] = (),
        bounds: Bounds | None = None,
        *,
        compared: bool = True,
    ) -> Figure:
        """A file's number beside its history; without bounds it is for the reader only."""
        bounds = bounds or Bounds(basis="")
        history = past_values(past, self.name)
        return Figure(self.name, self.title, self.unit, value, history, bounds.low, bounds.high, bounds.basis, compared)


RECORDS = Measure("records", "Certificates")
BYTES = Measure("bytes", "Size of the file", "bytes")
SILENCE = Measure("days_since_previous", "Since the publication before", "days")


def silence(business_date: date, past: Sequence[PastPublication], longest: timedelta) -> Figure:
    """How long nothing was published, beside how long that may be."""
    days = (business_date - past[-1].business_date).days if past else 0
    bounds = Bounds(None, longest.days, "quality.toml") if past else Bounds()
    return SILENCE.figure(days, past, bounds, compared=bool(past))
