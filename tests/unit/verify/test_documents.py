"""What a document says, right or wrong: in one piece as others make it, and in segments as we do."""

import gzip
import re
import tempfile
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from lxml import etree

from builders import XML_NAME, XSD, assembled, document, look_alikes, record_of, rendered, zipped
from made_certificates import name, self_made
from smki.annex_b.reading import pybase64
from smki.certificates.set_digest import SetDigest
from smki.errors import ConfigurationError, VerificationError
from smki.kinds.extracts.rendering import render_head, render_tail
from smki.verify.faults import Fault, FaultError
from smki.verify.marks import Marks
from smki.verify.verification import Verification, examine_file, verify_file

Parts = tuple[bytes, bytes, bytes]  # head, records, tail
HEAD, TAIL = render_head(XML_NAME), render_tail()
NAME = f"{XML_NAME}.gz"


def verify_parts(folder: Path, parts: Parts, *, in_segments: bool, name: str = NAME) -> Verification:
    if in_segments:
        file, manifest = assembled(folder, parts, name)
        return verify_file(file, XSD, manifest=manifest)
    return verify_file(zipped(folder, b"".join(parts), name), XSD)


@pytest.fixture(scope="module")
def bodies(signed: list[bytes]) -> list[bytes]:
    """An OCA, a DCA, two Organisations and three Devices."""
    return [signed[0], signed[3], signed[4], signed[5], *signed[-3:]]


@pytest.mark.parametrize("in_segments", [False, True])
def test_file_of_all_classes_passes_with_its_figures(signed: list[bytes], tmp_path: Path, in_segments: bool) -> None:
    verified = verify_parts(tmp_path, (HEAD, rendered(signed), TAIL), in_segments=in_segments)
    assert verified.records == len(signed)
    assert verified.set_digest == SetDigest.of(signed)
    assert verified.classes == {"CA": 4, "ORGANISATION": 30, "DEVICE": 12}
    assert verified.statuses == {"I": len(signed)}
    assert verified.xml_bytes == len(HEAD) + len(rendered(signed)) + len(TAIL)


@pytest.mark.parametrize("in_segments", [False, True])
def test_file_without_records_passes(tmp_path: Path, in_segments: bool) -> None:
    verified = verify_parts(tmp_path, (HEAD, b"", TAIL), in_segments=in_segments)
    assert (verified.records, verified.set_digest) == (0, SetDigest())


@pytest.mark.parametrize("in_segments", [False, True])
def test_name_that_is_not_ascii_passes(tmp_path: Path, in_segments: bool) -> None:
    odd = [
        self_made(name("07", text), serial=number) for number, text in enumerate(["OCA Ü&<>", "DCA 電", "OCA"], 1 << 62)
    ]
    verified = verify_parts(tmp_path, (HEAD, rendered(odd), TAIL), in_segments=in_segments)
    assert verified.set_digest == SetDigest.of(odd)
    assert not any(segment.parsed for segment in verified.segments)


def test_flag_is_counted_however_it_is_written(bodies: list[bytes], tmp_path: Path) -> None:
    flags = [" 1 ", "true", "1", " 0 ", "true", "\n1", "false"]
    records = [record_of(body)._replace(manufacturing=flag) for body, flag in zip(bodies, flags, strict=True)]
    (segment,) = verify_file(zipped(tmp_path, document(records)), XSD).segments
    assert segment.manufacturing == 5


@pytest.mark.parametrize("in_segments", [False, True])
def test_delta_may_hold_every_status(bodies: list[bytes], tmp_path: Path, in_segments: bool) -> None:
    records = b"".join(rendered([body], status) for body, status in zip(bodies, "PINERII", strict=True))
    parts = (HEAD, records, TAIL)
    verified = verify_parts(tmp_path, parts, in_segments=in_segments, name="SMKIKR_DELT_2025-06-08.xml.gz")
    assert verified.statuses == {"P": 1, "I": 3, "N": 1, "E": 1, "R": 1}


