"""What a kind hands to the gate about one file: rows of facts from its own bytes, beside what they have to be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date

import pandas as pd

from smki.gate.checks import Check, FileRow, Row
from smki.gate.model import Figure
from smki.obligations.catalogue import Obligation


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that one file is judged on."""

    obligation: Obligation
    name: str  # of the file
    business_date: date
    bytes: int  # of the file
    sha256: str  # of the file, hex
    checks: tuple[Check, ...]  # that it has to pass
    file: tuple[FileRow, ...]  # the parts of its one row
    # A field `item` names a row in reports; a field `alike` says how many it stands for, where there may be millions.
    rows: Mapping[type[Row], Sequence[Row]] = field(default_factory=dict)
    figures: tuple[Figure, ...] = ()  # breakers have bounds
    concerned: Mapping[str, Sequence[str]] = field(default_factory=dict)  # check id → what it concerns, if it is known
    remarks: tuple[str, ...] = ()  # what a reader has to know of a file that is right
    unread: str = ""  # which parts could not be read, in words: of the whole file nothing can be said then

    def table(self, name: str) -> pd.DataFrame:
        """The table that checks call by this name; the file's has its figures, too."""
        if name == FileRow.TABLE:
            values: dict[str, object] = {figure.name: figure.value for figure in self.figures}
            for part in self.file:
                values |= _values(part)
            return pd.DataFrame([values])
        row_type, rows = {one.TABLE: (one, rows) for one, rows in self.rows.items()}[name]
        return pd.DataFrame([_values(row) for row in rows], columns=[one.name for one in fields(row_type)])


def _values(row: Row) -> dict[str, object]:
    return {one.name: getattr(row, one.name) for one in fields(row)}
