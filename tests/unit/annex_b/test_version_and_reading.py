import io
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from builders import XSD, document, look_alikes, record_of
from smki.annex_b.reading import Record, decode_body, read_records
from smki.annex_b.reading import record_of as read_record
from smki.annex_b.version import FORMATS, V1, AnnexB, Field, find_format, schema_path
from smki.errors import DocumentRefusedError
from smki.settings import INCLUDE, Settings

XS = "{http://www.w3.org/2001/XMLSchema}"


def test_names_and_order_are_those_of_the_schema() -> None:
    schema = etree.parse(XSD).getroot()
    (record,) = schema.iterfind(f"{XS}complexType[@name='{V1.record}']")
    elements = [(element.get("name"), element.get("minOccurs") == "0") for element in record.iter(f"{XS}element")]
    choice = {element.get("name") for element in record.iterfind(f"{XS}sequence/{XS}choice/{XS}element")}
    assert elements == [(one.name, one.optional and one.name not in choice) for one in V1.elements]
    assert choice == {V1.names[Field.SUBJECT_NAME], V1.names[Field.SUBJECT_ALT_NAME]}
    (root,) = schema.iterfind(f"{XS}element")
    (sequence,) = root.iterfind(f"{XS}complexType/{XS}sequence")
    assert root.get("name") == V1.root
    assert [element.get("name") for element in sequence] == [*dict(V1.head), V1.record]


@pytest.mark.parametrize("annex_b", FORMATS.values(), ids=FORMATS)
def test_every_format_has_an_element_for_each_field_and_its_schema(annex_b: AnnexB) -> None:
    assert sorted(one.field for one in annex_b.elements) == sorted(Field)
    assert find_format(annex_b.version) is annex_b
    assert (INCLUDE / "schema" / annex_b.schema).is_file()


def test_operator_may_put_another_schema_in_the_place_of_the_first_formats() -> None:
    stated = Settings.from_environment({"SMKI_ANNEX_B_XSD": "/official.xsd"}).annex_b_xsd
    assert schema_path(V1, stated) == Path("/official.xsd")
    assert schema_path(V1, Settings.from_environment({}).annex_b_xsd) == INCLUDE / "schema" / V1.schema
    other = replace(V1, version="other", schema="other.xsd")
    assert schema_path(other, stated) == INCLUDE / "schema" / "other.xsd"


def test_unknown_format_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match="annex_b-0"):
        find_format("annex_b-0")


def test_fields_of_a_record_stand_in_the_order_of_its_elements() -> None:
    assert Record._fields == tuple(Field)
    xml = "".join(f"<{name}>{field}</{name}>" for field, name in V1.names.items())
    assert read_record(etree.fromstring(f"<r>{xml}</r>"), V1) == Record(*Field)


@pytest.mark.parametrize("pretty", [False, True])
def test_records_are_read_one_by_one_as_they_stand(signed: list[bytes], pretty: bool) -> None:
    records = [record_of(body, "N") for body in signed]
    stream = io.BytesIO(document(records, pretty=pretty))
    reading = read_records(stream, "x")
    assert next(reading) == records[0]
    assert stream.tell() < len(stream.getvalue()) or len(stream.getvalue()) < 1 << 16
    assert [records[0], *reading] == records


@pytest.mark.parametrize("before", [b"", b"<x/><y/>"])
def test_records_that_stand_below_another_element_are_read(signed: list[bytes], before: bytes) -> None:
    """No such document is valid; what reads records to name them reads on."""
    records = [record_of(body) for body in signed[:3]]
    xml = document(records)
    first, end = xml.index(V1.record_start), xml.rindex(V1.record_end) + len(V1.record_end)
    wrapped = b"".join((xml[:first], before, b"<w>", xml[first:end], b"</w><z/>", xml[first:]))
    assert list(read_records(io.BytesIO(wrapped), "x")) == records * 2


def test_text_that_a_comment_divides_is_read_whole() -> None:
    record = record_of(look_alikes(1)[0])
    xml = document([record]).replace(b"<CertificateBody>MII", b"<CertificateBody>M<!-- x -->I<?y z?>I")
    assert list(read_records(io.BytesIO(xml), "x")) == [record]


@pytest.mark.parametrize("text", ["AAAA", " AAAA", "AAAA\n", "\r\n  AA\tA\r\nA \n"])
def test_white_space_in_a_body_is_no_part_of_it(text: str) -> None:
    assert decode_body(text) == bytes(3)


@pytest.mark.parametrize("text", ["AAA", "AA=A", "AAAA=", "-_==", "ÄAAA", "AA\xa0AA", "AA\x0bAA", "AB==", "A A="])
def test_body_that_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # binascii.Error has many texts
        decode_body(text)


def test_entities_are_neither_fetched_nor_resolved(tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("entity") / "secret"
    secret.write_text("secret")
    xml = f'<!DOCTYPE r [<!ENTITY x SYSTEM "{secret.as_uri()}">]><CertificateDataResponse>&x;</CertificateDataResponse>'
    with pytest.raises(DocumentRefusedError, match="document type") as caught:
        list(read_records(io.BytesIO(xml.encode()), "x"))
    assert "secret" not in str(caught.value).replace(str(secret), "")
