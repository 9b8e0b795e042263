"""The mutations of the anchor-slot files: the two regions' XML, and the document and table about them."""

import gzip
import re
from collections.abc import Callable, Iterator
from functools import partial

from builders import rendered, zipped
from smki.certificates.model import Role
from smki.gate.model import Judgement
from smki.kinds.anchors.slots import AnchorSet, Region

from .extract_files import BODY, KEY_DER, KEY_PEM, RECORD, ROOT, STRANGER, TAIL, WITH_DTD, body_of
from .mutation import Mutation
from .worlds import World

NORTH, SOUTH = "anchor_north", "anchor_central_south"
DOCUMENT, TABLE = "anchor_document", "anchor_table"
REGION_OF = {NORTH: Region.NORTH, SOUTH: Region.CENTRAL_SOUTH}
Judged = Callable[[World, str], Judgement]
Xml = Callable[[bytes], bytes]


def in_file(damage: Callable[[bytes], bytes]) -> Judged:
    """The finished file's bytes."""

    def judged(world: World, obligation: str) -> Judgement:
        anchor_set, file = world.anchors(), world.anchor_file(obligation)
        data = file.read_bytes()
        damaged = damage(data)
        assert damaged != data
        file.write_bytes(damaged)
        return world.judged_anchor(obligation, anchor_set)

    return judged


def in_xml(damage: Xml) -> Judged:
    """What is compressed; the file is whole."""
    return in_xml_of(lambda xml, *_: damage(xml))


def in_xml_of(damage: Callable[[bytes, AnchorSet, str], bytes]) -> Judged:
    def judged(world: World, obligation: str) -> Judgement:
        anchor_set, file = world.anchors(), world.anchor_file(obligation)
        xml = gzip.decompress(file.read_bytes())
        damaged = damage(xml, anchor_set, obligation)
        assert damaged != xml
        zipped(file.parent, damaged, file.name)
        return world.judged_anchor(obligation, anchor_set)

    return judged


def replaced(pattern: bytes, new: bytes | Callable[[re.Match[bytes]], bytes]) -> Judged:
    return in_xml(lambda xml: re.sub(pattern, new, xml, count=1))


def with_body(data: bytes) -> Judged:
    return replaced(BODY, body_of(data))


def with_more(*bodies: bytes) -> Xml:
    return lambda xml: xml.replace(TAIL, rendered(bodies) + TAIL)


def own(anchor_set: AnchorSet, region: Region) -> bytes:
    """The region's WAN provider's certificate."""
    (found,) = set(anchor_set.certificates(region)) - set(anchor_set.certificates(_other(region)))
    return found.body


def _other(region: Region) -> Region:
    (other,) = set(Region) - {region}
    return other


def without_own(xml: bytes, anchor_set: AnchorSet, obligation: str) -> bytes:
    return xml.replace(rendered([own(anchor_set, REGION_OF[obligation])]), b"")


def with_the_others_own(xml: bytes, anchor_set: AnchorSet, obligation: str) -> bytes:
    region = REGION_OF[obligation]
    return xml.replace(rendered([own(anchor_set, region)]), rendered([own(anchor_set, _other(region))]))


def swapped(xml: bytes) -> bytes:
    first, second = re.findall(BODY, xml)[:2]
    return xml.replace(first, b"*").replace(second, first).replace(b"*", second)


def flag_turned(match: re.Match[bytes]) -> bytes:
    return b"Flag>%s<" % (b"false" if match[1] == b"true" else b"true")


def of_role(anchor_set: AnchorSet, role: Role) -> bytes:
    return next(one.body for one in anchor_set.certificates() if one.role == role)


def without_supplier(xml: bytes, anchor_set: AnchorSet, _: str) -> bytes:
    return xml.replace(rendered([of_role(anchor_set, Role.SUPPLIER)]), b"")


def renamed(world: World, obligation: str) -> Judgement:
    anchor_set, file = world.anchors(), world.anchor_file(obligation)
    return world.judged_anchor(obligation, anchor_set, file.rename(file.with_name(f"NEW_{file.name}")))


def without_a_slot(world: World, obligation: str) -> Judgement:
    bodies = world.column("SELECT body FROM certificate WHERE role = :role", role=Role.XML_SIGNING)
    return in_xml(with_more(bodies[0]))(world, obligation)


# -- document and table --


