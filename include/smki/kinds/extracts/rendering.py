"""Renders certificates as Annex B XML, column by column.

Records with the same elements, the same constants and the same lengths are one shape: their octets differ in the
subject, the serial number and the body only. So each shape is a matrix whose constant columns are copied and whose
other columns are written at once; the records are then put back into lodging order. The result depends on rows alone.
"""

from collections.abc import Iterator
from xml.sax.saxutils import escape

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pybase64
from numpy.typing import NDArray

from smki.annex_b import reading as annex_b
from smki.certificates.model import CertificateClass

Octets = NDArray[np.uint8]
_BATCH = 16_384  # records rendered at once: the matrices stay near the processor's caches
_HEX = np.frombuffer(b"".join(b"%02X" % octet for octet in range(256)), dtype=np.uint8).reshape(256, 2)


def render_head(xml_name: str) -> bytes:
    """The document up to its first certificate. AuditReference is the XML's own name: content is reproducible."""
    fields = (*annex_b.SUCCESS, (annex_b.AUDIT_REFERENCE, xml_name.removesuffix(".xml")))
    elements = "".join(f"<{name}>{escape(value)}</{name}>\n" for name, value in fields)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{annex_b.ROOT}>\n{elements}'.encode()


def render_tail() -> bytes:
    """The document after its last certificate."""
    return f"</{annex_b.ROOT}>\n".encode()


def render_records(columns: pa.Table, batch: int = _BATCH) -> Iterator[pa.Buffer]:
    """The certificates of `columns` (see `read_columns`) as CertificateResponse elements, in the order given."""
    for start in range(0, columns.num_rows, batch):
        yield _render_batch(columns.slice(start, batch))


def _render_batch(columns: pa.Table) -> pa.Buffer:
    shapes = _rows_by_shape(columns)
    octets = columns.select(["serial_number", "eui64", "body"])
    pieces = [_pieces(columns.slice(int(rows[0]), 1), octets.take(pa.array(rows))) for rows in shapes]
    lengths = np.repeat([_width(shape) for shape in pieces], [len(rows) for rows in shapes])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    rendered = np.empty(offsets[-1], dtype=np.uint8)
    row = 0
    for shape, rows in zip(pieces, shapes, strict=True):
        records = rendered[offsets[row] : offsets[row + len(rows)]]
        _side_by_side(shape, records.reshape(len(rows), -1))
        row += len(rows)
    by_shape = pa.BinaryArray.from_buffers(
        pa.binary(), len(lengths), [None, pa.py_buffer(offsets), pa.py_buffer(rendered)]
    )
    return pc.take(by_shape, pa.array(np.argsort(np.concatenate(shapes)))).buffers()[2]


def _rows_by_shape(columns: pa.Table) -> list[NDArray[np.intp]]:
    """Row numbers of each shape, ascending; every row once."""
    key = pa.table(
        {
            name: columns[name].dictionary_encode().combine_chunks().indices.fill_null(-1)
            for name in ("class", "status", "role", "usage", "manufacturing")
        }
        | {"subject": _constant_subject(columns).dictionary_encode().combine_chunks().indices.fill_null(-1)}
        | {name: pc.fill_null(pc.binary_length(columns[name]), -1) for name in ("serial_number", "eui64", "body")}
    )
    code = np.zeros(columns.num_rows, dtype=np.int64)
    for name in key.column_names:
        _, part = np.unique(key[name].to_numpy(), return_inverse=True)
        _, code = np.unique(code * (part.max() + 1) + part, return_inverse=True)
    by_code = np.argsort(code, kind="stable")
    return np.split(by_code, np.cumsum(np.bincount(code))[:-1])


def _pieces(example: pa.Table, octets: pa.Table) -> list[bytes | Octets]:
    """What records of one shape consist of: octets that are the same in each, and (rows, width) matrices, in turn.

    `example` is one of the records, `octets` has what varies of each.
    """
    first = example.to_pylist()[0]
    certificate_class = CertificateClass(first["class"])
    subject = annex_b.subject_element(certificate_class)
    texts: dict[str, str | Octets | None] = {
        subject: escape(first["common_name"] or "")
        if first["eui64"] is None
        else _dashed_hex(_octets(octets["eui64"])),
        annex_b.SERIAL: _hex(_octets(octets["serial_number"])),
        annex_b.STATUS: first["status"],
        annex_b.BODY: _base64(_octets(octets["body"])),
        annex_b.ROLE: str(first["role"]) if certificate_class is CertificateClass.ORGANISATION else None,
        annex_b.USAGE: first["usage"],
        annex_b.MANUFACTURING: "true" if first["manufacturing"] else "false",
    }
    constant, pieces = f"<{annex_b.RECORD}>", list[bytes | Octets]()
    for name in annex_b.RECORD_ELEMENTS:
        text = texts.get(name)
        if isinstance(text, str):
            constant += f"<{name}>{text}</{name}>"
        elif text is not None:
            pieces += [f"{constant}<{name}>".encode(), text]
            constant = f"</{name}>"
    pieces.append(f"{constant}</{annex_b.RECORD}>\n".encode())
    return pieces


def _width(pieces: list[bytes | Octets]) -> int:
    return sum(len(piece) if isinstance(piece, bytes) else piece.shape[1] for piece in pieces)


def _side_by_side(pieces: list[bytes | Octets], records: Octets) -> None:
    """Writes the pieces next to each other into each row of `records`."""
    start = 0
    for piece in pieces:
        letters = np.frombuffer(piece, np.uint8) if isinstance(piece, bytes) else piece
        end = start + letters.shape[-1]
        records[:, start:end] = letters
        start = end


def _constant_subject(columns: pa.Table) -> pa.ChunkedArray:
    """The common name where it is the subject (CA certificates without EUI-64), else null."""
    return pc.if_else(pc.is_null(columns["eui64"]), columns["common_name"], pa.scalar(None, pa.string()))


def _dashed_hex(octets: Octets) -> Octets:
    """(rows, 8) octets as (rows, 23) letters: `90-B3-D5-1F-30-00-00-02`."""
    dashed = np.full((*octets.shape, 3), ord("-"), dtype=np.uint8)
    dashed[:, :, :2] = _HEX[octets]
    return dashed.reshape(len(octets), -1)[:, :-1]


def _octets(column: pa.ChunkedArray) -> Octets:
    """Binary values of one length as a (rows, length) matrix."""
    values = column.combine_chunks()
    rows, offset = len(values), values.offset
    start, end = np.frombuffer(values.buffers()[1], np.int32, count=offset + rows + 1)[[offset, offset + rows]]
    return np.frombuffer(values.buffers()[2], np.uint8, count=end - start, offset=start).reshape(rows, -1)


def _hex(octets: Octets) -> Octets:
    return _HEX[octets].reshape(len(octets), -1)


def _base64(octets: Octets) -> Octets:
    """Base64 of each row, in one call: rows are padded to whole groups of three octets, and the padding's letters
    become `=` (the zero bits before them are those that RFC 4648, 4 asks for).
    """
    rows, length = octets.shape
    missing = -length % 3
    padded = np.zeros((rows, length + missing), dtype=np.uint8)
    padded[:, :length] = octets
    encoded = np.frombuffer(pybase64.b64encode(padded.data), np.uint8).reshape(rows, -1)
    if missing:
        encoded = encoded.copy()
        encoded[:, -missing:] = ord("=")
    return encoded
