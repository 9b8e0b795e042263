"""What is read without a tree is what a parser reads, or it is not read so."""

import hashlib
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from builders import XML_NAME, XSD, columns_of, document, look_alikes, record_of, rendered
from made_certificates import name, self_made
from smki.annex_b.reading import pybase64
from smki.annex_b.version import V1, Field
from smki.errors import VerificationError
from smki.kinds.extracts.rendering import render_head, render_tail
from smki.verify import plain_records
from smki.verify.plain_records import Columns, are_plain
from smki.verify.record_check import RecordChecker

HEAD, TAIL = render_head(XML_NAME), render_tail()
DEVICES = look_alikes(300)
DEVICE = rendered(DEVICES[:1])
BODY = re.compile(rb"(<CertificateBody>)([^<]+)(<)")


def read_plain(records: bytes) -> Columns | None:
    return plain_records.read_plain(records, V1)


def parsed(records: bytes) -> Columns:
    return RecordChecker(V1, XSD)._parsed(HEAD + records + TAIL, "a piece")


def same(first: Columns, second: Columns) -> bool:
    return first.bodies.equals(second.bodies) and all(
        column.equals(second.texts[field]) for field, column in first.texts.items()
    )


def test_records_of_all_classes_as_we_render_them_are_plain(signed: list[bytes]) -> None:
    """Else verifying our own files would take twice as long, and nobody would notice."""
    bodies = [*signed, *DEVICES]
    plain = read_plain(rendered(bodies))
    assert plain is not None
    assert plain.bodies.to_pylist() == bodies
    assert same(plain, parsed(rendered(bodies)))


def test_bodies_of_every_padding_are_decoded_in_their_order() -> None:
    by_padding: dict[int, list[bytes]] = {0: [], 1: [], 2: []}
    for body in DEVICES:
        by_padding[-len(body) % 3].append(body)
    mixed = [body for three in zip(*by_padding.values(), strict=False) for body in three]
    assert len(mixed) > 30
    plain = read_plain(rendered(mixed))
    assert plain is not None
    assert plain.bodies.to_pylist() == mixed


NOT_PLAIN: dict[str, Callable[[bytes], bytes]] = {
    "no line end": lambda xml: xml[:-1],
    "empty line": lambda xml: b"\n" + xml,
    "Windows line end": lambda xml: xml.replace(b"\n", b"\r\n", 1),
    "carriage return in a text": lambda xml: xml.replace(b"<CertificateStatus>I", b"<CertificateStatus>\r", 1),
    "two records on a line": lambda xml: xml.replace(b"\n", b"", 1),
    "white space": lambda xml: xml.replace(b"><", b"> <", 1),
    "entity": lambda xml: xml.replace(b"<CertificateStatus>I", b"<CertificateStatus>&#73;", 1),
    "comment": lambda xml: xml.replace(b"<CertificateStatus>I", b"<CertificateStatus>I<!-- -->", 1),
    "comment in the place of a text": lambda xml: xml.replace(b"</CertificateSerial>", b"<!----></CertificateSerial>"),
    "attribute": lambda xml: xml.replace(b"<CertificateStatus>", b'<CertificateStatus a="">', 1),
    "another element": lambda xml: xml.replace(b"<CertificateStatus>", b"<a/><CertificateStatus>", 1),
    "letter beyond ASCII": lambda xml: xml.replace(b"<CertificateStatus>I", "<CertificateStatus>Ü".encode(), 1),
    "body that is too short": lambda xml: with_body(xml, lambda text: text[:-1]),
    "letter that is no Base64": lambda xml: with_body(xml, lambda text: b"*" + text[1:]),
    "padding at the beginning": lambda xml: with_body(xml, lambda text: b"=" + text[1:]),
    "letter after padding": lambda xml: with_body(xml, lambda text: text[:-2] + b"=A"),
    "too much padding": lambda xml: with_body(xml, lambda text: text[:-4] + b"A==="),
    "bits that belong to no byte": lambda xml: with_body(xml, lambda text: text[:-4] + b"AB=="),
}


DECIDED_BY_THE_BODY = {way for way in NOT_PLAIN if "padding" in way or "bits" in way}


