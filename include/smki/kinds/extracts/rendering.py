"""Renders certificates as Annex B XML, column by column.

Records with the same elements, the same constants and the same lengths are one shape: their bytes differ in the
subject, the serial number and the body only. So each shape is a matrix whose constant columns are copied and whose
other columns are written at once; the records are then put back into lodging order. The result depends on the rows and
the format alone.
"""

from collections.abc import Iterator
from xml.sax.saxutils import escape

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pybase64
from numpy.typing import NDArray

from smki.annex_b.version import CURRENT, AnnexB, Field
from smki.certificates.columns import ByteArray
from smki.certificates.model import CertificateClass
from smki.store.pages import PageXml

_BATCH = 16_384  # records rendered at once: the matrices stay near the processor's caches
_HEX = np.frombuffer(b"".join(b"%02X" % byte for byte in range(256)), dtype=np.uint8).reshape(256, 2)


def render_head(xml_name: str, annex_b: AnnexB = CURRENT) -> bytes:
    """The document up to its first certificate. It depends on the XML's own name alone, so content is reproducible."""
    elements = "".join(f"<{name}>{escape(text)}</{name}>\n" for name, text in annex_b.head_texts(xml_name))
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + annex_b.root_start + b"\n" + elements.encode()


def render_tail(annex_b: AnnexB = CURRENT) -> bytes:
    """The document after its last certificate."""
    return annex_b.root_end + b"\n"


def render_pages(
    columns: pa.Table, numbers: NDArray[np.int64], annex_b: AnnexB = CURRENT, batch: int = _BATCH
) -> Iterator[PageXml]:
    """The certificates of `columns` (see `read_columns`) as records, a line each, in the order given, page by page.

    `numbers` (n,) says in which page each stands, in ascending order.
    """
    _, firsts = np.unique(numbers, return_index=True)
    bounds = [*firsts.tolist(), len(numbers)]
    first = 0
    while first < len(firsts):
        start = bounds[first]
        last = max(first + 1, int(np.searchsorted(bounds, start + batch, "right")) - 1)
        rendered, ends = _render_batch(columns.slice(start, bounds[last] - start), annex_b)
        xml = memoryview(rendered)
        for page in range(first, last):
            begin, end = (int(ends[bounds[side] - start]) for side in (page, page + 1))
            yield PageXml(int(numbers[bounds[page]]), bounds[page + 1] - bounds[page], xml[begin:end])
        first = last


def _render_batch(columns: pa.Table, annex_b: AnnexB) -> tuple[pa.Buffer, NDArray[np.int64]]:
    """The XML of n records, and (n + 1) where each begins and the last one ends."""
    shapes = _rows_by_shape(columns)
    varying = columns.select(["serial_number", "eui64", "body"])
    pieces = [_pieces(columns.slice(int(rows[0]), 1), varying.take(pa.array(rows)), annex_b) for rows in shapes]
    lengths = np.repeat([_width(shape) for shape in pieces], [len(rows) for rows in shapes])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    rendered = np.empty(offsets[-1], dtype=np.uint8)
    row = 0
    for shape, rows in zip(pieces, shapes, strict=True):
        records = rendered[offsets[row] : offsets[row + len(rows)]]
        _write_side_by_side(shape, records.reshape(len(rows), -1))
        row += len(rows)
    by_shape = pa.BinaryArray.from_buffers(
        pa.binary(), len(lengths), [None, pa.py_buffer(offsets), pa.py_buffer(rendered)]
    )
    order = np.argsort(np.concatenate(shapes))
    return (
        pc.take(by_shape, pa.array(order)).buffers()[2],
        np.concatenate([[0], np.cumsum(lengths[order], dtype=np.int64)]),
    )


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


def _pieces(example: pa.Table, varying: pa.Table, annex_b: AnnexB) -> list[bytes | ByteArray]:
    """What records of one shape consist of: bytes that are the same in each, and (rows, width) matrices, in turn.

    `example` is one of the records, `varying` has what differs between them.
    """
    first = example.to_pylist()[0]
    certificate_class = CertificateClass(first["class"])
    is_device = certificate_class is CertificateClass.DEVICE
    texts: dict[Field, str | ByteArray | None] = {
        Field.SUBJECT_ALT_NAME if is_device else Field.SUBJECT_NAME: escape(first["common_name"] or "")
        if first["eui64"] is None
        else _dashed_hex(_matrix(varying["eui64"])),
        Field.SERIAL: _hex(_matrix(varying["serial_number"])),
        Field.STATUS: first["status"],
        Field.BODY: _base64(_matrix(varying["body"])),
        Field.ROLE: str(first["role"]) if certificate_class is CertificateClass.ORGANISATION else None,
        Field.USAGE: first["usage"],
        Field.MANUFACTURING: "true" if first["manufacturing"] else "false",
    }
    constant, pieces = f"<{annex_b.record}>", list[bytes | ByteArray]()
    for element in annex_b.elements:
        name, text = element.name, texts.get(element.field)
        if isinstance(text, str):
            constant += f"<{name}>{text}</{name}>"
        elif text is not None:
            pieces += [f"{constant}<{name}>".encode(), text]
            constant = f"</{name}>"
    pieces.append(f"{constant}</{annex_b.record}>\n".encode())
    return pieces


def _width(pieces: list[bytes | ByteArray]) -> int:
    return sum(len(piece) if isinstance(piece, bytes) else piece.shape[1] for piece in pieces)


def _write_side_by_side(pieces: list[bytes | ByteArray], records: ByteArray) -> None:
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


def _dashed_hex(values: ByteArray) -> ByteArray:
    """(rows, 8) bytes as (rows, 23) letters: `90-B3-D5-1F-30-00-00-02`."""
    dashed = np.full((*values.shape, 3), ord("-"), dtype=np.uint8)
    dashed[:, :, :2] = _HEX[values]
    return dashed.reshape(len(values), -1)[:, :-1]


def _matrix(column: pa.ChunkedArray) -> ByteArray:
    """Binary values of one length as a (rows, length) matrix."""
    values = column.combine_chunks()
    rows, offset = len(values), values.offset
    start, end = np.frombuffer(values.buffers()[1], np.int32, count=offset + rows + 1)[[offset, offset + rows]]
    return np.frombuffer(values.buffers()[2], np.uint8, count=end - start, offset=start).reshape(rows, -1)


def _hex(values: ByteArray) -> ByteArray:
    return _HEX[values].reshape(len(values), -1)


def _base64(values: ByteArray) -> ByteArray:
    """Base64 of each row, in one call: rows are padded to whole groups of three bytes, and the padding's letters
    become `=` (the zero bits before them are those that RFC 4648, 4 asks for).
    """
    rows, length = values.shape
    missing = -length % 3
    padded = np.zeros((rows, length + missing), dtype=np.uint8)
    padded[:, :length] = values
    encoded = np.frombuffer(pybase64.b64encode(padded.data), np.uint8).reshape(rows, -1)
    if missing:
        encoded = encoded.copy()
        encoded[:, -missing:] = ord("=")
    return encoded
