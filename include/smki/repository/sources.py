"""Finds certificates and revocation lists in what people have: DER, PEM with several in a file, Annex B XML and XML.gz,
folders of all that.

A file's content decides what it is, not its name. A file that is none of these becomes a Refusal, and the others are
offered all the same.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from asn1crypto import pem

from smki.annex_b.gzip_reader import read_gzip
from smki.annex_b.reading import Record, decode_body, read_records
from smki.certificates.model import Status
from smki.certificates.reading import holds_armoured_key, is_revocation_list
from smki.errors import CertificateRefusedError, DocumentRefusedError, PrivateKeyRefusedError
from smki.repository.lodging import Lodgement, Refusal, RevocationListOffer

Offer = Lodgement | Refusal | RevocationListOffer
_PEM = b"-----BEGIN "
_KEPT = 1 << 16  # bytes of an unreadable file that are kept with the refusal
_DER_LIMIT = 1 << 20  # no certificate comes near; a larger file is something else


def offers_of(paths: Iterable[Path], status: Status, *, manufacturing: bool = False) -> Iterator[Offer]:
    """All that `paths` offer, folders in name order. `status` and `manufacturing` apply where a file has none."""
    for path in paths:
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        for file in files:
            yield from _offers_of_file(file, status, manufacturing)


def _offers_of_file(file: Path, status: Status, manufacturing: bool) -> Iterator[Offer]:
    origin = os.fsencode(file).decode("utf-8", "backslashreplace")  # a file's name need not be text
    try:
        with file.open("rb") as stream:
            head = stream.read(1024)
            stream.seek(0)
            if head.startswith(b"\x1f\x8b"):
                yield from _offers_of_document(read_gzip(stream, origin), origin)
            elif head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
                yield from _offers_of_document(stream, origin)
            elif _PEM not in head and file.stat().st_size > _DER_LIMIT:
                raise _no_certificate(origin, f"it has {file.stat().st_size} bytes and is neither XML, gzip nor PEM.")
            elif _PEM in (content := stream.read()):  # text may stand before its first block
                yield from _offers_of_pem(content, origin, status, manufacturing)
            elif is_revocation_list(content):
                yield RevocationListOffer(content, origin)
            else:
                yield Lodgement(content, origin, status, manufacturing)
    except (DocumentRefusedError, CertificateRefusedError) as error:
        yield Refusal(head, origin, error)
    except OSError as error:
        yield Refusal(b"", origin, _no_certificate(origin, f"it cannot be read ({error.strerror})."))


def _offers_of_document(stream: BinaryIO, origin: str) -> Iterator[Lodgement | Refusal]:
    for number, record in enumerate(read_records(stream, origin), start=1):
        yield _offer_of_record(record, f"{origin}, record {number}")


def _offer_of_record(record: Record, origin: str) -> Lodgement | Refusal:
    body = (record.body or "").encode()
    try:
        body = decode_body(record.body or "")
        return Lodgement(body, origin, Status(record.status or ""), record.manufacturing in ("true", "1"))
    except ValueError as error:
        return Refusal(body[:_KEPT], origin, _no_certificate(origin, f"it breaks Annex B ({error})."))


def _offers_of_pem(text: bytes, file: str, status: Status, manufacturing: bool) -> Iterator[Offer]:
    """Each block of a PEM file; a private key among them is refused and the certificates beside it are not."""
    blocks = pem.unarmor(text, multiple=True)
    number = 0
    while True:
        number += 1
        origin = f"{file}, block {number}"
        try:
            kind, _, der = next(blocks)
        except StopIteration:
            return
        except ValueError as error:
            if holds_armoured_key(text):
                yield Refusal(
                    b"", origin, PrivateKeyRefusedError(origin, f"it is not PEM ({error}) with a private key.")
                )
            else:
                yield Refusal(text[:_KEPT], origin, _no_certificate(origin, f"it is not PEM ({error})."))
            return
        if holds_armoured_key(kind.encode()):
            rule = "a repository holds certificates only, and this is a private key."
            yield Refusal(b"", origin, PrivateKeyRefusedError(origin, rule))
        elif kind in ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"):
            yield Lodgement(der, origin, status, manufacturing)
        elif kind in ("X509 CRL", "CRL"):
            yield RevocationListOffer(der, origin)
        else:
            yield Refusal(der, origin, _no_certificate(origin, f"it is a {kind}."))


def _no_certificate(origin: str, rule: str) -> CertificateRefusedError:
    return CertificateRefusedError(
        origin,
        rule,
        "It is not lodged.",
        "offer certificates as DER, PEM or Annex B XML, revocation lists as DER or PEM.",
    )