def with_body(xml: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """With the first body's Base64 changed."""
    return BODY.sub(lambda found: found[1] + change(found[2]) + found[3], xml, count=1)


@pytest.mark.parametrize("at", [0, 7], ids=["in the first of its shape", "in another one"])
@pytest.mark.parametrize("way", NOT_PLAIN)
def test_what_only_a_parser_can_tell_is_left_to_it(way: str, at: int) -> None:
    lines = rendered([DEVICES[0]] * 9).splitlines(keepends=True)
    assert read_plain(b"".join(lines)) is not None
    assert read_plain(b"".join(lines[:at]) + NOT_PLAIN[way](b"".join(lines[at:]))) is None


def test_piece_without_records_is_left_to_a_parser() -> None:
    assert read_plain(b"") is None


def test_text_that_holds_markup_where_its_shape_has_none_is_left_to_a_parser() -> None:
    """As long as the text of the first, so that all the shape's markup stands where it should."""
    record = rendered([DEVICES[0]])
    serial = re.search(rb"<CertificateSerial>(\w+)<", record)[1]  # type: ignore[index]  # it is there
    hidden = (b"<!--" + b"0" * (len(serial) - 7) + b"-->", b"<![CDATA[" + b"0" * (len(serial) - 12) + b"]]>")
    for text in hidden:
        assert len(text) == len(serial)
        assert read_plain(record + record.replace(serial, text)) is None


ODD_NAMES = ["OCA Ü", "OCA <&> 1", "DCA 電", "OCA &amp;lt;", "OCA ]]>", "OCA"]


def test_letters_beyond_ascii_and_those_that_are_escaped_are_plain() -> None:
    bodies = [self_made(name("07", text), serial=number) for number, text in enumerate(ODD_NAMES, 1 << 62)]
    records = rendered([*bodies, *DEVICES])
    plain = read_plain(records)
    assert plain is not None
    assert plain.texts[Field.SUBJECT_NAME].to_pylist()[: len(ODD_NAMES)] == ODD_NAMES
    assert same(plain, parsed(records))
    assert are_plain(records, V1)


@pytest.mark.parametrize("most_shapes", [0, 3, 256])
def test_number_of_shapes_decides_how_records_are_read_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, most_shapes: int
) -> None:
    monkeypatch.setattr(plain_records, "_MOST_SHAPES", most_shapes)
    bodies = [self_made(name("07", text), serial=number) for number, text in enumerate(ODD_NAMES, 1 << 62)]
    assert (read_plain(rendered(bodies)) is None) == (most_shapes < len(ODD_NAMES))
    checked = RecordChecker(V1, XSD).check(HEAD, rendered(bodies), TAIL, "a piece")
    assert checked.is_plain
    assert checked.hashes == b"".join(hashlib.sha256(body).digest() for body in bodies)
    spaced = rendered(bodies).replace(b"</CertificateResponse>", b" </CertificateResponse>", 1)
    assert not RecordChecker(V1, XSD).check(HEAD, spaced, TAIL, "a piece").is_plain


@pytest.mark.parametrize("way", NOT_PLAIN)
def test_what_is_not_plain_is_so_for_both_ways_of_reading(way: str) -> None:
    lines = rendered([DEVICES[0]] * 3)
    assert are_plain(lines, V1)
    assert not are_plain(NOT_PLAIN[way](lines), V1) or way in DECIDED_BY_THE_BODY


@pytest.fixture(scope="module")
def mixed(signed: list[bytes]) -> bytes:
    """Records of all classes."""
    return rendered([*signed[:6], *DEVICES[:6]])


@settings(max_examples=300)
@given(data=st.data())
def test_changed_records_are_read_as_a_parser_reads_them_or_not_at_all(mixed: bytes, data: st.DataObject) -> None:
    """And whatever passes without a tree passes with one."""
    records = mixed
    letters = st.text("AIKN019+/=", min_size=1, max_size=2).map(str.encode)
    tokens = st.sampled_from([b"<", b">", b"&", b" ", b"\n", b"\r", b"\0", b"&amp;", b"<!---->", b"<ResponseCode>"])
    for _ in range(data.draw(st.integers(1, 3))):
        new = data.draw(letters | tokens | st.binary(max_size=3))
        at = data.draw(st.integers(0, len(records)))
        records = records[:at] + new + records[at + data.draw(st.sampled_from([len(new), 0, 1])) :]
    plain = read_plain(records)
    if plain is not None and RecordChecker(V1, XSD)._is_valid(HEAD + records + TAIL):
        assert same(plain, parsed(records))


