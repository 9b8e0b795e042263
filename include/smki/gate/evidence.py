"""What an artefact is judged on: small tables of figures from its own bytes, beside what they have to be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path

import pandas as pd
from sqlalchemy import Engine

from smki.gate.bounds import Quality
from smki.gate.model import Figure
from smki.obligations.catalogue import Obligation, UserGuide

FAULT_TEXT = "fault_text"  # the column of SEGMENTS that says what is wrong with each
NEW = "–"  # in the place of the status before a change, where a certificate had none


class Table(StrEnum):
    """The tables; the value says what a row is."""

    FILE = "file"  # one row
    SEGMENTS = "segments"
    RECORDS = "records"
    ENTRIES = "entries"  # of a revocation list
    REGIONS = "certificates of both regions"


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it, for one artefact."""

    obligation: Obligation
    name: str  # of the file
    business_date: date
    bytes: int  # of the file
    sha256: str  # of the file, hex
    tables: Mapping[Table, pd.DataFrame]  # those that the obligation's suite looks at
    figures: tuple[Figure, ...] = ()  # breakers have bounds
    named: Mapping[str, Sequence[str]] = field(default_factory=dict)  # check id → what it concerns, where it is known
    unread: str = ""  # which parts could not be read, in words: of the whole file nothing can be said then


@dataclass(frozen=True, slots=True)
class Source:
    """Where facts about a file come from."""

    engine: Engine
    guide: UserGuide
    quality: Quality
    schema: Path  # XSD of Annex B
