from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree

from builders import XSD
from smki.annex_b.reading import decode_body, pybase64
from smki.annex_b.version import V1, Field
from smki.certificates.model import Status
from smki.kinds.extracts.plan import ExtractPlan
from smki.kinds.extracts.rendering import render_head, render_records, render_tail

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
PLAN = ExtractPlan(
    "delta",
    None,
    "SMKIKR_DELT_2025-06-02.xml.gz",
    date(2025, 6, 2),
    datetime(2025, 6, 2, tzinfo=UTC),
    1,
    (),
    V1,
)
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
    assert b"".join(render_records(table(rows))) == b"".join(map(serialised, rows))


@given(rows=ROWS, batch=st.integers(1, 50), offset=st.integers(0, 5))
def test_records_are_the_same_whatever_the_batches_and_chunks(rows: list[Row], batch: int, offset: int) -> None:
    parts = [table(rows[:offset]), table(rows[offset : offset + 3]), table(rows[offset + 3 :])]
    whole = b"".join(render_records(table(rows)))
    assert b"".join(render_records(pa.concat_tables(parts), V1, batch)) == whole
    assert b"".join(render_records(table([*rows[:offset], *rows]).slice(len(rows[:offset])), V1, batch)) == whole


@given(rows=ROWS)
@example(rows=[])
def test_document_is_valid_by_the_schema(rows: list[Row]) -> None:
    document = render_head(PLAN.xml_name) + b"".join(render_records(table(rows))) + render_tail()
    root = etree.fromstring(document, etree.XMLParser(schema=etree.XMLSchema(etree.parse(XSD))))
    assert len(root.findall(V1.record)) == len(rows)
    assert root.findtext("AuditReference") == "SMKIKR_DELT_2025-06-02"


@given(body=st.binary(min_size=1, max_size=500))
def test_body_is_base64_on_one_line_and_decodes_to_the_same_bytes(body: bytes) -> None:
    row = {"class": "DEVICE", "serial_number": b"\1", "eui64": b"8 bytes.", "usage": "DS", "status": "I"}
    (rendered,) = render_records(table([row | {"body": body, "manufacturing": False}] * 2))
    texts = [record.findtext(V1.names[Field.BODY]) for record in etree.fromstring(b"<r>" + rendered + b"</r>")]
    assert [decode_body(text) for text in texts] == [body, body]
    assert "\n" not in texts[0]
