"""How extracts are damaged: in their bytes, in their content, in what was read for them."""

import gzip
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from builders import XSD, assembled, store_in
from made_certificates import name as named
from made_certificates import self_made
from smki.annex_b.reading import pybase64
from smki.annex_b.version import V1
from smki.kinds.extracts.plan import ExtractPlan, plan_extract
from smki.kinds.extracts.production import produce
from smki.repository.database import libpq_url
from smki.store.manifest import Manifest
from smki.verify.basis import basis_of

from .worlds import PAGES, TODAY, Extract, World

FULL, DELTA = "full", "delta"
Make = Callable[[World, str], Extract]
Damage = Callable[[bytes, Manifest], bytes]
Pieces = list[bytes]  # the XML: head, pages, tail
RECORD = rb"<CertificateResponse>.*</CertificateResponse>\n"
BODY = rb"<CertificateBody>([^<]+)<"
ROOT, TAIL = b"<CertificateDataResponse>", b"</CertificateDataResponse>\n"
WITH_DTD = b'<!DOCTYPE CertificateDataResponse [<!ENTITY s "I">]>\n' + ROOT
_KEY = ec.derive_private_key(4711, ec.SECP256R1())
KEY_DER = _KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
KEY_PEM = _KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
_STRANGER = named("02", "OCA9", b"\x02STRANGE")
STRANGER = self_made(_STRANGER, named("07", "OCA9"), ca=False, usages=["digital_signature"])  # of an unknown issuer


def records_of(piece: bytes) -> list[bytes]:
    return re.findall(RECORD, piece)


def body_of(data: bytes) -> bytes:
    """The opening of a body's element, and these bytes in it."""
    return b"<CertificateBody>" + pybase64.b64encode(data) + b"<"


def pieces_of(extract: Extract) -> Pieces:
    """The XML of a whole extract, cut as its pages are."""
    manifest = extract.manifest
    assert manifest is not None
    lengths = [len(manifest.head.xml), *manifest.pages["xml_bytes"].tolist(), len(manifest.tail.xml)]
    return _cut(gzip.decompress(extract.file.read_bytes()), lengths)


def deflate_of(data: bytes, manifest: Manifest) -> tuple[bytes, Pieces, bytes]:
    """A file's header, the deflate of its pieces, and its end."""
    deflates = [len(manifest.head.deflate), *manifest.pages["deflate_bytes"].tolist(), len(manifest.tail.deflate)]
    header, *pieces, end = _cut(data, [len(manifest.header), *deflates, len(manifest.end)])
    return header, pieces, end


def _cut(data: bytes, lengths: Sequence[int]) -> list[bytes]:
    ends = list(accumulate(lengths))
    assert ends[-1] == len(data)
    return [data[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def in_bytes(damage: Damage) -> Make:
    """The file is damaged once it is made; its manifest stays as it was."""

    def make(world: World, obligation: str) -> Extract:
        extract = world.produce(obligation)
        assert extract.manifest is not None
        data = extract.file.read_bytes()
        damaged = damage(data, extract.manifest)
        assert damaged != data
        extract.file.write_bytes(damaged)
        return replace(extract, store=None)

    return make


def in_content(damage: Callable[[Pieces], Pieces]) -> Make:
    """The file is made of damaged XML: it is whole, and its manifest tells the truth about it."""
    return in_content_of(lambda pieces, _: damage(pieces))


def in_content_of(damage: Callable[[Pieces, World], Pieces]) -> Make:
    """The same, by what the world knows."""

    def make(world: World, obligation: str) -> Extract:
        extract = world.produce(obligation)
        pieces = pieces_of(extract)
        damaged = damage(list(pieces), world)
        assert damaged != pieces
        _, manifest = assembled(world.folder, damaged, extract.file.name)
        return world.write(obligation, manifest)

    return make


def in_records(pattern: bytes, new: bytes | Callable[[re.Match[bytes]], bytes]) -> Make:
    """The first match in the records is replaced."""

    def damage(pieces: Pieces) -> Pieces:
        for number, piece in enumerate(pieces[1:-1], 1):
            changed, found = re.subn(pattern, new, piece, count=1)
            if found:
                pieces[number] = changed
                return pieces
        raise AssertionError(pattern)

    return in_content(damage)


def in_head(pattern: bytes, new: bytes) -> Make:
    """The first match in the document's head is replaced."""
    return in_content(lambda pieces: [re.sub(pattern, new, pieces[0], count=1), *pieces[1:]])


def in_world(damage: Callable[[World], object]) -> Make:
    """The repository, or the ledger, is damaged, and the pipeline makes what it makes of that."""

    def make(world: World, obligation: str) -> Extract:
        damage(world)
        world.close(70)
        return world.produce(obligation)

    return make


def in_sql(statement: str, **values: object) -> Make:
    """The same by a statement behind the rules; `:last` is the last certificate that window 70 changed.

    That one is pending; those before it are in use.
    """

    def damage(world: World) -> None:
        last = world.column("SELECT max(certificate_id) FROM status_event WHERE window_seq = 70")[0]
        world.sql(statement, **values, **({"last": last} if ":last" in statement else {}))

    return in_world(damage)


def in_plan(damage: Callable[[ExtractPlan], ExtractPlan]) -> Make:
    """The pipeline reads by another plan."""

    def make(world: World, obligation: str) -> Extract:
        plan = plan_of(world, obligation)
        damaged = damage(plan)
        assert damaged != plan
        return world.write(obligation, produce(libpq_url(world.engine), damaged, store_in(world.folder))[1])

    return make


def plan_of(world: World, obligation: str) -> ExtractPlan:
    """Today's, from scratch."""
    terms = world.guide.obligation(obligation)
    return plan_extract(world.engine, terms, TODAY, basis=basis_of(V1, XSD), page_format=PAGES)
