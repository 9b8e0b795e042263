"""The mutations of an extract's content: the file is whole, and its manifest tells the truth about it."""

import gzip
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from builders import assembled, day, look_alikes, rendered, state_as_of
from smki.annex_b.reading import pybase64
from smki.certificates.model import Status
from smki.store.pages import Compressor

from .extract_files import (
    BODY,
    DELTA,
    FULL,
    KEY_DER,
    KEY_PEM,
    RECORD,
    ROOT,
    STRANGER,
    TAIL,
    WITH_DTD,
    Make,
    Pieces,
    body_of,
    in_content,
    in_content_of,
    in_head,
    in_records,
    pieces_of,
    records_of,
)
from .mutation import Mutation, of_extract
from .worlds import TODAY, Extract, World

SERIAL_AND_STATUS = rb"(<CertificateSerial>\w+</\w+>)(<CertificateStatus>I</\w+>)"
NEVER_LODGED = look_alikes(1, seed=4711)[0]


def other_body(change_body: Callable[[bytes], bytes]) -> Make:
    return in_records(BODY, lambda match: body_of(change_body(pybase64.b64decode(match[1]))))


def body_of_a_list(world: World, obligation: str) -> Extract:
    crl = gzip.decompress(world.list_file("crl").read_bytes())
    return other_body(lambda _: crl)(world, obligation)


def swapped_bodies(pieces: Pieces) -> Pieces:
    first, second = re.findall(BODY, pieces[1])[:2]
    pieces[1] = pieces[1].replace(first, b"*").replace(second, first).replace(b"*", second)
    return pieces


def hidden_in_the_head(pieces: Pieces) -> Pieces:
    pieces[0] = pieces[0].replace(b"</Audit", b"<![CDATA[" + records_of(pieces[1])[0] + b"]]></Audit")
    return pieces


def again_with(status: bytes) -> Make:
    """The first record again at the end."""

    def damage(pieces: Pieces) -> Pieces:
        pieces[-2] += re.sub(rb"Status>\w<", b"Status>" + status + b"<", records_of(pieces[1])[0])
        return pieces

    return in_content(damage)


def kept(step: int | None = None, stop: int | None = None) -> Make:
    """Of each page's records only some."""
    return in_content(lambda p: [p[0], *(b"".join(records_of(piece)[:stop:step]) for piece in p[1:-1]), p[-1]])


def with_more(*bodies: bytes, instead: bool = False) -> Make:
    """At the end, or instead of the last record."""

    def damage(pieces: Pieces) -> Pieces:
        before = records_of(pieces[-2])[: -1 if instead else None]
        return [*pieces[:-2], b"".join(before) + rendered(bodies), pieces[-1]]

    return in_content(damage)


def with_one_that_is(status: Status) -> Make:
    """A lodged certificate of this status, as if it were in use."""

    def damage(pieces: Pieces, world: World) -> Pieces:
        chosen = [body for body, has in state_as_of(world.engine, 70).items() if has == status]
        return [*pieces[:-1], rendered(chosen[:1]), pieces[-1]]

    return in_content_of(damage)


def of_window(window: int) -> Make:
    """The whole content of another window's extract, under the name of today's."""

    def make(world: World, obligation: str) -> Extract:
        pieces = pieces_of(world.produce(obligation, window))
        pieces[0] = pieces[0].replace(str(day(window)).encode(), str(TODAY).encode())
        _, manifest = assembled(world.folder, pieces, world.guide.obligation(obligation).file_name(TODAY))
        return world.write(obligation, manifest)

    return make


def of_another_day(world: World, obligation: str) -> Extract:
    return replace(world.produce(obligation, 63), business_date=TODAY)


def of_another_run(world: World, obligation: str) -> Extract:
    """A page of as many bytes, with a certificate that is not in the one that the manifest was made with."""
    extract = world.produce(obligation)
    pieces = pieces_of(extract)
    number = len(pieces) - 2
    device = [record for record in records_of(pieces[number]) if b"AltName" in record and b">I<" in record][-1]
    _, manifest = assembled(world.folder, pieces, extract.file.name)
    for body in look_alikes(1000, seed=5000):
        other = pieces[number].replace(device, rendered([body]))
        if len(Compressor().compress(other)) == manifest.pages["deflate_bytes"][-1]:
            file, _ = assembled(world.folder, [*pieces[:number], other, pieces[-1]], extract.file.name)
            return Extract(obligation, file, manifest)
    raise AssertionError("no other page has as many bytes")


