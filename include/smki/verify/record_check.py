"""Checks the records of a piece of an Annex B document against the schema and against the certificates in them.

* The piece is well formed and valid by the schema; no DTD, no entities, nothing is fetched.
* Every body is Base64 of a certificate that can be read; private key material is nowhere.
* Subject, serial number, role and usage beside a body are what the certificate says, and the elements are those of its
  class.

A plain document (`plain_records`) has elements with texts and nothing else, so what a tree would say of it is what
stands in it. No tree is made of it: the parser says whether it is well formed and valid, the rest is read from its
bytes. Every other document, and every one that is refused, is read from its tree. So which way it was read decides
nothing about it.
"""

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lxml import etree
from numpy.typing import NDArray

from smki.annex_b.reading import decode_body, record_of, safe_parser
from smki.annex_b.version import AnnexB, Field, schema_path
from smki.certificates.batch_reading import BatchReader, FieldBatch
from smki.certificates.columns import put_end_to_end, spell
from smki.certificates.model import AUTHORITY, CertificateClass, CertificateFields
from smki.certificates.names import comparable_name
from smki.certificates.reading import holds_armoured_key
from smki.errors import PrivateKeyRefusedError
from smki.verify.basis import schema_error
from smki.verify.documents import plain_opening
from smki.verify.faults import Fault, FaultError
from smki.verify.plain_records import TEXTS, Columns, are_plain, read_plain
from smki.words import first_few

_WORD = 8  # bytes
_MOST_REPEATED = 300  # letters of a text that an error repeats
_MOST_LISTED = 10  # records that an error names
Keys = NDArray[np.uint64]  # one number a record that equal issuer and serial number share


@dataclass(frozen=True, slots=True)
class CheckedRecords:
    """What the n records of a piece are, in their order."""

    statuses: pa.StringArray  # (n,)
    manufacturing: NDArray[np.bool_]  # (n,) whether they have the flag
    fields: FieldBatch  # (n,) what their certificates say
    hashes: bytes  # (n × 32) SHA-256 of each body
    keys: Keys  # (n,)
    is_plain: bool  # nothing stands in the piece but records as the publisher writes them
    rows: pa.Table | None  # (n) as `ROWS` says, where they are asked for

    @property
    def records(self) -> int:
        """N."""
        return len(self.keys)


# A row a record, in order: what the gate holds against the repository where a file is small enough for it.
ROWS = pa.schema(
    {
        "status": pa.string(),
        "class": pa.string(),  # of an authority AUTHORITY
        "issuer": pa.binary(),  # Name, DER
        "serial_number": pa.binary(),  # big-endian magnitude
        "role": pa.int16(),
        "sha256": pa.binary(),  # of the body
    }
)


_HEX, _DASHED_HEX = (
    np.frombuffer("".join(spelling % byte for byte in range(256)).encode(), np.uint8).reshape(256, -1)
    for spelling in ("%02X", "-%02X")
)
_TEXT = pa.string()
_INTEGER = re.compile("[+-]?[0-9]{1,9}")


