"""Reads certificates in bulk: the same fields as `read_certificate`, at a hundred times its speed.

Certificates of one profile differ in a few places only: serial number, notBefore, EUI-64, key, key identifier and
signature. So the first one of a profile is read in full and becomes a template: which bytes may vary, and which have
to be the same. A certificate whose other bytes all equal the template's has the same structure, names and extensions,
and its own serial number and EUI-64 stand at the template's offsets. Whatever fits no template is read in full, so
nothing is ever guessed:

* a first certificate in which a part cannot be found exactly once, or which does not fit itself, makes no template;
* a serial number that is not positive and minimal, or a date that a calendar may refuse, is read in full.
"""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from asn1crypto import x509
from numpy.typing import NDArray

from smki.certificates.columns import ByteArray, put_in_order, to_column
from smki.certificates.model import CertificateClass, CertificateFields
from smki.certificates.reading import read_certificate
from smki.errors import CertificateRefusedError

REFUSED = -1
_TEMPLATES_PER_LENGTH = 64  # beyond it, and beyond the bytes of all, certificates are read one by one
_TEMPLATE_BYTES = 32 << 20  # a reader may live as long as a hostile file is read
_DATE_LETTERS = {"utc_time": 13, "general_time": 15}  # YYMMDDHHMMSSZ, YYYYMMDDHHMMSSZ; others are read in full
_FIRST, _LAST = np.array([1, 1, 0, 0, 0], dtype=np.uint8), np.array([12, 31, 23, 59, 59], dtype=np.uint8)
_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.uint8)  # 29 February is read in full


@dataclass(frozen=True, slots=True)
class FieldBatch:
    """What n certificates say, in the order given."""

    profiles: list[CertificateFields]  # what certificates have in common; serial_number and eui64 are the first one's
    profile: NDArray[np.int32]  # (n,) index into profiles, REFUSED where the bytes are no certificate
    serial_numbers: pa.BinaryArray  # (n,) big-endian magnitudes
    eui64s: pa.BinaryArray  # (n,) null where there is none
    refused: dict[int, CertificateRefusedError]  # by row


@dataclass(frozen=True, slots=True)
class _Template:
    fields: CertificateFields  # of the first certificate
    reference: NDArray[np.uint64]  # the first certificate, zero-padded to whole words
    fixed: NDArray[np.uint64]  # 1 bits where a certificate has to equal the reference
    serial: slice
    sign_byte: bool  # whether a zero byte stands before the serial number
    eui64: slice | None
    date: slice  # digits of notBefore


@dataclass(slots=True)
class _Reading:
    """A batch while it is read, in no particular order."""

    profile: NDArray[np.int32]
    profiles: list[CertificateFields] = field(default_factory=list)
    rows: list[NDArray[np.intp]] = field(default_factory=list)
    serials: list[pa.BinaryArray] = field(default_factory=list)
    eui64s: list[pa.BinaryArray] = field(default_factory=list)
    refused: dict[int, CertificateRefusedError] = field(default_factory=dict)

    def add(self, rows: NDArray[np.intp], serials: pa.BinaryArray, eui64s: pa.BinaryArray) -> None:
        self.rows.append(rows)
        self.serials.append(serials)
        self.eui64s.append(eui64s)

    def add_profile(self, rows: NDArray[np.intp], fields: CertificateFields) -> None:
        if not self.profiles or self.profiles[-1] is not fields:
            self.profiles.append(fields)
        self.profile[rows] = len(self.profiles) - 1


class BatchReader:
    """Reads batches and remembers templates between them; one for a thread."""

    def __init__(self) -> None:
        self._templates: dict[int, list[_Template]] = defaultdict(list)
        self._template_bytes = 0

    def read(self, bodies: pa.BinaryArray) -> FieldBatch:
        """The fields of `bodies` (DER, no nulls)."""
        reading = _Reading(np.full(len(bodies), REFUSED, dtype=np.int32))
        lengths = pc.binary_length(bodies).to_numpy(zero_copy_only=False)
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            self._read_equal_lengths(_matrix(bodies, rows, int(length)), int(length), rows, reading)
        return FieldBatch(
            profiles=reading.profiles,
            profile=reading.profile,
            serial_numbers=put_in_order(reading.serials, reading.rows, pa.binary()),
            eui64s=put_in_order(reading.eui64s, reading.rows, pa.binary()),
            refused=reading.refused,
        )

    def _read_equal_lengths(self, matrix: ByteArray, length: int, rows: NDArray[np.intp], reading: _Reading) -> None:
        words = matrix.view(np.uint64)
        templates = self._templates[length]
        left = np.ones(len(rows), dtype=np.bool_)

        def read_by(template: _Template) -> None:
            chosen = np.flatnonzero(left)
            chosen = chosen[_fits(template, words[chosen])]
            if not len(chosen):
                return
            left[chosen] = False
            reading.add_profile(rows[chosen], template.fields)
            reading.add(
                rows[chosen],
                to_column(matrix[chosen, template.serial], pa.binary()),
                pa.nulls(len(chosen), pa.binary())
                if template.eui64 is None
                else to_column(matrix[chosen, template.eui64], pa.binary()),
            )

        for template in templates:
            read_by(template)
        while left.any():
            row = int(left.argmax())
            left[row] = False
            new = self._read_one(matrix[row, :length].tobytes(), rows[[row]], words.shape[1], reading)
            if new is None:
                continue
            kept = self._template_bytes + len(new.fields.issuer) + new.reference.nbytes + new.fixed.nbytes
            if len(templates) < _TEMPLATES_PER_LENGTH and kept < _TEMPLATE_BYTES:
                self._template_bytes = kept
                templates.append(new)
                read_by(new)

    def _read_one(self, der: bytes, row: NDArray[np.intp], words: int, reading: _Reading) -> _Template | None:
        """Reads a certificate in full; the template that it makes, if it does."""
        try:
            fields = read_certificate(der)
        except CertificateRefusedError as error:
            reading.refused[int(row[0])] = error
            reading.add(row, pa.array([b""], pa.binary()), pa.nulls(1, pa.binary()))
            return None
        reading.add_profile(row, fields)
        reading.add(row, pa.array([fields.serial_number], pa.binary()), pa.array([fields.eui64], pa.binary()))
        template = _template(der, fields, words)
        return template if template is not None and _fits(template, template.reference[np.newaxis]).all() else None


