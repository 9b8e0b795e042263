"""Reads an extract for a copy, some megabytes at a time: what its records say, and what their certificates say.

The records are checked as `smki verify` checks them, but that no XSD is asked: a Party has none that is official. What
identifies a certificate (EUI-64, serial number, role, usage) is read from the certificate itself.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smki.annex_b.gzip_reader import GzipReader
from smki.annex_b.version import CURRENT, AnnexB, Field
from smki.certificates.model import CertificateFields
from smki.errors import DocumentRefusedError, VerificationError
from smki.party.refusals import Refusal, SyncRefusedError
from smki.processes import Progress
from smki.store.local_files import disk_error
from smki.verify.documents import Source, cut_document
from smki.verify.record_check import RecordChecker

_TRUE = ("true", "1")


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in a row; n of each."""

    statuses: list[str]
    manufacturing: list[bool]
    bodies: list[bytes]  # DER
    hashes: list[bytes]  # SHA-256 of each body
    serial_numbers: list[bytes]  # big-endian magnitudes
    eui64s: list[bytes | None]
    profiles: list[CertificateFields]  # what several have in common
    profile: list[int]  # place of each one's in `profiles`
    pages: list[int] | None = None  # number of the page of a full extract that each stands in; none: not known


class Reader:
    """Reads small documents: some records of a larger one, with what stands around all of them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._checkers: dict[AnnexB, RecordChecker] = {}

    def read(self, opening: bytes, records: bytes, closing: bytes, annex_b: AnnexB = CURRENT) -> Batch:
        """Raises SyncRefusedError."""
        if (checker := self._checkers.get(annex_b)) is None:
            checker = self._checkers[annex_b] = RecordChecker(annex_b, None)
        try:
            columns, fields, _ = checker.read(opening, records, closing, self._name)
        except VerificationError as error:
            raise SyncRefusedError(Refusal.CONTENT, error.item, error.rule) from error
        bodies = columns.bodies.to_pylist()
        return Batch(
            columns.texts[Field.STATUS].to_pylist(),
            [text in _TRUE for text in columns.texts[Field.MANUFACTURING].to_pylist()],
            bodies,
            [hashlib.sha256(body).digest() for body in bodies],
            fields.serial_numbers.to_pylist(),
            fields.eui64s.to_pylist(),
            fields.profiles,
            np.asarray(fields.profile).tolist(),
        )


def read_extract(file: Path, progress: Progress = lambda _done, _of: None) -> Iterator[Batch]:
    """The records of a .gz file. Raises SyncRefusedError for a file that is not right, StoreError.

    What stands before a fault is given first. `progress` hears bytes of the file.
    """
    reader = Reader(file.name)
    try:
        with file.open("rb") as stream:
            size = file.stat().st_size
            for piece in cut_document(Source(GzipReader(stream, file.name)), file.name):
                yield reader.read(piece.opening, piece.records, piece.closing, piece.annex_b)
                progress(stream.tell(), size)
    except DocumentRefusedError as error:
        raise SyncRefusedError(Refusal.DAMAGED, file.name, error.rule) from error
    except VerificationError as error:
        raise SyncRefusedError(Refusal.CONTENT, error.item, error.rule) from error
    except OSError as error:
        raise disk_error(file, error) from error