class RecordChecker:
    """Checks pieces of documents of one format; `schema` is the XSD of V1, None for whoever has none. It remembers the
    certificate profiles that it has seen. One for a thread.
    """

    def __init__(self, annex_b: AnnexB, schema: Path | None, *, keep_rows: bool = False) -> None:
        self.annex_b = annex_b
        self._plain_opening = plain_opening(annex_b)
        path = schema and schema_path(annex_b, schema)
        self._rule = f"the schema {path.name} or XML" if path else "XML"
        self._schema = _compile(path) if path else None
        self._keep_rows = keep_rows
        self._parser = _parser(self._schema)
        self._validator = _parser(self._schema, _Nothing())
        self._reader = BatchReader()

    def check(self, opening: bytes, records: bytes, closing: bytes, item: str) -> CheckedRecords:
        """Checks a document that is cut into what stands before, in and after the records of this piece.

        `item` names the piece in errors. Raises VerificationError.
        """
        columns, fields, is_plain = self.read(opening, records, closing, item)
        hashes = _hashes(columns.bodies)
        statuses = columns.texts[Field.STATUS]
        return CheckedRecords(
            statuses=statuses,
            manufacturing=np.asarray(pc.is_in(columns.texts[Field.MANUFACTURING], pa.array(["true", "1"], _TEXT))),
            fields=fields,
            hashes=b"".join(hashes),
            keys=_keys(fields),
            is_plain=is_plain,
            rows=_rows(statuses, fields, hashes) if self._keep_rows else None,
        )

    def read(self, opening: bytes, records: bytes, closing: bytes, item: str) -> tuple[Columns, FieldBatch, bool]:
        """Checks it the same way; what its n records say, what their certificates say, and whether they are plain.

        Raises VerificationError.
        """
        if any(map(holds_armoured_key, (opening, records, closing))):
            raise FaultError(Fault.PRIVATE_KEY, item, "it holds the words that begin a private key.")
        document = opening + records + closing
        is_framed = bool(self._plain_opening.fullmatch(opening)) and closing.strip() == self.annex_b.root_end
        plain = read_plain(records, self.annex_b) if is_framed and records else None
        if plain is not None and self._is_valid(document):
            with suppress(FaultError):
                return plain, self._read_certificates(plain, item), True
        columns = self._parsed(document, item)
        return columns, self._read_certificates(columns, item), is_framed and are_plain(records, self.annex_b)

    def _is_valid(self, document: bytes) -> bool:
        """Whether a document is well formed and valid by the schema; lxml raises the one and only logs the other."""
        try:
            etree.fromstring(document, self._validator)
            is_valid = len(self._validator.error_log) == 0
        except etree.XMLSyntaxError:
            is_valid = False
        if not is_valid:
            self._validator = _parser(self._schema, _Nothing())
        return is_valid

    def _parsed(self, document: bytes, item: str) -> Columns:
        """The columns of any document, by way of a tree; raises VerificationError for what is wrong with it."""
        try:
            root = etree.fromstring(document, self._parser)
        except etree.XMLSyntaxError as error:
            self._parser = _parser(self._schema)  # a parser that has failed keeps its errors
            raise FaultError(Fault.XML, item, f"it breaks {self._rule} ({_cut(error.msg)}).") from error
        if root.getroottree().docinfo.internalDTD is not None:
            raise FaultError(Fault.XML, item, "it has a document type declaration, and Annex B has none.")
        annex_b = self.annex_b
        if root.tag != annex_b.tag(annex_b.root):
            raise FaultError(
                Fault.XML, item, f"its root element is {root.tag}, and Annex B says {annex_b.tag(annex_b.root)}."
            )
        records = [record_of(element, annex_b) for element in root.iterchildren(annex_b.tag(annex_b.record))]
        if document.count(annex_b.record_end) > len(records):
            raise FaultError(
                Fault.XML, item, "a comment or a CDATA section in it hides records from those who read it as XML."
            )
        return Columns(  # the schema allows no empty texts where elements may be absent
            {field: pa.array([_value(field, getattr(record, field)) for record in records], _TEXT) for field in TEXTS},
            pa.array([_decode(record.body or "", item, row) for row, record in enumerate(records)], pa.binary()),
        )

    def _read_certificates(self, columns: Columns, item: str) -> FieldBatch:
        fields = self._reader.read(columns.bodies)
        for row, error in sorted(fields.refused.items()):
            kind = Fault.PRIVATE_KEY if isinstance(error, PrivateKeyRefusedError) else Fault.BODY
            raise FaultError(kind, _record_item(item, row), f"its body is no certificate: {error.rule}")
        self._compare(columns, fields, item)
        return fields

    def _compare(self, columns: Columns, fields: FieldBatch, item: str) -> None:
        """Raises FaultError where elements are not what their certificates say; it names the first, and how many."""
        for field, certified in _certified_texts(fields).items():
            stated = columns.texts[field]
            if not stated.equals(certified):
                row, *others = (int(place) + 1 for place in np.flatnonzero(pc.not_equal(stated, certified)))
                listed = first_few(others, _MOST_LISTED)
                also = f" {len(others):,} more records here differ the same way: {listed}." if others else ""
                raise FaultError(
                    Fault.FIELDS,
                    f"{item}, record {row}",
                    f"its {self.annex_b.names[field]} is {_cut(stated[row - 1].as_py())!r} and its certificate says "
                    f"{certified[row - 1].as_py()!r}.{also}",
                )


class _Nothing:
    """A parser's target that hears of nothing, so that no tree is built."""

    def close(self) -> None:
        """What a parser asks of any target."""


def _compile(schema: Path) -> etree.XMLSchema:
    try:
        return etree.XMLSchema(etree.parse(schema))
    except (OSError, etree.XMLSyntaxError, etree.XMLSchemaParseError) as error:
        raise schema_error(schema, f"it is no XML schema ({error}).") from error


