import io

import pytest
from lxml import etree

from builders import XSD, document, look_alikes, record_of
from smki.annex_b import reading as annex_b
from smki.errors import DocumentRefusedError

XS = "{http://www.w3.org/2001/XMLSchema}"


def test_names_and_order_are_those_of_the_schema() -> None:
    schema = etree.parse(XSD).getroot()
    (record,) = schema.iterfind(f"{XS}complexType[@name='{annex_b.RECORD}']")
    assert [element.get("name") for element in record.iter(f"{XS}element")] == list(annex_b.RECORD_ELEMENTS)
    (root,) = schema.iterfind(f"{XS}element")
    (sequence,) = root.iterfind(f"{XS}complexType/{XS}sequence")
    head = [*(name for name, _ in annex_b.SUCCESS), annex_b.AUDIT_REFERENCE, annex_b.RECORD]
    assert root.get("name") == annex_b.ROOT
    assert [element.get("name") for element in sequence] == head
    assert head[:2] == [annex_b.RESPONSE_CODE, annex_b.RESPONSE_MESSAGE]


def test_fields_of_a_record_stand_in_the_order_of_its_elements() -> None:
    assert len(annex_b.Record._fields) == len(annex_b.RECORD_ELEMENTS)
    xml = "".join(f"<{name}>{name}</{name}>" for name in annex_b.RECORD_ELEMENTS)
    assert annex_b.record_of(etree.fromstring(f"<r>{xml}</r>")) == annex_b.Record(*annex_b.RECORD_ELEMENTS)


@pytest.mark.parametrize("pretty", [False, True])
def test_records_are_read_one_by_one_as_they_stand(signed: list[bytes], pretty: bool) -> None:
    records = [record_of(body, "N") for body in signed]
    stream = io.BytesIO(document(records, pretty=pretty))
    reading = annex_b.read_records(stream, "x")
    assert next(reading) == records[0]
    assert stream.tell() < len(stream.getvalue()) or len(stream.getvalue()) < 1 << 16
    assert [records[0], *reading] == records


def test_text_that_a_comment_divides_is_read_whole() -> None:
    record = record_of(look_alikes(1)[0])
    xml = document([record]).replace(b"<CertificateBody>MII", b"<CertificateBody>M<!-- x -->I<?y z?>I")
    assert list(annex_b.read_records(io.BytesIO(xml), "x")) == [record]


@pytest.mark.parametrize("text", ["AAA", "AA=A", "A A=", "AAAA\n", "ÄAAA", "AAAA=", "-_=="])
def test_body_that_is_not_base64_on_one_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # binascii.Error has many texts
        annex_b.decode_body(text)


def test_entities_are_neither_fetched_nor_resolved(tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("entity") / "secret"
    secret.write_text("secret")
    xml = f'<!DOCTYPE r [<!ENTITY x SYSTEM "{secret.as_uri()}">]><CertificateDataResponse>&x;</CertificateDataResponse>'
    with pytest.raises(DocumentRefusedError, match="document type") as caught:
        list(annex_b.read_records(io.BytesIO(xml.encode()), "x"))
    assert "secret" not in str(caught.value).replace(str(secret), "")
