"""Finds certificates and revocation lists in what people have: DER, PEM, PKCS #7 bundles, Annex B XML, gzip of each,
folders of all that.

* A file's content decides what it is, not its name.
* Everything that is offered comes out, as what is to be lodged or as a Refusal with its reason; one refusal stops
  nothing else.
* A record of an Annex B document is refused as `smki verify` refuses it, by the same check: its fields say what its
  certificate says.
* Of a file of any length only a part is in memory: a piece of a document, a block of a text, one DER value up to
  64 MiB.
"""

import codecs
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from smki.annex_b.gzip_reader import GzipReader
from smki.annex_b.reading import decode_body
from smki.annex_b.version import V1, Field
from smki.certificates.armour import MOST_BYTES, Block, read_blocks
from smki.certificates.bundle import is_bundle, read_bundle
from smki.certificates.model import Status
from smki.certificates.reading import MOST_BYTES as MOST_OF_A_CERTIFICATE
from smki.certificates.reading import holds_armoured_key, is_private_key, is_revocation_list
from smki.errors import CertificateRefusedError, DataError, DocumentRefusedError, PrivateKeyRefusedError
from smki.repository.offers import Lodgement, Refusal, RevocationListOffer
from smki.settings import INCLUDE
from smki.verify.documents import Piece, Source, cut_document, split_records
from smki.verify.faults import Fault, FaultError
from smki.verify.record_check import RecordChecker

Offer = Lodgement | Refusal | RevocationListOffer
SCHEMA = INCLUDE / "schema" / V1.schema
_KEPT = 1 << 16  # bytes that are kept with a refusal, at most
_GZIP = b"\x1f\x8b"
_BOM = codecs.BOM_UTF8
_WHITE_SPACE = b" \t\r\n\0"
_CERTIFICATES = ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE")
_LISTS = ("X509 CRL", "CRL")
_BUNDLES = ("PKCS7", "PKCS #7 SIGNED DATA", "CMS")


def offers_of(
    paths: Iterable[Path], status: Status | None = None, *, manufacturing: bool | None = None, schema: Path = SCHEMA
) -> Iterator[Offer]:
    """All that `paths` offer, folders in name order. `status` and `manufacturing` apply where a file has none.

    `schema` is the XSD of V1. Raises ConfigurationError for one that is none.
    """
    reader = _Reader(status, manufacturing, schema)
    for path in paths:
        if path.is_dir():
            yield from reader.read_folder(path)
        else:
            yield from reader.read_file(path)


