"""Device certificates in volume, for measurements: they look real to every parser, and NOBODY signed them.

* Each is marked: its issuer is OU "TEST VOLUME", CN "LOOK", which no authority is called.
* They are stamped by numpy from the profile of `pki.device_builder`. Serial numbers, EUI-64s, key points and signature
  values are made up: a point need not be on the curve, and no signature verifies.
* What a reader may rely on is right: DER, lengths, serial numbers of 16 bytes that are positive and unique, one EUI-64
  for a Device's two certificates (digital signature, then key agreement).
* As in reality a signature's r and s have 32 or 33 bytes as their top bit falls, and three makers have hardware types
  of three lengths: bodies have 415 to 421 bytes, mixed as they come.
* The same count, seed and batch give the same bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product

import numpy as np
import pyarrow as pa
from asn1crypto import algos
from asn1crypto import x509 as lenient_x509
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from numpy.typing import NDArray

from smki.certificates.model import Usage
from smki_demo.generator.pki import device_builder, hardware_module_name

ISSUER = x509.Name(
    [
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "TEST VOLUME"),
        x509.NameAttribute(NameOID.COMMON_NAME, "LOOK"),
    ]
)
_ISSUER_KEY_IDENTIFIER = b"\x4eNOBODY."
_VALID_FROM = datetime(2026, 1, 1, tzinfo=UTC)
_HARDWARE_TYPES = ("2.999.16384.1.1", "2.999.16384.16384.1", "2.999.16384.2097152.1.1")  # 7, 9 and 11 bytes
_USAGES = (Usage.DIGITAL_SIGNATURE, Usage.KEY_AGREEMENT)
_MAX_BATCH = 1 << 22  # keeps a batch below the 2 GiB that a BinaryArray can address

# Stand where a row's own values go. Each occurs once in a template.
_SERIAL = b"\x40SERIAL  NUMBER!"
_EUI64 = b"\x02EUI-64."
_R = b"R" * 32
_S = b"S" * 32

# Multiplying by an odd number permutes the numbers below a power of two: unique as a counter is, random to look at.
_SCATTER = np.uint64(0x9E37_79B9_7F4A_7C15)
_SERIAL_BITS = np.uint64((1 << 62) - 1)
_SERIAL_TOP = np.uint64(1 << 62)  # makes 16 bytes of it, and positive
_DEVICE_BITS = np.uint64((1 << 40) - 1)
_MAKER_TOP = np.uint64(0x02_4C4B << 40)  # locally administered: no maker owns it

Bytes = NDArray[np.uint8]  # (rows, bytes)


@dataclass(frozen=True, slots=True)
class _Template:
    """A certificate of one maker, usage and signature length, and where a row's own values go."""

    der: Bytes  # (length,)
    serial: slice
    eui64: slice
    point: slice
    r: slice
    s: slice

    def stamp(self, rows: "_Rows") -> pa.BinaryArray:
        """A certificate a row: the template with the row's values in it."""
        count, length = len(rows.serial), len(self.der)
        bodies = np.empty((count, length), dtype=np.uint8)
        bodies[:] = self.der
        bodies[:, self.serial] = rows.serial
        bodies[:, self.eui64] = rows.eui64
        bodies[:, self.point] = rows.noise[:, :64]
        bodies[:, self.r] = rows.noise[:, 64:96]
        bodies[:, self.s] = rows.noise[:, 96:128]
        offsets = np.arange(0, (count + 1) * length, length, dtype=np.int32)
        return pa.BinaryArray.from_buffers(pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(bodies)])


@dataclass(frozen=True, slots=True)
class _Rows:
    """What is a certificate's own."""

    serial: Bytes  # (rows, 16)
    eui64: Bytes  # (rows, 8)
    noise: Bytes  # (rows, 128 or more): public point, r, s

    def __getitem__(self, chosen: slice | NDArray[np.intp]) -> "_Rows":
        return _Rows(self.serial[chosen], self.eui64[chosen], self.noise[chosen])