def _parser(schema: etree.XMLSchema | None, target: _Nothing | None = None) -> etree.XMLParser:
    return safe_parser(etree.XMLParser, target=target, schema=schema)


def _certified_texts(fields: FieldBatch) -> dict[Field, pa.StringArray]:
    """The texts of records as the certificates say them, "" where there is no such element."""
    is_device = _by_profile(fields, lambda profile: profile.certificate_class is CertificateClass.DEVICE, pa.bool_())
    eui64 = pc.utf8_slice_codeunits(spell(fields.eui64s, _DASHED_HEX), 1)
    name = pc.if_else(fields.eui64s.is_null(), _by_profile(fields, lambda profile: profile.common_name or ""), eui64)
    return {
        Field.SUBJECT_NAME: pc.if_else(is_device, "", name),
        Field.SUBJECT_ALT_NAME: pc.if_else(is_device, name, ""),
        Field.SERIAL: spell(fields.serial_numbers, _HEX),
        Field.ROLE: _by_profile(fields, lambda profile: "" if profile.role is None else str(profile.role)),
        Field.USAGE: _by_profile(fields, lambda profile: profile.usage or ""),
    }


def _cut(text: str) -> str:
    """As much of a text as a reason repeats: a file may have megabytes of it."""
    return text if len(text) <= _MOST_REPEATED else f"{text[:_MOST_REPEATED]}…"


def _value(field: Field, text: str | None) -> str:
    """What a text stands for, "" where there is none: a schema may allow white space around it, and zeros and a sign
    before a number (XML Schema, 3.3.13). A name is as it stands.
    """
    if text is None or field is Field.SUBJECT_NAME:
        return text or ""
    value = text.strip(" \t\r\n")
    return str(int(value)) if field is Field.ROLE and _INTEGER.fullmatch(value) else value


def _decode(text: str, item: str, row: int) -> bytes:
    try:
        return decode_body(text)
    except ValueError as error:
        raise FaultError(Fault.BODY, _record_item(item, row), f"its body is not Base64 ({error}).") from error


def _by_profile(
    fields: FieldBatch, value: Callable[[CertificateFields], object], kind: pa.DataType = _TEXT
) -> pa.Array:
    """A value a record, of what its certificate has in common with others."""
    return pa.array(map(value, fields.profiles), kind).take(pa.array(fields.profile))


def _hashes(bodies: pa.BinaryArray) -> list[bytes]:
    """SHA-256 of each."""
    content, bounds = put_end_to_end(bodies)
    view, sha256 = content.data, hashlib.sha256
    return [sha256(view[start:end]).digest() for start, end in pairwise(bounds.tolist())]


def _rows(statuses: pa.StringArray, fields: FieldBatch, hashes: list[bytes]) -> pa.Table:
    columns = [
        statuses,
        _by_profile(fields, lambda profile: profile.certificate_class or AUTHORITY),
        _by_profile(fields, lambda profile: comparable_name(profile.issuer), pa.binary()),
        fields.serial_numbers,
        _by_profile(fields, lambda profile: profile.role, pa.int16()),
        pa.array(hashes, pa.binary()),
    ]
    return pa.table(columns, schema=ROWS)


def _record_item(item: str, row: int) -> str:
    return f"{item}, record {row + 1}"


def _keys(fields: FieldBatch) -> Keys:
    """64 bits mixed from issuer and serial number: equal pairs share them, others hardly ever.

    Serial numbers are taken as words of eight bytes, zero-padded; a word counts only where the number reaches it, and
    so does the length, so that the rest of the piece has no part in a key.
    """
    values, bounds = put_end_to_end(fields.serial_numbers)
    lengths = np.diff(bounds)
    longest = int(lengths.max(initial=0))
    words = -(-longest // _WORD)
    padded = np.zeros((len(lengths), words * _WORD), dtype=np.uint8)
    padded[np.arange(words * _WORD) < lengths[:, None]] = values
    salts = [int.from_bytes(comparable_name(profile.issuer)[:_WORD]) for profile in fields.profiles]
    lengths_spread = _mix(np.arange(longest + 1, dtype=np.uint64))  # or a length is taken for a part of a number
    keys: Keys = np.array([*salts, 0], dtype=np.uint64)[fields.profile] ^ lengths_spread[lengths]
    for number, word in enumerate(padded.view(np.uint64).T):
        reached = lengths > number * _WORD
        keys[reached] = _mix(keys[reached] ^ word[reached])
    return keys


def _mix(words: Keys) -> Keys:
    """Each word with its bits spread over all of it (the finaliser of splitmix64), one to one."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