def _matrix(bodies: pa.BinaryArray, rows: NDArray[np.intp], length: int) -> ByteArray:
    """The rows' bytes, (rows, length rounded up to whole 8-byte words), zero-padded."""
    padded = np.zeros((len(rows), -(-max(length, 1) // 8) * 8), dtype=np.uint8)
    if length:
        values = pc.take(bodies, pa.array(rows)).buffers()[2]
        padded[:, :length] = np.frombuffer(values, dtype=np.uint8, count=len(rows) * length).reshape(-1, length)
    return padded


def _fits(template: _Template, words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which rows have the template's structure, a positive minimal serial number and a plain calendar date."""
    matrix = words.view(np.uint8)
    same = np.logical_not(((words ^ template.reference) & template.fixed).any(axis=1))
    first = matrix[:, template.serial.start]
    positive = first >= 0x80 if template.sign_byte else (first > 0) & (first < 0x80)
    digits = matrix[:, template.date] - np.uint8(ord("0"))
    parts = (digits[:, 0::2] * 10 + digits[:, 1::2])[:, -5:]  # month, day, hour, minute, second
    dated = (
        (digits <= 9).all(axis=1)
        & ((parts >= _FIRST) & (parts <= _LAST)).all(axis=1)
        & (parts[:, 1] <= _DAYS[np.minimum(parts[:, 0], 12)])
    )
    return same & positive & dated


def _template(der: bytes, fields: CertificateFields, words: int) -> _Template | None:
    """The template that a certificate makes, or None where a part of it stands in it more than once."""
    certificate = x509.Certificate.load(der)
    body = certificate["tbs_certificate"]
    not_before = body["validity"]["not_before"].chosen.contents
    serial = _place(der, body["serial_number"].dump(), fields.serial_number)
    date = None
    if len(not_before) == _DATE_LETTERS[body["validity"]["not_before"].name]:
        date = _place(der, body["validity"].dump(), not_before[:-1])  # without the Z
    key = _place(
        der, body["subject_public_key_info"].dump(), body["subject_public_key_info"]["public_key"].contents[2:]
    )
    signature = _place(der, certificate["signature_value"].dump(), certificate["signature_value"].contents[1:])
    varying = [serial, date, key, signature]
    eui64 = None
    if fields.certificate_class is CertificateClass.DEVICE and fields.eui64 is not None:
        eui64 = _place(der, der, fields.eui64)
        varying.append(eui64)
    elif fields.eui64 is not None:
        eui64 = _place(der, der, fields.eui64)  # Organisations: part of the structure, as names are
    if certificate.key_identifier is not None:
        varying.append(_place(der, der, certificate.key_identifier))
    if any(place is None for place in varying) or (fields.eui64 is not None and eui64 is None):
        return None
    fixed = np.zeros(words * 8, dtype=np.uint8)
    fixed[: len(der)] = 0xFF
    for place in varying:
        fixed[place] = 0
    assert serial is not None  # noqa: S101  # told to mypy: all of `varying` is there
    assert date is not None  # noqa: S101
    return _Template(
        fields=fields,
        reference=np.frombuffer(der.ljust(words * 8, b"\0"), dtype=np.uint64),
        fixed=fixed.view(np.uint64),
        serial=serial,
        sign_byte=der[serial.start - 1] == 0,
        eui64=eui64,
        date=date,
    )


def _place(der: bytes, around: bytes, part: bytes) -> slice | None:
    """Where `part` stands in `der`, if it does so exactly once within `around` and that exactly once within `der`."""
    if not part or der.count(around) != 1 or around.count(part) != 1:
        return None
    start = der.index(around) + around.index(part)
    return slice(start, start + len(part))