@settings(max_examples=200)
@given(
    text=st.text("AQw/+=B \n", min_size=1, max_size=9)
    | st.binary(max_size=40).map(lambda o: pybase64.b64encode(o).decode())
)
def test_body_is_decoded_only_where_the_schema_has_it_for_base64(text: str) -> None:
    record = with_body(DEVICE, lambda _: text.encode())
    if read_plain(record) is not None:
        assert RecordChecker(V1, XSD)._is_valid(HEAD + record + TAIL)


BREAKS_THE_SCHEMA = {
    "status unknown": (b">I<", b">X<"),
    "serial number in lower case": (b"<CertificateSerial>", b"<CertificateSerial>ab"),
    "odd digits": (b"<CertificateSerial>", b"<CertificateSerial>A"),
    "usage unknown": (b"<CertificateUsage>", b"<CertificateUsage>K"),
    "EUI-64 too long": (b"<CertificateSubjectAltName>", b"<CertificateSubjectAltName>00-"),
    "flag that is none": (b"<ManufacturingFlag>", b"<ManufacturingFlag>x"),
    "role beyond a byte": (b"<CertificateUsage>", b"<CertificateRole>256</CertificateRole><CertificateUsage>"),
    "not well formed": (b"</CertificateResponse>", b"</CertificateResponse"),
    "response code that is no number": (b"<ResponseCode>", b"<ResponseCode>x"),
    "no response code": (b"<ResponseCode>200</ResponseCode>\n", b""),
}


@pytest.mark.parametrize("way", BREAKS_THE_SCHEMA)
def test_document_that_breaks_the_schema_is_invalid_without_a_tree_too(way: str) -> None:
    """Again and again, and a valid one in between is valid."""
    checker, (old, new) = RecordChecker(V1, XSD), BREAKS_THE_SCHEMA[way]
    good = HEAD + rendered(DEVICES[:4]) + TAIL
    broken = new.join(good.rsplit(old, 1))
    assert broken != good
    for _ in range(2):
        assert checker._is_valid(good)
        assert not checker._is_valid(broken)
    with pytest.raises(VerificationError):
        checker._parsed(broken, "a piece")


def test_document_with_another_opening_is_read_from_its_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says before its records decides how they are read: a comment or an encoding may hide or change them."""
    monkeypatch.setattr(RecordChecker, "_is_valid", lambda *_: pytest.fail("it was taken for a plain one"))
    records = rendered(DEVICES[:2])
    openings = {
        HEAD.replace(b"<CertificateDataResponse>", b"<CertificateDataResponse><!-- x -->"),
        HEAD.replace(b"<CertificateDataResponse>", b'<CertificateDataResponse a="b">'),
        HEAD.replace(b"UTF-8", b"UTF-7"),
        HEAD.replace(b"<CertificateDataResponse>", b"<!DOCTYPE CertificateDataResponse><CertificateDataResponse>"),
        HEAD.replace(b"Success", b"&quot;"),
        HEAD + record_as_others_write_it(),
        b"\xef\xbb\xbf" + HEAD,
    }
    assert HEAD not in openings
    for opening in openings:
        try:
            RecordChecker(V1, XSD).check(opening, records, TAIL, "a piece")
        except VerificationError:
            continue


def record_as_others_write_it() -> bytes:
    root = etree.fromstring(document([record_of(DEVICES[0])]))
    return etree.tostring(root[-1])


def test_columns_are_those_that_were_rendered(signed: list[bytes]) -> None:
    made, plain = columns_of(signed), read_plain(rendered(signed))
    assert plain is not None
    assert plain.texts[Field.SERIAL].to_pylist() == [
        serial.hex().upper() for serial in made["serial_number"].to_pylist()
    ]
    assert plain.texts[Field.USAGE].to_pylist() == [usage or "" for usage in made["usage"].to_pylist()]