def fingerprint_gone(data: bytes) -> bytes:
    plain = data.replace(b"<wbr>", b"")
    fingerprints = re.findall(rb"\b[0-9a-f]{64}\b", plain)
    return plain.replace(fingerprints[len(fingerprints) // 2], b"0" * 64)


def fingerprints_swapped(world: World, obligation: str) -> Judgement:
    """Two certificates are in each other's slots."""
    first, second = (one.sha256.encode() for one in world.anchors().certificates()[1:3])

    def damage(data: bytes) -> bytes:
        plain = data.replace(b"<wbr>", b"")
        return plain.replace(first, b"*").replace(second, first).replace(b"*", second)

    return in_file(damage)(world, obligation)


def about_other_files(damage: Callable[[bytes, AnchorSet, str], bytes]) -> Judged:
    """The regions' files were made again, the document about them was not."""

    def judged(world: World, obligation: str) -> Judgement:
        anchor_set = world.anchors()
        for region in REGION_OF:
            file = world.anchor_file(region)
            zipped(file.parent, damage(gzip.decompress(file.read_bytes()), anchor_set, region), file.name)
        return world.judged_anchor(obligation, anchor_set)

    return judged


def fresh_supplier(xml: bytes, *_: object) -> bytes:
    return with_more(STRANGER)(xml)


DOCUMENTS: dict[str, tuple[Judged, str]] = {
    "another name": (renamed, "all.name"),
    "private key in it": (in_file(lambda data: data + KEY_PEM), "content.key-material"),
    "certificate missing": (in_file(fingerprint_gone), "document.files"),
    "no bytes": (in_file(lambda _: b""), "document.files"),
    "fingerprints swapped": (fingerprints_swapped, "document.octets"),
    "files with a certificate more": (about_other_files(fresh_supplier), "document.files"),
    "files with a certificate fewer": (about_other_files(without_supplier), "document.files"),
    "files that cannot be read": (about_other_files(lambda *_: b"no XML"), "document.files"),
}

REGIONS: dict[str, tuple[Judged, str]] = {
    "another name": (renamed, "all.name"),
    "FNAME of another file": (in_file(lambda o: o.replace(b"SMKIKR", b"SMKIXX", 1)), "gzip.name"),
    "second member": (in_file(lambda o: o + gzip.compress(b"")), "gzip.member"),
    "no bytes": (in_file(lambda _: b""), "gzip.member"),
    "cut in half": (in_file(lambda o: o[: len(o) // 2]), "xml.inflates"),
    "bit flipped in the compressed data": (in_file(lambda o: o[:900] + bytes([o[900] ^ 4]) + o[901:]), "xml.inflates"),
    "no XML": (in_xml(lambda _: b"SMKI\n"), "xml.schema"),
    "document type": (replaced(ROOT, WITH_DTD), "xml.schema"),
    "comment between records": (replaced(rb"</CertificateResponse>", rb"\g<0><!-- by others -->"), "xml.plain"),
    "elements in another order": (
        replaced(rb"(<CertificateSerial>.*)(<CertificateStatus>I</\w+>)", rb"\2\1"),
        "xml.schema",
    ),
    "Base64 on two lines": (replaced(rb"(<CertificateBody>.{64})", rb"\1\n"), "xml.plain"),
    "body that is no certificate": (with_body(b"no certificate"), "xml.bodies"),
    "private key as a body": (with_body(KEY_DER), "xml.key-material"),
    "private key in a comment": (replaced(ROOT, ROOT + b"<!--" + KEY_PEM + b"-->"), "xml.key-material"),
    "swapped bodies": (in_xml(swapped), "xml.fields"),
    "certificate twice": (replaced(RECORD, rb"\g<0>\g<0>"), "xml.unique"),
    "certificate of an unknown issuer": (in_xml(with_more(STRANGER)), "xml.issuers"),
    "certificate missing": (in_xml_of(without_supplier), "anchors.octets"),
    "flag that the certificate has not": (replaced(rb"Flag>(true|false)<", flag_turned), "anchors.octets"),
    "reference of another file": (replaced(rb"Reference>SMKIKR", b"Reference>SMKIXX"), "anchors.octets"),
    "certificate that has no slot": (without_a_slot, "anchors.regions"),
    "file of the other region": (in_xml_of(with_the_others_own), "anchors.octets"),
    "both regions' WAN providers": (
        in_xml_of(lambda xml, s, o: with_more(own(s, _other(REGION_OF[o])))(xml)),
        "anchors.wan-provider",
    ),
    "WAN provider missing": (in_xml_of(without_own), "anchors.wan-provider"),
    "certificate that is not in use": (replaced(rb"Status>I<", b"Status>N<"), "anchors.status"),
}

OF_BOTH_REGIONS = {"cut in half", "body that is no certificate", "certificate that has no slot", "WAN provider missing"}


def _all() -> Iterator[Mutation]:
    for name, (judged, check) in REGIONS.items():
        for of in (NORTH, SOUTH) if name in OF_BOTH_REGIONS else (NORTH,):
            yield Mutation(name, of, partial(judged, obligation=of), check)
    for name, (judged, check) in DOCUMENTS.items():
        for of in (DOCUMENT, TABLE) if name in ("certificate missing", "fingerprints swapped") else (DOCUMENT,):
            yield Mutation(name, of, partial(judged, obligation=of), check)


ANCHOR_MUTATIONS = tuple(_all())