@dataclass(frozen=True, slots=True)
class _Reader:
    status: Status | None  # where a file has none; None: not stated
    manufacturing: bool | None
    schema: Path

    def read_folder(self, folder: Path) -> Iterator[Offer]:
        unread: list[OSError] = []
        found: list[Path] = []
        for parent, folders, names in os.walk(folder, onerror=unread.append):
            found += (Path(parent, name) for name in names)
            found += (path for name in folders if (path := Path(parent, name)).is_symlink())  # which is not walked
        for error in unread:
            yield _unreadable(str(error.filename), error)
        for path in sorted(found):
            try:
                mode = path.stat().st_mode
            except OSError as error:
                yield _unreadable(_origin(path), error)
                continue
            if stat.S_ISREG(mode):
                yield from self.read_file(path)
            elif stat.S_ISDIR(mode):
                yield _refuse(b"", _origin(path), "it is a link to a folder, and a folder's links are not followed.")
            else:
                yield _refuse(b"", _origin(path), "it is neither a file nor a folder.")

    def read_file(self, file: Path) -> Iterator[Offer]:
        origin = _origin(file)
        try:
            with file.open("rb") as stream:
                yield from self._read_content(Source(stream), origin)
        except OSError as error:
            yield _unreadable(origin, error)

    def _read_content(
        self, source: Source, origin: str, packed: GzipReader | None = None, kept: bytes = b""
    ) -> Iterator[Offer]:
        """What a file holds or, where `packed` is its reader, what is packed in it; `kept` is then the file's head."""
        head = b""
        try:
            head = source.read(_KEPT)
            source.give_back(head)
            encoding = _utf_16(head)
            text = head.decode(encoding, "ignore").encode() if encoding else head
            if head.startswith(_GZIP) and packed is None:
                reader = GzipReader(cast("Any", source), origin)
                yield from self._read_content(Source(reader), origin, reader, head)
            elif text.removeprefix(_BOM).lstrip(_WHITE_SPACE).startswith(b"<"):
                yield from self._read_document(source, origin, packed)
            elif head[:1] == b"0" and head[1:2] >= b"\x80":  # a SEQUENCE of more than 127 bytes; no text has that
                yield from self._read_values(source, origin)
            else:
                yield from self._read_text(source, origin, head, encoding)
        except (FaultError, DocumentRefusedError) as error:
            rule = error.rule
            if packed is not None and packed.members > 1 and isinstance(error, FaultError):
                rule = _several_members(packed)
            if isinstance(error, FaultError) and error.fault is Fault.PRIVATE_KEY:
                yield Refusal(b"", origin, PrivateKeyRefusedError(origin, rule))
            else:
                yield Refusal(kept or head, origin, DocumentRefusedError(origin, rule))

    def _read_document(self, source: Source, origin: str, packed: GzipReader | None) -> Iterator[Offer]:
        document: _Document | None = None
        for piece in cut_document(source, origin):
            if document is None:
                document = _Document(origin, RecordChecker(piece.annex_b, self.schema))
                if piece.records:  # what is wrong before all of them is said once
                    document.checker.read(piece.opening, b"", piece.closing, origin)
            yield from document.read(piece)
        if packed is not None and packed.members > 1:
            raise FaultError(Fault.GZIP, origin, _several_members(packed))

    def _read_text(self, source: Source, origin: str, head: bytes, encoding: str) -> Iterator[Offer]:
        number = 0
        whole = _UntilError(source)
        stream = codecs.EncodedFile(cast("Any", whole), "utf-8", encoding, "replace") if encoding else whole
        for number, block in enumerate(read_blocks(cast("Any", stream)), start=1):
            yield from self._offers_of_block(block, f"{origin}, block {number}")
        if whole.error is not None:
            raise whole.error
        if number:
            return
        if len(head) < _KEPT:
            yield Lodgement(head, origin, self.status, self.manufacturing)  # which says what it lacks
        else:
            yield _refuse(head, origin, "it is neither DER, PEM, XML nor gzip.")

    def _offers_of_block(self, block: Block, origin: str) -> Iterator[Offer]:
        if holds_armoured_key(block.label.encode()) or (block.fault and is_private_key(block.content)):
            rule = "a repository holds certificates only, and this is a private key."
            yield Refusal(b"", origin, PrivateKeyRefusedError(origin, rule))
        elif block.fault:
            yield _refuse(block.content, origin, f"it is no whole block of PEM: {block.fault}.")
        elif block.label in _CERTIFICATES or block.label in _LISTS or block.label in _BUNDLES:
            der = block.content
            if block.label == "TRUSTED CERTIFICATE" and (length := _length_of_value(der)) is not None:
                der = der[:length]  # OpenSSL writes behind it what it is trusted for
            yield from self._offers_of_value(der, origin)
        else:
            yield _refuse(block.content, origin, f"it is a {block.label}.")

    def _read_values(self, source: Source, origin: str) -> Iterator[Offer]:
        """DER values one after the other, as `cat` puts them."""
        number = 0
        while head := source.read(_KEPT):
            number += 1
            place = origin if number == 1 else f"{origin}, value {number}"
            length = _length_of_value(head)
            if number > 1 and not head.strip(_WHITE_SPACE) and len(head) < _KEPT:
                return
            if length is None:
                if number > 1 or len(head) == _KEPT:
                    yield _refuse(head, place, "it is no DER.")
                else:
                    yield from self._offers_of_value(head, place)
                return
            if length > MOST_BYTES:
                yield _refuse(head, place, f"it has {length:,} bytes, and the limit is {MOST_BYTES:,}.")
                return
            source.give_back(head)
            yield from self._offers_of_value(source.read(length), place)

    def _offers_of_value(self, der: bytes, origin: str) -> Iterator[Offer]:
        if is_bundle(der):
            try:
                certificates, lists = read_bundle(der)
            except ValueError as error:
                yield _refuse(der, origin, f"it is a bundle of certificates (PKCS #7) that cannot be read ({error}).")
                return
            for number, body in enumerate(certificates, start=1):
                yield from self._offers_of_value(body, f"{origin}, certificate {number}")
            for number, body in enumerate(lists, start=1):
                yield RevocationListOffer(body, f"{origin}, list {number}")
        elif is_revocation_list(der):
            yield RevocationListOffer(der, origin)
        elif len(der) > MOST_OF_A_CERTIFICATE:
            yield _refuse(
                der, origin, f"it has {len(der):,} bytes, and a certificate may have {MOST_OF_A_CERTIFICATE:,}."
            )
        else:
            yield Lodgement(der, origin, self.status, self.manufacturing)