def volume_bodies(count: int, *, seed: int, batch: int = 65_536) -> Iterator[pa.BinaryArray]:
    """`count` look-alike Device Certificates (DER), `batch` at a time; the last batch may be shorter.

    Raises ValueError when the batch is empty or larger than an array can address (4,194,304).
    """
    if not 0 < batch <= _MAX_BATCH:
        raise ValueError(f"a batch has 1 to {_MAX_BATCH} certificates, not {batch}")
    # in the order of `_template_of`
    templates = [_template(*parts) for parts in product(_HARDWARE_TYPES, _USAGES, (False, True), (False, True))]
    random = np.random.default_rng(seed)
    first_serial = random.integers(1 << 62, dtype=np.uint64)
    for start in range(0, count, batch):
        number = np.arange(start, min(start + batch, count), dtype=np.uint64)
        yield _batch(number, first_serial, random, templates)


def _batch(
    number: NDArray[np.uint64], first_serial: np.uint64, random: np.random.Generator, templates: list[_Template]
) -> pa.BinaryArray:
    device, usage = number // 2, number % 2
    noise = random.integers(1 << 64, size=(len(number), 17), dtype=np.uint64).view(np.uint8)
    unique = _big_endian((number + first_serial) * _SCATTER & _SERIAL_BITS | _SERIAL_TOP)
    serial = np.hstack([unique, noise[:, 128:]])
    eui64 = _big_endian(device * _SCATTER & _DEVICE_BITS | _MAKER_TOP)
    long_r, long_s = noise[:, 64] >= 0x80, noise[:, 96] >= 0x80
    for first in (64, 96):  # a zero byte may not lead a positive INTEGER whose next bit is clear
        np.maximum(noise[:, first], 1, out=noise[:, first])

    template_of = ((device * _SCATTER >> np.uint64(40)) % 3 * 8 + usage * 4 + long_r * 2 + long_s).astype(np.uint8)
    order = np.argsort(template_of, kind="stable")
    rows = _Rows(serial, eui64, noise)[order]
    ends = np.cumsum(np.bincount(template_of, minlength=len(templates)))
    starts = ends - np.diff(ends, prepend=0)
    groups = [template.stamp(rows[start:end]) for template, start, end in zip(templates, starts, ends, strict=True)]
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return pa.concat_arrays(groups).take(pa.array(place))


def _big_endian(words: NDArray[np.uint64]) -> Bytes:
    """Each word as a row of 8 bytes."""
    return words.astype(">u8").view(np.uint8).reshape(-1, 8)


def _template(hardware_type: str, usage: Usage, long_r: bool, long_s: bool) -> _Template:
    key = ec.derive_private_key(1, ec.SECP256R1())  # any key, but always the same
    builder = device_builder(
        ISSUER,
        _ISSUER_KEY_IDENTIFIER,
        key.public_key(),
        usage,
        hardware_module_name(hardware_type, _EUI64),
        _VALID_FROM,
    )
    signed = builder.serial_number(int.from_bytes(_SERIAL)).sign(key, SHA256())
    # The top bit makes DER put a zero byte before r or s; every row that uses the template has that bit, or has not.
    r, s = (bytes([0x80 | part[0]]) + part[1:] if long else part for part, long in ((_R, long_r), (_S, long_s)))
    signature = algos.DSASignature({"r": int.from_bytes(r), "s": int.from_bytes(s)}).dump()
    body: bytes = lenient_x509.Certificate(
        {
            "tbs_certificate": lenient_x509.TbsCertificate.load(signed.tbs_certificate_bytes),
            "signature_algorithm": {"algorithm": "sha256_ecdsa"},
            "signature_value": signature,
        }
    ).dump()
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]  # without the form byte
    serial, eui64, point_place, r_place, s_place = (_place(body, part) for part in (_SERIAL, _EUI64, point, r, s))
    return _Template(np.frombuffer(body, dtype=np.uint8), serial, eui64, point_place, r_place, s_place)


def _place(body: bytes, part: bytes) -> slice:
    start = body.index(part)
    return slice(start, start + len(part))