CONTENT: dict[str, tuple[Make, str]] = {
    "file of another day": (of_another_day, "all.name"),
    "page of another run": (of_another_run, "xml.segment"),
    "entity in the place of a status": (in_records(b">I<", b">&s;<"), "xml.schema"),
    "elements in another order": (in_records(SERIAL_AND_STATUS, rb"\2\1"), "xml.schema"),
    "element missing": (in_records(rb"<CertificateStatus>I</\w+>", b""), "xml.schema"),
    "ResponseCode missing": (in_head(rb"<ResponseCode>200</ResponseCode>\n", b""), "xml.schema"),
    "ResponseCode of a failure": (in_head(rb">200<", b">500<"), "xml.head"),
    "AuditReference of another file": (in_head(b"2025-08-10", b"2025-08-03"), "xml.head"),
    "namespace": (in_head(ROOT, ROOT[:-1] + b' xmlns="urn:x">'), "xml.schema"),
    "serial number in lower case": (in_records(rb"(?<=Serial>)\w+", lambda m: m[0].lower()), "xml.schema"),
    "EUI-64 without hyphens": (in_records(rb"(?<=AltName>)[\w-]+", lambda m: m[0].replace(b"-", b"")), "xml.schema"),
    "Base64 on two lines": (in_records(rb"(<CertificateBody>.{64})", rb"\1\n"), "xml.plain"),
    "body of a revocation list": (body_of_a_list, "xml.bodies"),
    "body with bytes after it": (other_body(lambda body: body + b"more"), "xml.bodies"),
    "body cut short": (other_body(lambda body: body[:-9]), "xml.bodies"),
    "private key as a body": (other_body(lambda _: KEY_DER), "xml.key-material"),
    "armoured private key as a body": (other_body(lambda _: KEY_PEM), "xml.key-material"),
    "private key in AuditReference": (in_head(rb"</Audit", KEY_PEM + b"</Audit"), "xml.key-material"),
    "swapped bodies": (in_content(swapped_bodies), "xml.fields"),
    "wrong serial number": (in_records(rb"(Serial>\w+)\w\w", rb"\1"), "xml.fields"),
    "wrong role": (in_records(rb"Role>\d+<", b"Role>66<"), "xml.fields"),
    "wrong usage": (in_records(rb"Usage>DS<", b"Usage>KA<"), "xml.fields"),
    "wrong EUI-64": (in_records(rb"AltName>\w\w-", b"AltName>FF-"), "xml.fields"),
    "wrong manufacturing flag": (in_records(rb"Flag>false<", b"Flag>true<"), "records.manufacturing"),
    "certificate of an unknown issuer": (with_more(STRANGER), "xml.issuers"),
    "page left out": (in_content(lambda p: [*p[:2], *p[3:]]), "full.count"),
    "half the rows": (kept(step=2), "full.count"),
    "no rows": (kept(stop=0), "full.count"),
    "last certificate missing": (kept(stop=-1), "full.set-digest"),
    "certificate that was never lodged": (with_more(NEVER_LODGED), "full.closure"),
    "other certificate in the place of one": (with_more(NEVER_LODGED, instead=True), "full.set-digest"),
    "revoked certificate as in use": (with_one_that_is(Status.REVOKED), "full.set-digest"),
    "record with status N": (in_records(rb"Status>I<", b"Status>N<"), "full.status"),
    "content of the full extract before": (of_window(63), "full.closure"),
}
# What concerns the document as a whole.
DOCUMENTS: dict[str, tuple[Make, str]] = {
    "document type": (in_head(ROOT, WITH_DTD), "xml.schema"),
    "comment that hides a record": (in_records(rb"(<Certificat.*</\w+>)", rb"<!--\1-->"), "xml.schema"),
    "CDATA section that hides a record": (in_records(RECORD, rb"<![CDATA[\g<0>]]>"), "xml.schema"),
    "record hidden in AuditReference": (in_content(hidden_in_the_head), "xml.schema"),
    "comment between records": (in_records(RECORD, rb"\g<0><!-- by others -->"), "xml.plain"),
    "second root": (in_content(lambda p: [*p, ROOT + TAIL]), "xml.schema"),
    "other root": (in_content(lambda p: [x.replace(b"DataResponse", b"Data") for x in p]), "xml.schema"),
    "end of the document missing": (in_content(lambda p: [*p[:-1], b"\n"]), "xml.schema"),
    "record cut in half": (in_content(lambda p: [*p[:-2], p[-2][:-200], p[-1]]), "xml.schema"),
    "private key in a comment": (
        in_records(RECORD, lambda m: m[0] + b"<!--" + KEY_PEM + b"-->"),
        "xml.key-material",
    ),
    "certificate twice": (again_with(b"I"), "xml.unique"),
    "page twice, in its own place": (in_content(lambda p: [*p[:2], *p[1:]]), "xml.unique"),
}
DELTAS: dict[str, tuple[Make, str]] = {
    "record missing": (kept(stop=-1), "delta.complete"),
    "half the records": (kept(step=2), "delta.complete"),
    "no records": (kept(stop=0), "delta.count"),
    "certificate that did not change": (with_more(look_alikes(1, seed=55)[0]), "delta.belongs"),
    "certificate of the day before": (with_more(look_alikes(3, seed=69)[2]), "delta.belongs"),
    "other certificate in the place of one": (with_more(NEVER_LODGED, instead=True), "delta.set-digest"),
    "wrong status": (in_records(rb"Status>N<", b"Status>I<"), "delta.status"),
    "status before the window": (in_records(rb"Status>R<", b"Status>I<"), "delta.status"),
    "certificate twice, with two statuses": (again_with(b"N"), "xml.unique"),
    "delta of the day before again": (of_window(69), "delta.belongs"),
}
ALONE_TOO = (  # the other way of reading finds these in a way of its own
    "comment that hides a record",
    "CDATA section that hides a record",
    "comment between records",
    "second root",
    "end of the document missing",
    "certificate twice",
)
OF_DELTAS_TOO = (
    "file of another day",
    "page of another run",
    "elements in another order",
    "ResponseCode of a failure",
    "body cut short",
    "private key as a body",
    "swapped bodies",
    "wrong manufacturing flag",
    "comment between records",
    "certificate of an unknown issuer",
)


def _all() -> Iterator[Mutation]:
    for name, (make, check) in (CONTENT | DOCUMENTS).items():
        yield of_extract(name, FULL, make, check)
        if name in OF_DELTAS_TOO:
            yield of_extract(name, DELTA, make, check)
        if name in ALONE_TOO:
            yield of_extract(name, FULL, make, check, alone=True)
    for name, (make, check) in DELTAS.items():
        yield of_extract(name, DELTA, make, check)


CONTENT_MUTATIONS = tuple(_all())
