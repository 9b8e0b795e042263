"""Reads certificates in bulk: the same fields as `read_certificate`, at a hundred times its speed.

Certificates of one profile differ in a few places only: serial number, notBefore, EUI-64, key, key identifier and
signature. So the first one of a profile is read in full and becomes a template: which octets may vary, and which have
to be the same. A certificate whose other octets all equal the template's has the same structure, names and extensions,
and its own serial number and EUI-64 stand at the template's offsets. Whatever fits no template is read in full, so
nothing is ever guessed:

* a first certificate in which a part cannot be found exactly once, or which does not fit itself, makes no template;
* a serial number that is not positive and minimal, or a date that a calendar may refuse, is read in full.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from asn1crypto import x509
from numpy.typing import NDArray

from smki.certificates.model import CertificateClass, CertificateFields
from smki.certificates.reading import read_certificate
from smki.errors import CertificateRefusedError

REFUSED = -1
_TEMPLATES_PER_LENGTH = 64  # beyond it, certificates of that length are read one by one
_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.uint8)  # 29 February is read in full

Octets = NDArray[np.uint8]  # (certificates, octets)


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
    profile: int
    reference: NDArray[np.uint64]  # the first certificate, zero-padded to whole words
    fixed: NDArray[np.uint64]  # 1 bits where a certificate has to equal the reference
    serial: slice
    sign_octet: bool  # whether a zero octet stands before the serial number
    eui64: slice | None
    date: slice  # digits of notBefore


@dataclass(slots=True)
class _Group:
    rows: list[NDArray[np.intp]]
    serials: list[pa.BinaryArray]
    eui64s: list[pa.BinaryArray]


class BatchReader:
    """Reads batches and remembers templates between them; one for a thread."""

    def __init__(self, ca_class: CertificateClass | None = None) -> None:
        self._ca_class = ca_class
        self._profiles: list[CertificateFields] = []
        self._templates: dict[int, list[_Template]] = defaultdict(list)

    def read(self, bodies: pa.BinaryArray) -> FieldBatch:
        """The fields of `bodies` (DER, no nulls)."""
        profile = np.full(len(bodies), REFUSED, dtype=np.int32)
        refused: dict[int, CertificateRefusedError] = {}
        group = _Group([], [], [])
        lengths = pc.binary_length(bodies).to_numpy(zero_copy_only=False)
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            octets = _matrix(bodies, rows, int(length))
            self._read_equal_lengths(octets, int(length), rows, profile, refused, group)
        order = np.argsort(np.concatenate(group.rows)) if group.rows else np.empty(0, dtype=np.intp)
        return FieldBatch(
            profiles=list(self._profiles),
            profile=profile,
            serial_numbers=_in_order(group.serials, order),
            eui64s=_in_order(group.eui64s, order),
            refused=refused,
        )

    def _read_equal_lengths(  # one batch's state, filled in place
        self,
        octets: Octets,
        length: int,
        rows: NDArray[np.intp],
        profile: NDArray[np.int32],
        refused: dict[int, CertificateRefusedError],
        group: _Group,
    ) -> None:
        words = octets.view(np.uint64)
        left = np.arange(len(rows))

        def take(template: _Template, chosen: NDArray[np.intp]) -> None:
            profile[rows[chosen]] = template.profile
            group.rows.append(rows[chosen])
            group.serials.append(_binary(octets[chosen, template.serial]))
            group.eui64s.append(
                pa.nulls(len(chosen), pa.binary())
                if template.eui64 is None
                else _binary(octets[chosen, template.eui64])
            )

        for template in self._templates[length]:
            chosen = left[_fits(template, words[left], octets[left])]
            if len(chosen):
                take(template, chosen)
                left = np.setdiff1d(left, chosen, assume_unique=True)
        while len(left):
            row, left = left[0], left[1:]
            der = octets[row, :length].tobytes()
            try:
                fields = read_certificate(der, self._ca_class)
            except CertificateRefusedError as error:
                refused[int(rows[row])] = error
                group.rows.append(rows[[row]])
                group.serials.append(pa.array([b""], pa.binary()))
                group.eui64s.append(pa.nulls(1, pa.binary()))
                continue
            self._profiles.append(fields)
            profile[rows[row]] = len(self._profiles) - 1
            group.rows.append(rows[[row]])
            group.serials.append(pa.array([fields.serial_number], pa.binary()))
            group.eui64s.append(pa.array([fields.eui64], pa.binary()))
            new = _template(der, fields, len(self._profiles) - 1, words.shape[1])
            if new is None or not _fits(new, words[[row]], octets[[row]]).all():
                continue
            if len(self._templates[length]) < _TEMPLATES_PER_LENGTH:
                self._templates[length].append(new)
                chosen = left[_fits(new, words[left], octets[left])]
                take(new, chosen)
                left = np.setdiff1d(left, chosen, assume_unique=True)


def _matrix(bodies: pa.BinaryArray, rows: NDArray[np.intp], length: int) -> Octets:
    """The rows' octets, (rows, length rounded up to whole 8-octet words), zero-padded."""
    padded = np.zeros((len(rows), -(-max(length, 1) // 8) * 8), dtype=np.uint8)
    if length:
        values = pc.take(bodies, pa.array(rows)).buffers()[2]
        padded[:, :length] = np.frombuffer(values, dtype=np.uint8, count=len(rows) * length).reshape(-1, length)
    return padded


def _fits(template: _Template, words: NDArray[np.uint64], octets: Octets) -> NDArray[np.bool_]:
    """Which rows have the template's structure, a positive minimal serial number and a plain calendar date."""
    same = np.logical_not(((words ^ template.reference) & template.fixed).any(axis=1))
    first = octets[:, template.serial.start]
    positive = first >= 0x80 if template.sign_octet else (first > 0) & (first < 0x80)
    digits = octets[:, template.date] - np.uint8(ord("0"))
    month, day, hour, minute, second = (digits[:, i] * 10 + digits[:, i + 1] for i in range(-10, 0, 2))
    dated = (
        (digits <= 9).all(axis=1)
        & (month >= 1)
        & (month <= 12)
        & (day >= 1)
        & (day <= _DAYS[np.minimum(month, 12)])
        & (hour <= 23)
        & (minute <= 59)
        & (second <= 59)
    )
    return same & positive & dated


def _template(der: bytes, fields: CertificateFields, profile: int, words: int) -> _Template | None:
    """The template that a certificate makes, or None where a part of it stands in it more than once."""
    certificate = x509.Certificate.load(der)
    body = certificate["tbs_certificate"]
    not_before = body["validity"]["not_before"].chosen.contents
    serial = _place(der, body["serial_number"].dump(), fields.serial_number)
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
        profile=profile,
        reference=np.frombuffer(der.ljust(words * 8, b"\0"), dtype=np.uint64),
        fixed=fixed.view(np.uint64),
        serial=serial,
        sign_octet=der[serial.start - 1] == 0,
        eui64=eui64,
        date=date,
    )


def _place(der: bytes, around: bytes, part: bytes) -> slice | None:
    """Where `part` stands in `der`, if it does so exactly once within `around` and that exactly once within `der`."""
    if not part or der.count(around) != 1 or around.count(part) != 1:
        return None
    start = der.index(around) + around.index(part)
    return slice(start, start + len(part))


def _binary(octets: Octets) -> pa.BinaryArray:
    """An (n, width) matrix as n binary values."""
    rows, width = octets.shape
    offsets = np.arange(0, (rows + 1) * width, width, dtype=np.int32)
    return pa.BinaryArray.from_buffers(
        pa.binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(octets))]
    )


def _in_order(parts: list[pa.BinaryArray], order: NDArray[np.intp]) -> pa.BinaryArray:
    if not parts:
        return pa.array([], pa.binary())
    return pc.take(pa.concat_arrays(parts), pa.array(order))
