"""How extracts are damaged: in their bytes, in their content, in what was read for them."""

import gzip
import re
from collections.abc import Callable
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from builders import assembled, self_made
from builders import name as named
from smki.annex_b.reading import pybase64
from smki.kinds.extracts.plan import ExtractPlan, plan_extract
from smki.kinds.extracts.production import produce
from smki.repository.database import libpq_url
from smki.store.manifest import Manifest

from .worlds import SEGMENT, TODAY, Extract, World

FULL, DELTA = "full", "delta"
Make = Callable[[World, str], Extract]
Damage = Callable[[bytes, Manifest], bytes]
Pieces = list[bytes]  # the XML: head, segments, tail
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
    """The XML of a whole extract, cut as its segments are."""
    assert extract.manifest is not None
    xml, pieces = gzip.decompress(extract.file.read_bytes()), []
    for segment in extract.manifest.segments:
        pieces.append(xml[: segment.xml_bytes])
        xml = xml[segment.xml_bytes :]
    return pieces


def in_bytes(damage: Damage) -> Make:
    """The file is damaged once it is made; its manifest stays as it was."""

    def make(world: World, obligation: str) -> Extract:
        extract = world.produce(obligation)
        assert extract.manifest is not None
        data = extract.file.read_bytes()
        damaged = damage(data, extract.manifest)
        assert damaged != data
        extract.file.write_bytes(damaged)
        return extract

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
        file, manifest = assembled(world.folder, damaged, extract.file.name)
        return replace(extract, file=file, manifest=manifest)

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
        plan = plan_extract(world.engine, world.guide.obligation(obligation), TODAY, segment_certificates=SEGMENT)
        damaged = damage(plan)
        assert damaged != plan
        file = world.folder / plan.name
        return Extract(obligation, file, produce(libpq_url(world.engine), damaged, file))

    return make