Rewriting = Callable[[bytes], bytes]
ROOT = b"<CertificateDataResponse>"
XSI = ROOT.replace(
    b">", b' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="a.xsd">'
)
BY_OTHERS: dict[str, Rewriting] = {
    "as it is": lambda xml: xml,
    "attributes on the root": lambda xml: xml.replace(ROOT, XSI),
    "Windows line ends": lambda xml: xml.replace(b"\n", b"\r\n"),
    "no declaration": lambda xml: xml[xml.index(b"\n") + 1 :],
    "byte order mark": lambda xml: b"\xef\xbb\xbf" + xml,
    "UTF-16": lambda xml: xml.split(b"\n", 1)[1].decode().encode("utf-16"),
    "comment in the head": lambda xml: xml.replace(ROOT, b"<!-- made by others -->" + ROOT),
    "comment between records": lambda xml: xml.replace(b"</CertificateResponse>", b"</CertificateResponse><!-- x -->"),
    "comment in a text": lambda xml: xml.replace(b"<CertificateStatus>", b"<CertificateStatus><!-- x -->"),
    "CDATA": lambda xml: re.sub(rb"<CertificateSerial>(\w+)<", rb"<CertificateSerial><![CDATA[\1]]><", xml),
    "character references": lambda xml: xml.replace(b"<CertificateStatus>I<", b"<CertificateStatus>&#73;<"),
    "instruction": lambda xml: xml.replace(ROOT, b"<?xml-stylesheet href='a'?>" + ROOT),
    "Base64 in lines": lambda xml: re.sub(rb"([\w+/]{64})(?=[\w+/=])", rb"\1\r\n", xml),
    "Base64 on a line of its own": lambda xml: re.sub(rb"(?<=<CertificateBody>)([^<]+)", rb"\n    \1\n  ", xml),
    "flag as a number": lambda xml: xml.replace(b">false<", b">0<"),
    "flag with white space": lambda xml: xml.replace(b">false<", b">\t\n 0<", 4),
    "role with zeros and a sign": lambda xml: re.sub(rb"Role>(\d+)<", rb"Role> +0\1\n<", xml),
    "space in every tag": lambda xml: re.sub(rb"<(/?Cert\w+)>", rb"<\1 >", xml),
}


@pytest.mark.parametrize("pretty", [False, True], ids=["one line", "many lines"])
@pytest.mark.parametrize("way", BY_OTHERS)
def test_document_that_others_wrote_in_their_way_passes(
    bodies: list[bytes], tmp_path: Path, way: str, pretty: bool
) -> None:
    xml = BY_OTHERS[way](document([record_of(body) for body in bodies], pretty=pretty))
    verified = verify_file(zipped(tmp_path, xml), XSD)
    assert (verified.records, verified.set_digest) == (len(bodies), SetDigest.of(bodies))


