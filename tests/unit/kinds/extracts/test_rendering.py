from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree

from builders import XSD
from smki.annex_b.reading import decode_body, pybase64
from smki.annex_b.version import V1, Field
from smki.certificates.model import Status
from smki.kinds.extracts.rendering import render_head, render_pages, render_tail

SCHEMA = pa.schema(
    {
        "class": pa.string(),
        "serial_number": pa.binary(),
        "eui64": pa.binary(),
        "common_name": pa.string(),
        "role": pa.int16(),
        "usage": pa.string(),
        "manufacturing": pa.bool_(),
        "body": pa.binary(),
        "status": pa.string(),
    }
)
XML_NAME = "SMKIKR_DELT_2025-06-02.xml"
Row = dict[str, Any]

EUI64 = st.binary(min_size=8, max_size=8)
NAMES = st.text("AB &<>\"']ßŁ電𝔸", min_size=1, max_size=6)
COMMON = {
    "serial_number": st.binary(min_size=1, max_size=4),
    "manufacturing": st.booleans(),
    "body": st.binary(min_size=1, max_size=9),
    "status": st.sampled_from([str(status) for status in Status]),
}
USAGES = st.sampled_from(["DS", "KA"])
DEVICES = st.fixed_dictionaries(
    COMMON | {"class": st.just("DEVICE"), "eui64": EUI64, "common_name": st.none(), "role": st.none(), "usage": USAGES}
)
ORGANISATIONS = st.fixed_dictionaries(
    COMMON
    | {
        "class": st.just("ORGANISATION"),
        "eui64": EUI64,
        "common_name": st.none() | NAMES,
        "role": st.integers(0, 255),
        "usage": USAGES,
    }
)
AUTHORITIES = st.fixed_dictionaries(
    COMMON
    | {
        "class": st.sampled_from(["OCA", "DCA"]),
        "eui64": st.none() | EUI64,
        "common_name": NAMES,
        "role": st.none(),
        "usage": st.none(),
    }
)
ROWS = st.lists(DEVICES | ORGANISATIONS | AUTHORITIES, max_size=40)


def table(rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(rows, SCHEMA)


def xml_of(columns: pa.Table, batch: int = 16) -> bytes:
    """All of them as one page."""
    return b"".join(page.xml for page in render_pages(columns, np.zeros(len(columns), np.int64), V1, batch))


def serialised(row: Row) -> bytes:
    """One record as lxml writes it, element by element."""
    eui64 = row["eui64"]
    subject = row["common_name"] if eui64 is None else "-".join(f"{byte:02X}" for byte in eui64)
    record = etree.Element("CertificateResponse")
    is_device = row["class"] == "DEVICE"
    etree.SubElement(record, "CertificateSubjectAltName" if is_device else "CertificateSubjectName").text = subject
    etree.SubElement(record, "CertificateSerial").text = "".join(f"{byte:02X}" for byte in row["serial_number"])
    etree.SubElement(record, "CertificateStatus").text = row["status"]
    etree.SubElement(record, "CertificateBody").text = pybase64.b64encode(row["body"]).decode()
    if row["role"] is not None:
        etree.SubElement(record, "CertificateRole").text = str(row["role"])
    if row["usage"] is not None:
        etree.SubElement(record, "CertificateUsage").text = row["usage"]
    etree.SubElement(record, "ManufacturingFlag").text = str(row["manufacturing"]).lower()
    return etree.tostring(record, encoding="UTF-8", xml_declaration=False) + b"\n"


@given(rows=ROWS)
def test_records_are_what_an_xml_library_writes(rows: list[Row]) -> None:
    assert xml_of(table(rows)) == b"".join(map(serialised, rows))


@given(rows=ROWS, batch=st.integers(1, 50), offset=st.integers(0, 5))
def test_records_are_the_same_whatever_the_batches_and_chunks(rows: list[Row], batch: int, offset: int) -> None:
    parts = [table(rows[:offset]), table(rows[offset : offset + 3]), table(rows[offset + 3 :])]
    whole = xml_of(table(rows))
    assert xml_of(pa.concat_tables(parts), batch) == whole
    assert xml_of(table([*rows[:offset], *rows]).slice(len(rows[:offset])), batch) == whole


@given(rows=ROWS, batch=st.integers(1, 50), data=st.data())
def test_page_is_what_its_records_are_alone(rows: list[Row], batch: int, data: st.DataObject) -> None:
    numbers = sorted(data.draw(st.lists(st.integers(0, 9), min_size=len(rows), max_size=len(rows))))
    pages = {page.number: page for page in render_pages(table(rows), np.array(numbers, np.int64), V1, batch)}
    assert list(pages) == sorted(set(numbers))
    for number, page in pages.items():
        own = [row for row, of in zip(rows, numbers, strict=True) if of == number]
        assert (bytes(page.xml), page.records) == (xml_of(table(own)), len(own))


@given(rows=ROWS)
@example(rows=[])
def test_document_is_valid_by_the_schema(rows: list[Row]) -> None:
    document = render_head(XML_NAME) + xml_of(table(rows)) + render_tail()
    root = etree.fromstring(document, etree.XMLParser(schema=etree.XMLSchema(etree.parse(XSD))))
    assert len(root.findall(V1.record)) == len(rows)
    assert root.findtext("AuditReference") == "SMKIKR_DELT_2025-06-02"


@given(body=st.binary(min_size=1, max_size=500))
def test_body_is_base64_on_one_line_and_decodes_to_the_same_bytes(body: bytes) -> None:
    row = {"class": "DEVICE", "serial_number": b"\1", "eui64": b"8 bytes.", "usage": "DS", "status": "I"}
    rendered = xml_of(table([row | {"body": body, "manufacturing": False}] * 2))
    texts = [record.findtext(V1.names[Field.BODY]) for record in etree.fromstring(b"<r>" + rendered + b"</r>")]
    assert [decode_body(text) for text in texts] == [body, body]
    assert "\n" not in texts[0]
