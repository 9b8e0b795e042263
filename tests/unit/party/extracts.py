"""Extracts as a Party gets them, whoever wrote them."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

from builders import document, record_of, zipped
from smki.party.copy import Applied, LocalCopy
from smki.party.extract_reading import read_extract
from smki.party.planning import OfferedFile


def full(folder: Path, day: date, bodies: list[bytes]) -> Path:
    return zipped(folder, document([record_of(body) for body in bodies]), f"SMKIKR_FULL_{day}.xml.gz")


def delta(folder: Path, day: date, statuses: Mapping[bytes, str]) -> Path:
    records = [record_of(body, status) for body, status in statuses.items()]
    return zipped(folder, document(records), f"SMKIKR_DELT_{day}.xml.gz")


def offered(file: Path) -> OfferedFile:
    found = OfferedFile.of(file.name, file.stat().st_size)
    assert found is not None
    return found


def apply(copy: LocalCopy, file: Path) -> Applied:
    return copy.apply(offered(file), "", read_extract(file))