def test_document_of_many_pieces_passes_and_a_damage_in_any_is_found(tmp_path: Path) -> None:
    bodies = look_alikes(10_000)  # 9 MB of XML: two pieces
    xml = HEAD + rendered(bodies) + TAIL
    assert verify_file(zipped(tmp_path, xml), XSD).set_digest == SetDigest.of(bodies)
    for share in (0.1, 0.999):
        at = xml.index(b"<CertificateUsage>", int(share * len(xml)) - 1_000) + len(b"<CertificateUsage>")
        other = b"KA" if xml[at : at + 2] == b"DS" else b"DS"
        with pytest.raises(FaultError) as caught:
            verify_file(zipped(tmp_path, xml[:at] + other + xml[at + 2 :]), XSD)
        assert caught.value.fault is Fault.FIELDS
    half = xml.index(b"<CertificateResponse>", len(xml) // 2)
    with pytest.raises(FaultError) as caught:
        verify_file(zipped(tmp_path, xml[:half] + rendered(bodies[:1]) + xml[half:]), XSD)
    assert caught.value.fault is Fault.DUPLICATE


Damage = Callable[[Parts], Parts]


def on_records(pattern: bytes, new: bytes) -> Damage:
    """Replaces the first match in the records; the pattern has to occur."""

    def damage(parts: Parts) -> Parts:
        changed, count = re.subn(pattern, new, parts[1], count=1)
        assert count == 1
        assert changed != parts[1]
        return parts[0], changed, parts[2]

    return damage


def on_line(number: int, pattern: bytes, new: bytes) -> Damage:
    """The same on one record: 0 OCA, 1 DCA, 2 and 3 Organisations, 4 to 6 Devices."""

    def damage(parts: Parts) -> Parts:
        lines = parts[1].splitlines(keepends=True)
        _, lines[number], _ = on_records(pattern, new)((b"", lines[number], b""))
        return parts[0], b"".join(lines), parts[2]

    return damage


def other_body(parts: Parts) -> Parts:
    first, second = re.findall(rb"<CertificateBody>[^<]+<", parts[1])[4:6]
    return parts[0], parts[1].replace(first, second, 1), parts[2]


def same_record_twice(parts: Parts) -> Parts:
    return parts[0], parts[1] + parts[1].splitlines(keepends=True)[2], parts[2]


def same_certificate_with_another_signature(parts: Parts) -> Parts:
    line = parts[1].splitlines(keepends=True)[4]
    der = pybase64.b64decode(re.search(rb"<CertificateBody>([^<]+)<", line)[1])  # type: ignore[index]  # it is there
    changed = pybase64.b64encode(der[:-1] + bytes([der[-1] ^ 1]))
    return parts[0], parts[1] + line.replace(pybase64.b64encode(der), changed), parts[2]


DOCTYPE = b'<!DOCTYPE CertificateDataResponse [<!ENTITY status "I">]>\n'
S, D = rb"<CertificateSerial>(\w+)<", rb"<CertificateSubjectAltName>([^<]+)</CertificateSubjectAltName>"
# The damage, its fault, and what the rule names where it is one of the fields.
DAMAGES: dict[str, tuple[Damage, Fault] | tuple[Damage, Fault, str]] = {
    "document type": (lambda p: (p[0].replace(ROOT, DOCTYPE + ROOT), p[1], p[2]), Fault.XML),
    "entity": (
        lambda p: (p[0].replace(ROOT, DOCTYPE + ROOT), p[1].replace(b">I<", b">&status;<"), p[2]),
        Fault.XML,
    ),
    "unknown entity": (on_records(b">I<", b">&status;<"), Fault.XML),
    "comment that hides all": (lambda p: (p[0] + b"<!--", p[1], b"-->" + p[2]), Fault.XML),
    "comment that hides one": (on_line(1, rb"(?s)(.+)", rb"<!--\1-->"), Fault.XML),
    "instruction that hides all": (lambda p: (p[0] + b"<?x ", p[1], b"?>" + p[2]), Fault.XML),
    "CDATA in the wrong place": (on_line(1, rb"(?s)(.+)", rb"<![CDATA[\1]]>"), Fault.XML),
    "comment that changes a text": (
        on_line(2, S, rb"<CertificateSerial>\1<!-- -->00<"),
        Fault.FIELDS,
        "CertificateSerial",
    ),
    "elements in another order": (
        on_records(rb"(<CertificateSerial>\w+</\w+>)(<CertificateStatus>I</\w+>)", rb"\2\1"),
        Fault.XML,
    ),
    "element twice": (on_records(rb"(<CertificateStatus>I</\w+>)", rb"\1\1"), Fault.XML),
    "element missing": (on_records(rb"<CertificateStatus>I</\w+>", b""), Fault.XML),
    "element unknown": (on_records(rb"</CertificateResponse>", b"<More/></CertificateResponse>"), Fault.XML),
    "attribute on a record": (on_records(b"<CertificateResponse>", b'<CertificateResponse a="b">'), Fault.XML),
    "namespace": (lambda p: (p[0].replace(ROOT, ROOT[:-1] + b' xmlns="urn:x">'), p[1], p[2]), Fault.XML),
    "text between records": (lambda p: (p[0], b"text" + p[1], p[2]), Fault.XML),
    "other root": (
        lambda p: (p[0].replace(ROOT, b"<Other>"), p[1], p[2].replace(b"CertificateDataResponse", b"Other")),
        Fault.XML,
    ),
    "something after the root": (lambda p: (p[0], p[1], p[2] + b"<x/>"), Fault.XML),
    "end missing": (lambda p: (p[0], p[1], b""), Fault.XML),
    "body of another certificate": (other_body, Fault.FIELDS),
    "body that is no certificate": (
        on_records(rb"(<CertificateBody>)[^<]+<", rb"\1AAAA<"),
        Fault.BODY,
    ),
    "body that is empty": (on_records(rb"(<CertificateBody>)[^<]+<", rb"\1<"), Fault.BODY),
    "body that is no Base64": (on_records(rb"(<CertificateBody>)MII", rb"\1MI*"), Fault.XML),
    "wrong serial number": (on_line(2, S, rb"<CertificateSerial>\g<1>00<"), Fault.FIELDS, "CertificateSerial"),
    "serial number in lower case": (on_line(2, rb"<CertificateSerial>\w+<", b"<CertificateSerial>ab<"), Fault.XML),
    "serial number with a sign byte": (on_line(2, S, rb"<CertificateSerial>00\1<"), Fault.FIELDS, "CertificateSerial"),
    "wrong EUI-64": (
        on_line(4, D, D.replace(b"([^<]+)", b"00-00-00-00-00-00-00-01")),
        Fault.FIELDS,
        "CertificateSubjectAltName",
    ),
    "wrong name of a CA": (on_line(0, b"OCA0", b"OCA1"), Fault.FIELDS, "CertificateSubjectName is 'OCA1'"),
    "subject of the wrong class": (
        on_line(4, D, rb"<CertificateSubjectName>\1</CertificateSubjectName>"),
        Fault.FIELDS,
        "CertificateSubjectName",
    ),
    "wrong role": (on_line(2, rb"Role>\d+<", b"Role>66<"), Fault.FIELDS, "CertificateRole is '66'"),
    "no role": (on_line(2, rb"<CertificateRole>\d+</CertificateRole>", b""), Fault.FIELDS, "CertificateRole is ''"),
    "role of a Device": (
        on_line(4, b"<CertificateUsage>", b"<CertificateRole>2</CertificateRole><CertificateUsage>"),
        Fault.FIELDS,
        "CertificateRole is '2'",
    ),
    "wrong usage": (on_line(2, b">DS<", b">KA<"), Fault.FIELDS, "CertificateUsage is 'KA'"),
    "usage of a CA": (
        on_line(0, b"<ManufacturingFlag>", b"<CertificateUsage>DS</CertificateUsage><ManufacturingFlag>"),
        Fault.FIELDS,
        "CertificateUsage is 'DS'",
    ),
    "unknown status": (on_records(b">I<", b">X<"), Fault.XML),
    "same record twice": (same_record_twice, Fault.DUPLICATE),
    "same serial number twice": (same_certificate_with_another_signature, Fault.DUPLICATE),
}


@pytest.mark.parametrize("in_segments", [False, True], ids=["in one piece", "in segments"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_document_is_refused(bodies: list[bytes], tmp_path: Path, damage: str, in_segments: bool) -> None:
    apply, fault, *named = DAMAGES[damage]
    parts = apply((HEAD, rendered(bodies), TAIL))
    with pytest.raises(FaultError) as caught:
        verify_parts(tmp_path, parts, in_segments=in_segments)
    assert caught.value.fault is fault
    assert all(text in caught.value.rule for text in named)


@pytest.mark.parametrize(("start", "end"), [(b"<!--", b"-->"), (b"<?x ", b"?>")], ids=["comment", "instruction"])
def test_records_beside_hidden_ones_are_those_that_count(
    bodies: list[bytes], tmp_path: Path, start: bytes, end: bytes
) -> None:
    """The hidden ones look like ours, the others are spelled in another way."""
    shown = re.sub(rb"<(/?)CertificateResponse>", rb"<\1CertificateResponse >", rendered(bodies[:4]))
    xml = HEAD + start + rendered(bodies[4:]) + end + shown + TAIL
    assert verify_file(zipped(tmp_path, xml), XSD).set_digest == SetDigest.of(bodies[:4])


def peak_of(file: Path) -> int:
    """Bytes of Python's own that verifying a file takes, whatever it says of it."""
    tracemalloc.start()
    try:
        with suppress(FaultError):
            verify_file(file, XSD)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def with_attribute(xml: bytes) -> bytes:
    return xml.replace(b"<CertificateResponse>", b'<CertificateResponse a="b">')


LARGE: dict[str, Callable[[bytes], bytes]] = {
    "without records": lambda records: HEAD + b" " * len(records) + TAIL,
    "one line": lambda records: HEAD + records.replace(b"\n", b"") + TAIL,
    "attribute on each record": lambda records: HEAD + with_attribute(records) + TAIL,
    "comment before all": lambda records: b"<!-- x -->" + HEAD[HEAD.index(ROOT) :] + records + TAIL,
    "prefix": lambda records: b"<x:r xmlns:x='x'>" + re.sub(rb"<(/?)(\w)", rb"<\1x:\2", records) + b"</x:r>",
    "one record that does not end": lambda records: HEAD + records[:-40].replace(b"</CertificateResponse>", b"") + TAIL,
    "one body": lambda records: HEAD + records[:500] + b"A" * len(records),
    "one comment": lambda records: HEAD + b"<!--" + records + b"-->" + TAIL,
    "one attribute": lambda records: HEAD + b'<CertificateResponse a="' + records.replace(b"<", b"") + b'">',
    "elements of no meaning": lambda records: HEAD + b"<a/>" * (len(records) // 4) + TAIL,
    "space in the last half's tags": lambda records: (
        HEAD + records[: records.index(b"\n") + 1] + records.replace(b"Response>", b"Response >") + TAIL
    ),
}


@pytest.mark.parametrize("way", LARGE)
def test_document_is_read_in_flat_memory_whoever_wrote_it(tmp_path: Path, way: str) -> None:
    records = rendered(look_alikes(4_000)) * 5
    file = zipped(tmp_path, LARGE[way](records))
    assert len(records) > 16 << 20
    assert peak_of(file) < 32 << 20


def test_document_that_goes_on_in_another_way_is_read_to_its_end(tmp_path: Path) -> None:
    bodies = look_alikes(8_000)
    first, rest = rendered(bodies[:5_000]), rendered(bodies[5_000:]).replace(b"Response>", b"Response >")
    verified = verify_file(zipped(tmp_path, HEAD + first + rest + TAIL), XSD)
    assert (verified.records, verified.set_digest) == (8_000, SetDigest.of(bodies))


@pytest.mark.parametrize("ours", [True, False])
def test_records_before_a_break_are_counted(tmp_path: Path, ours: bool) -> None:
    bodies = look_alikes(6_000)
    xml = HEAD + rendered(bodies)[:-100] if ours else b"<!-- x -->" + HEAD[HEAD.index(ROOT) :] + rendered(bodies)[:-100]
    with tempfile.TemporaryDirectory() as folder:
        verification = examine_file(zipped(tmp_path, xml), XSD, Marks.folder(Path(folder)))
    assert verification.records == 5_999
    assert [segment.fault for segment in verification.segments if segment.fault] == [Fault.XML]


def test_record_that_a_text_hides_is_found_whoever_wrote_the_document(bodies: list[bytes], tmp_path: Path) -> None:
    head = HEAD.replace(b"</AuditReference>", b"<![CDATA[" + rendered(bodies[:1]) + b"]]></AuditReference>")
    with pytest.raises(FaultError) as caught:
        verify_file(zipped(tmp_path, head + rendered(bodies) + TAIL), XSD)
    assert caught.value.fault is Fault.XML


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_private_key_in_a_comment_is_found_whoever_wrote_the_document(
    bodies: list[bytes], tmp_path: Path, encoding: str
) -> None:
    opening = HEAD[HEAD.index(ROOT) :].replace(ROOT, ROOT + b"<!-- -----BEGIN EC PRIVATE KEY----- -->")
    xml = (opening + rendered(bodies) + TAIL).decode().encode(encoding)
    with pytest.raises(FaultError) as caught:
        verify_file(zipped(tmp_path, xml), XSD)
    assert caught.value.fault is Fault.PRIVATE_KEY


def test_reason_repeats_no_long_text(bodies: list[bytes], tmp_path: Path) -> None:
    parts = on_line(0, b"OCA0", b"O" * 100_000)((HEAD, rendered(bodies), TAIL))
    with pytest.raises(FaultError) as caught:
        verify_parts(tmp_path, parts, in_segments=False)
    assert len(caught.value.rule) < 1_000


def test_refusal_names_the_record(bodies: list[bytes], tmp_path: Path) -> None:
    parts = on_line(5, b">DS<", b">KA<")((HEAD, rendered(bodies), TAIL))
    with pytest.raises(FaultError) as caught:
        verify_parts(tmp_path, parts, in_segments=True)
    assert caught.value.item == f"{NAME}, segment 1, record 6"


def test_checker_goes_on_after_a_refusal(bodies: list[bytes], tmp_path: Path) -> None:
    """The manifest of a file with two damaged segments: each is refused on its own."""
    good = rendered(bodies)
    for broken in ((good[:-5], good), (good, good[:-5])):
        file, manifest = assembled(tmp_path, [HEAD, *broken, TAIL])
        with pytest.raises(VerificationError) as caught:
            verify_file(file, XSD, manifest=manifest)
        assert caught.value.item == f"{NAME}, segment {broken.index(good[:-5]) + 1}"


def test_schema_that_is_none_is_a_configuration_error(bodies: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "no.xsd").write_text("no schema")
    file = zipped(tmp_path, document([record_of(bodies[0])]))
    for schema in (tmp_path / "no.xsd", tmp_path / "gone.xsd", file):
        with pytest.raises(ConfigurationError, match="SMKI_ANNEX_B_XSD"):
            verify_file(file, schema)


def test_official_schema_may_be_put_in_place_of_ours(bodies: list[bytes], tmp_path: Path) -> None:
    stricter = XSD.read_text().replace('maxOccurs="unbounded"', 'maxOccurs="2"')
    (tmp_path / "a b.xsd").write_text(stricter)
    records = [record_of(body) for body in bodies]
    assert verify_file(zipped(tmp_path, document(records[:2])), tmp_path / "a b.xsd").records == 2
    with pytest.raises(VerificationError, match=r"breaks the schema a b\.xsd"):
        verify_file(zipped(tmp_path, document(records[:3])), tmp_path / "a b.xsd")


def test_our_own_files_need_no_special_reader(bodies: list[bytes], tmp_path: Path) -> None:
    file, _ = assembled(tmp_path, [HEAD, rendered(bodies[:3]), rendered(bodies[3:]), TAIL])
    root = etree.fromstring(gzip.decompress(file.read_bytes()))
    assert len(root) == 3 + len(bodies)
    assert verify_file(file, XSD).set_digest == SetDigest.of(bodies)  # as a file of others, without its manifest
