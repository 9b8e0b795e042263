"""Reads plain records column by column, without an XML parser.

Plain is what the publisher writes, and what a parser can only read as it stands: a line of UTF-8 a record, the
format's elements with their texts end to end; no attribute, comment, CDATA section or carriage return, and no entity
but `&amp;`, `&lt;` and `&gt;`. Lines of equal length with the same markup at the same places are one shape. Its first
line is matched by the format's pattern; in the others every byte of the markup has to be the same. The shapes' markup
accounts for every `<` there is, so what stands between it are the texts.

What is not plain, holds a body that is not Base64 or has too many shapes to be read fast is not read here: a parser
has to say what it is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pybase64
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from smki.annex_b.version import AnnexB, Field
from smki.certificates.columns import ByteArray, put_in_order, to_column

TEXTS = tuple(field for field in Field if field is not Field.BODY)
_NAME = "(?:[^<&\r\n]|&(?:amp|lt|gt);)+"
_FLAGS = ("true", "false", "1", "0")
_PATTERNS = {
    Field.SUBJECT_NAME: _NAME,
    Field.SUBJECT_ALT_NAME: _NAME,
    Field.SERIAL: "[0-9A-F]+",
    Field.STATUS: "[A-Z]",
    Field.BODY: "(?:[A-Za-z0-9+/=]{4})+",
    Field.ROLE: "[0-9]+",
    Field.USAGE: "[A-Z]+",
    Field.MANUFACTURING: "|".join(_FLAGS),
}
_MOST_SHAPES = 256  # of a piece; with more, its lines have too little in common for this to be faster
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&amp;": "&"}  # the last one last: it makes new ones of `&amp;lt;`


@dataclass(frozen=True, slots=True)
class Columns:
    """What n records say, column by column."""

    texts: dict[Field, pa.StringArray]  # each of TEXTS, "" where the element is absent
    bodies: pa.BinaryArray  # (n,) DER


@dataclass(frozen=True, slots=True)
class _Shape:
    rows: NDArray[np.intp]
    lines: ByteArray  # (rows, bytes of a line)
    texts: dict[Field, slice]  # where the text of each field stands in each line
    tags: int  # in each line


class _NotPlainError(Exception):
    """A parser has to read it."""


def read_plain(records: bytes, annex_b: AnnexB) -> Columns | None:
    """The columns of a piece that holds plain records and nothing else; None for any other piece, and for one whose
    records have little in common.
    """
    if not records.endswith(b"\n") or b"\r" in records or not _has_plain_letters(records):
        return None
    letters = np.frombuffer(records, np.uint8)
    try:
        shapes = list(_find_shapes(letters, _line_pattern(annex_b)))
        bodies = [
            part for shape in shapes for part in _decode_bodies(shape.rows, shape.lines[:, shape.texts[Field.BODY]])
        ]
    except _NotPlainError:
        return None
    if sum(len(shape.rows) * shape.tags for shape in shapes) != np.count_nonzero(letters == ord("<")):
        return None
    rows = [shape.rows for shape in shapes]
    texts: dict[Field, pa.StringArray] = {
        field: put_in_order([_texts(shape, field) for shape in shapes], rows, pa.string()) for field in TEXTS
    }
    if not pc.all(pc.is_in(texts[Field.MANUFACTURING], pa.array(_FLAGS))).as_py():  # the schema allows white space
        return None
    if b"&" in records:
        for entity, letter in _ENTITIES.items():
            texts = {field: pc.replace_substring(column, entity, letter) for field, column in texts.items()}
    return Columns(texts, put_in_order([body for _, body in bodies], [rows for rows, _ in bodies], pa.binary()))


def are_plain(records: bytes, annex_b: AnnexB) -> bool:
    """Whether a piece holds plain records and nothing else, however many shapes they have."""
    line = _line_pattern(annex_b)
    return all(line.fullmatch(record) for record in records.splitlines(keepends=True))


def _has_plain_letters(records: bytes) -> bool:
    """Whether the bytes are UTF-8, with no entity but those that are plain."""
    try:
        records.isascii() or records.decode()
    except UnicodeDecodeError:
        return False
    return b"&" not in records or records.count(b"&") == sum(records.count(entity.encode()) for entity in _ENTITIES)


@cache
def _line_pattern(annex_b: AnnexB) -> re.Pattern[bytes]:
    """A record on a line of its own; its groups are named as the fields are."""

    def element(name: str, text: str) -> str:
        return f"<{re.escape(name)}>{text}</{re.escape(name)}>"

    elements = (
        f"(?:{element(one.name, f'(?P<{one.field}>{_PATTERNS[one.field]})')})" + "?" * one.optional
        for one in annex_b.elements
    )
    return re.compile((element(annex_b.record, "".join(elements)) + "\n").encode())


def _find_shapes(letters: ByteArray, line: re.Pattern[bytes]) -> Iterator[_Shape]:
    """All lines, by shape. Raises _NotPlainError."""
    ends = np.flatnonzero(letters == ord("\n")) + 1
    lengths = np.diff(ends, prepend=0)
    found = 0
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        lines = sliding_window_view(letters, length)[ends[rows] - length]
        while len(rows):
            found += 1
            first = line.fullmatch(lines[0].tobytes())
            if first is None or found > _MOST_SHAPES:
                raise _NotPlainError
            texts = {field: slice(*first.span(field)) for field in Field if first[field] is not None}
            markup = np.ones(length, dtype=np.bool_)
            for text in texts.values():
                markup[text] = False
            other = ((lines != lines[0]) & markup).any(axis=1)
            same = np.logical_not(other)
            yield _Shape(rows[same], lines[same] if other.any() else lines, texts, first[0].count(b"<"))
            rows, lines = rows[other], lines[other]


def _texts(shape: _Shape, field: Field) -> pa.StringArray:
    text = shape.texts.get(field)
    if text is None:
        return pa.repeat("", len(shape.rows))
    return to_column(shape.lines[:, text], pa.string())


def _decode_bodies(rows: NDArray[np.intp], letters: ByteArray) -> Iterator[tuple[NDArray[np.intp], pa.BinaryArray]]:
    """What (rows, letters) of Base64 stand for, with the rows, in parts. Raises _NotPlainError.

    Rows with as much padding are decoded in one call: their padding becomes letters that stand for zeros, and the bytes
    that those make are taken away. So bits that belong to no byte have to be zero, too (RFC 4648, 3.5).
    """
    ends = letters[:, -2:] == ord("=")
    padding = np.where(ends[:, 1], ends.sum(axis=1), 0)
    for missing in np.unique(padding):
        chosen = padding == missing
        padded = letters[chosen]
        padded[:, padded.shape[1] - missing :] = ord("A")
        try:
            decoded = np.frombuffer(pybase64.b64decode(padded.data, validate=True), np.uint8).reshape(len(padded), -1)
        except ValueError:
            raise _NotPlainError from None
        bodies, rest = np.split(decoded, [decoded.shape[1] - missing], axis=1)
        if rest.any():
            raise _NotPlainError
        yield rows[chosen], to_column(bodies, pa.binary())
