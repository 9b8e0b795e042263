"""Checks the records of a piece of an Annex B document against the schema and against the certificates in them.

* The piece is well formed and valid by the schema; no DTD, no entities, nothing is fetched.
* Every body is Base64 of a certificate that can be read; private key material is nowhere.
* Subject, serial number, role and usage beside a body are what the certificate says, and the elements are those of its
  class.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lxml import etree
from numpy.typing import NDArray

from smki.certificates import annex_b
from smki.certificates.batch_reading import BatchReader, FieldBatch
from smki.certificates.model import CertificateClass, CertificateFields, eui64_text
from smki.certificates.set_digest import SetDigest
from smki.errors import ConfigurationError, PrivateKeyRefusedError
from smki.quality.faults import Fault, refused

Columns = dict[str, tuple[str, ...]]  # element name → its text in each record, "" where it is absent
_WORD = 8  # octets
Keys = NDArray[np.uint64]  # one number a record that equal issuer and serial number share


@dataclass(frozen=True, slots=True)
class RecordFigures:
    """What the n records of a piece are."""

    records: int  # n
    set_digest: SetDigest
    statuses: Counter[str]
    classes: Counter[str]
    issuers: Counter[bytes]  # Name, DER
    keys: Keys  # (n,) in record order
    hashes: bytes  # (n × 32) SHA-256 of each body, in record order
    rows: pa.Table | None  # (n) as `ROWS` says, where they are asked for


# A row a record, in order: what the gate holds against the repository where a file is small enough for it.
ROWS = pa.schema(
    {
        "status": pa.string(),
        "class": pa.string(),
        "issuer": pa.binary(),  # Name, DER
        "serial_number": pa.binary(),  # big-endian magnitude
        "role": pa.int16(),
        "sha256": pa.binary(),  # of the body
    }
)


def _plain_record() -> re.Pattern[str]:
    """A record without anything that a parser would have to interpret: no entity, comment, attribute or white space."""

    def element(name: str, text: str, *, optional: bool = False) -> str:
        return f"(?:<{name}>({text})</{name}>)" + "?" * optional

    return re.compile(
        f"<{annex_b.RECORD}>"
        + element(annex_b.SUBJECT_NAME, "[^<>&\n]+", optional=True)
        + element(annex_b.SUBJECT_ALT_NAME, "[^<>&\n]+", optional=True)
        + element(annex_b.SERIAL, "[0-9A-F]+")
        + element(annex_b.STATUS, "[A-Z]")
        + element(annex_b.BODY, "[A-Za-z0-9+/=]+")
        + element(annex_b.ROLE, "[0-9]+", optional=True)
        + element(annex_b.USAGE, "[A-Z]+", optional=True)
        + element(annex_b.MANUFACTURING, "[a-z0-9]+")
        + f"</{annex_b.RECORD}>\n"
    )


_PLAIN_RECORD = _plain_record()
_RECORD_END = f"</{annex_b.RECORD}>".encode()
_PRIVATE_KEY = b"PRIVATE KEY"
_COUNT = etree.XPath(f"count({annex_b.RECORD})")


class RecordChecker:
    """Checks pieces of documents; remembers the schema and the certificate profiles it has seen. One for a thread."""

    def __init__(self, schema: Path, *, keep_rows: bool = False) -> None:
        self._schema = schema
        self._keep_rows = keep_rows
        self._parser = _parser(schema)
        self._reader = BatchReader()

    def check(self, opening: bytes, records: bytes, closing: bytes, item: str) -> RecordFigures:
        """Checks a document that is cut into what stands before, in and after the records of this piece.

        `item` names the piece in errors. Raises VerificationError.
        """
        return self._check_columns(self._columns(opening, records, closing, item), item)

    def _columns(self, opening: bytes, records: bytes, closing: bytes, item: str) -> Columns:
        if any(map(_armoured_key, (opening, records, closing))):
            raise refused(Fault.PRIVATE_KEY, item, "it holds the words that begin a private key.")
        try:
            root = etree.fromstring(opening + records + closing, self._parser)
        except etree.XMLSyntaxError as error:
            self._parser = _parser(self._schema)  # a parser that has failed keeps its errors
            raise refused(Fault.XML, item, f"it breaks the schema {self._schema.name} or XML ({error.msg}).") from error
        if root.getroottree().docinfo.internalDTD is not None:
            raise refused(Fault.XML, item, "it has a document type declaration, and Annex B has none.")
        if root.tag != annex_b.ROOT:
            raise refused(Fault.XML, item, f"its root element is {root.tag}, and Annex B says {annex_b.ROOT}.")
        elements = int(cast("float", _COUNT(root)))
        if records.isascii() and _is_plain(opening, root):
            plain = _by_element(_PLAIN_RECORD.findall(records.decode("ascii")))
            # These are the records: they stand end to end, and the document has no others.
            if _plain_length(plain) == len(records) and len(plain[annex_b.BODY]) == elements:
                return plain
        if (opening + records + closing).count(_RECORD_END) > elements:
            raise refused(
                Fault.XML, item, "a comment or a CDATA section in it hides records from those who read it as XML."
            )
        # Absent elements as empty texts, as the plain reading has them: the schema allows no empty ones.
        return _by_element([tuple(t or "" for t in annex_b.record_of(e)) for e in root.iterchildren(annex_b.RECORD)])

    def _check_columns(self, columns: Columns, item: str) -> RecordFigures:
        bodies = [_decoded(text, item, row) for row, text in enumerate(columns[annex_b.BODY])]
        fields = self._reader.read(pa.array(bodies, pa.binary()))
        for row, error in sorted(fields.refused.items()):
            kind = Fault.PRIVATE_KEY if isinstance(error, PrivateKeyRefusedError) else Fault.BODY
            raise refused(kind, _record_item(item, row), f"its body is no certificate: {error.rule}")
        profiles = [fields.profiles[index] for index in fields.profile.tolist()]
        serials = fields.serial_numbers.to_pylist()
        self._compare(columns, profiles, serials, fields, item)
        hashes = [hashlib.sha256(body).digest() for body in bodies]
        return RecordFigures(
            records=len(bodies),
            set_digest=SetDigest.of_hashes(hashes),
            statuses=Counter(columns[annex_b.STATUS]),
            classes=Counter(str(profile.certificate_class) for profile in profiles),
            issuers=_issuers(fields),
            keys=_keys(fields),
            hashes=b"".join(hashes),
            rows=_rows(columns[annex_b.STATUS], profiles, fields, hashes) if self._keep_rows else None,
        )

    def _compare(
        self, columns: Columns, profiles: list[CertificateFields], serials: list[bytes], fields: FieldBatch, item: str
    ) -> None:
        subjects = [
            eui64_text(eui64) if eui64 is not None else profile.common_name or ""
            for eui64, profile in zip(fields.eui64s.to_pylist(), profiles, strict=True)
        ]
        is_device = [profile.certificate_class is CertificateClass.DEVICE for profile in profiles]
        certified = {
            annex_b.SUBJECT_NAME: ["" if device else name for name, device in zip(subjects, is_device, strict=True)],
            annex_b.SUBJECT_ALT_NAME: [
                name if device else "" for name, device in zip(subjects, is_device, strict=True)
            ],
            annex_b.SERIAL: [serial.hex().upper() for serial in serials],
            annex_b.ROLE: ["" if profile.role is None else str(profile.role) for profile in profiles],
            annex_b.USAGE: [profile.usage or "" for profile in profiles],
        }
        for name, expected in certified.items():
            if list(columns[name]) != expected:
                row = next(row for row, text in enumerate(columns[name]) if text != expected[row])
                raise refused(
                    Fault.FIELDS,
                    _record_item(item, row),
                    f"its {name} is {columns[name][row]!r} and its certificate says {expected[row]!r}.",
                )


def _armoured_key(octets: bytes) -> bool:
    """In letters of any width."""
    return _PRIVATE_KEY in octets or (b"\0" in octets and _PRIVATE_KEY in octets.replace(b"\0", b""))


def _parser(schema: Path) -> etree.XMLParser:
    try:
        compiled = etree.XMLSchema(etree.parse(schema))
    except (OSError, etree.XMLSyntaxError, etree.XMLSchemaParseError) as error:
        raise ConfigurationError(
            str(schema), f"it is no XML schema ({error}).", "Nothing can be verified.", "correct SMKI_ANNEX_B_XSD."
        ) from error
    return etree.XMLParser(  # without comments and instructions a text is one piece, as its reader sees it
        schema=compiled,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


def _is_plain(opening: bytes, root: etree._Element) -> bool:
    """Whether what follows the opening is read by a parser as it stands: no comment, CDATA section or processing
    instruction begins there, and octets are ASCII's letters.
    """
    declared = opening.startswith(b"<?xml ")
    return b"<!" not in opening and opening.count(b"<?") == declared and root.getroottree().docinfo.encoding == "UTF-8"


def _by_element(records: Sequence[Sequence[str]]) -> Columns:
    if not records:
        return dict.fromkeys(annex_b.RECORD_ELEMENTS, ())
    return dict(zip(annex_b.RECORD_ELEMENTS, zip(*records, strict=True), strict=True))


def _plain_length(columns: Columns) -> int:
    """Octets that plain records take in the document."""
    length = len(columns[annex_b.BODY]) * len(f"<{annex_b.RECORD}></{annex_b.RECORD}>\n")
    for name, texts in columns.items():
        present = len(texts) - texts.count("")
        length += sum(map(len, texts)) + present * len(f"<{name}></{name}>")
    return length


def _decoded(text: str, item: str, row: int) -> bytes:
    try:
        return annex_b.decode_body(text)
    except ValueError as error:
        raise refused(Fault.BODY, _record_item(item, row), f"its body is not Base64 on one line ({error}).") from error


def _rows(
    statuses: Sequence[str], profiles: list[CertificateFields], fields: FieldBatch, hashes: list[bytes]
) -> pa.Table:
    columns = [
        statuses,
        [str(profile.certificate_class) for profile in profiles],
        [profile.issuer for profile in profiles],
        fields.serial_numbers,
        [profile.role for profile in profiles],
        hashes,
    ]
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, ROWS, strict=True)], schema=ROWS)


def _issuers(fields: FieldBatch) -> Counter[bytes]:
    counts: Counter[bytes] = Counter()
    for profile, count in zip(
        fields.profiles, np.bincount(fields.profile, minlength=len(fields.profiles)), strict=True
    ):
        if count:
            counts[profile.issuer] += int(count)
    return counts


def _record_item(item: str, row: int) -> str:
    return f"{item}, record {row + 1}"


def _keys(fields: FieldBatch) -> Keys:
    """64 bits mixed from issuer and serial number: equal pairs share them, others hardly ever.

    Serial numbers are taken as words of eight octets, zero-padded; a word counts only where the number reaches it, and
    so does the length, so that the rest of the piece has no part in a key.
    """
    lengths = pc.binary_length(fields.serial_numbers).to_numpy(zero_copy_only=False)
    words = -(-int(lengths.max(initial=0)) // _WORD)
    octets = np.zeros((len(lengths), words * _WORD), dtype=np.uint8)
    values = np.frombuffer(fields.serial_numbers.buffers()[2] or b"", dtype=np.uint8, count=int(lengths.sum()))
    octets[np.arange(words * _WORD) < lengths[:, None]] = values
    salts = [int.from_bytes(hashlib.sha256(profile.issuer).digest()[:_WORD]) for profile in fields.profiles]
    keys: Keys = np.array([*salts, 0], dtype=np.uint64)[fields.profile] ^ lengths.astype(np.uint64)
    for number, word in enumerate(octets.view(np.uint64).T):
        reached = lengths > number * _WORD
        keys[reached] = _mixed(keys[reached] ^ word[reached])
    return keys


def _mixed(words: Keys) -> Keys:
    """Each word with its bits spread over all of it (the finaliser of splitmix64), one to one."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