@dataclass(slots=True)
class _UntilError:
    """A source that ends where reading it fails, so that nothing that stands before is lost."""

    source: Source
    error: Exception | None = None

    def read(self, size: int) -> bytes:
        try:
            return self.source.read(size)
        except (DocumentRefusedError, OSError) as error:
            self.error = error
            return b""


@dataclass(slots=True)
class _Document:
    origin: str
    checker: RecordChecker
    records: int = field(default=0)  # so far

    def read(self, piece: Piece) -> Iterator[Lodgement | Refusal]:
        """The records of a piece. Raises FaultError for one without records that breaks a rule."""
        try:
            yield from self._read(piece, piece.records)
        except FaultError:
            if not piece.records:
                raise
            yield from self._read_apart(piece, split_records(piece.records, piece.annex_b))

    def _read(self, piece: Piece, records: bytes) -> list[Lodgement]:
        columns, _, _ = self.checker.read(piece.opening, records, piece.closing, self.origin)
        statuses, flags = (columns.texts[name].to_pylist() for name in (Field.STATUS, Field.MANUFACTURING))
        if unknown := set(statuses) - set(Status):  # another schema may allow more
            raise FaultError(Fault.FIELDS, self.origin, f"its status is none of {', '.join(Status)}: {unknown}.")
        first, self.records = self.records + 1, self.records + len(columns.bodies)
        return [
            Lodgement(body, f"{self.origin}, record {number}", Status(status), flag in ("true", "1"))
            for number, (body, status, flag) in enumerate(
                zip(columns.bodies.to_pylist(), statuses, flags, strict=True), start=first
            )
        ]

    def _read_apart(self, piece: Piece, records: list[bytes]) -> Iterator[Lodgement | Refusal]:
        """The same of a piece with something wrong in it: it is halved until that is a record of its own."""
        try:
            yield from self._read(piece, b"".join(records))
        except FaultError as fault:
            if len(records) > 1:
                half = len(records) // 2
                yield from self._read_apart(piece, records[:half])
                yield from self._read_apart(piece, records[half:])
            else:
                self.records += 1
                yield _refuse_record(records[0], f"{self.origin}, record {self.records}", fault, piece)


def _origin(file: Path) -> str:
    """A file's name need not be text."""
    return os.fsencode(file).decode("utf-8", "backslashreplace")


def _refuse_record(record: bytes, origin: str, fault: FaultError, piece: Piece) -> Refusal:
    if fault.fault is Fault.PRIVATE_KEY:
        return Refusal(b"", origin, PrivateKeyRefusedError(origin, fault.rule))
    name = re.escape(piece.annex_b.names[Field.BODY].encode())
    found = re.search(rb"<(?:[^<>/:\s]+:)?%b\s*>([^<]*)<" % name, record)
    kept = found[1] if found else record
    with suppress(ValueError):
        kept = decode_body(kept.decode())
    return _refuse(kept, origin, f"it breaks Annex B: {fault.rule}")


def _refuse(content: bytes, origin: str, rule: str) -> Refusal:
    error: DataError = CertificateRefusedError(
        origin,
        rule,
        "" if len(content) <= _KEPT else f"It is not lodged; its first {_KEPT:,} bytes and this reason are kept.",
        "offer certificates as DER, PEM or Annex B XML, revocation lists as DER or PEM.",
    )
    if is_private_key(content):
        error = PrivateKeyRefusedError(origin, "a repository holds certificates only, and this is a private key.")
        content = b""
    return Refusal(content[:_KEPT], origin, error)


def _unreadable(origin: str, error: OSError) -> Refusal:
    return _refuse(b"", origin, f"it cannot be read ({error.strerror}).")


def _several_members(packed: GzipReader) -> str:
    return f"it has {packed.members} gzip members, and a document is in one."


def _utf_16(head: bytes) -> str:
    """The encoding of a text in UTF-16; empty for any other."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    letters = head[:64]
    if len(letters) > 3 and not letters[1::2].strip(b"\0"):
        return "utf-16-le"
    return "utf-16-be" if len(letters) > 3 and not letters[::2].strip(b"\0") else ""


def _length_of_value(der: bytes) -> int | None:
    """How many bytes the SEQUENCE has that `der` begins with, by its own length; None for anything else."""
    if der[:1] != b"0" or len(der) < 2:
        return None
    if der[1] < 0x80:
        return 2 + der[1]
    size = der[1] & 0x7F
    if not 1 <= size <= 4 or len(der) < 2 + size:
        return None
    return 2 + size + int.from_bytes(der[2 : 2 + size])
