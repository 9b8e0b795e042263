"""Reads plain records column by column, without an XML parser.

Plain is what a parser can only read as it stands: a line of ASCII a record, the elements of Annex B with their texts
end to end; no attribute, entity, comment, CDATA section or carriage return. Lines of equal length with the same markup
at the same places are one shape: its first line is held against `_LINE`, and in the others every octet of the markup
has to be the same. The shapes' markup accounts for every `<` there is, so what stands between it are the texts.

What is not plain, or holds a body that is not Base64, is not read here: a parser has to say what it is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pybase64
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from smki.annex_b import reading as annex_b
from smki.certificates.columns import Octets, column, in_order

TEXT_ELEMENTS = tuple(name for name in annex_b.RECORD_ELEMENTS if name != annex_b.BODY)
_MOST_SHAPES = 256  # of a piece; with more, its lines have too little in common to be read together


@dataclass(frozen=True, slots=True)
class Columns:
    """What n records say, column by column."""

    texts: dict[str, pa.StringArray]  # of each of TEXT_ELEMENTS, "" where it is absent
    bodies: pa.BinaryArray  # (n,) DER


@dataclass(frozen=True, slots=True)
class _Shape:
    rows: NDArray[np.intp]
    lines: Octets  # (rows, octets of a line)
    texts: dict[str, slice]  # element name → where its text stands in each line
    tags: int  # in each line


class _NotPlainError(Exception):
    """A parser has to read it."""


def read_plain(records: bytes) -> Columns | None:
    """The columns of a piece that holds plain records and nothing else; None for any other piece."""
    if not records.endswith(b"\n") or not records.isascii() or b"&" in records or b"\r" in records:
        return None
    octets = np.frombuffer(records, np.uint8)
    try:
        shapes = list(_shapes(octets))
        bodies = [part for shape in shapes for part in _bodies(shape.rows, shape.lines[:, shape.texts[annex_b.BODY]])]
    except _NotPlainError:
        return None
    if sum(len(shape.rows) * shape.tags for shape in shapes) != np.count_nonzero(octets == ord("<")):
        return None
    rows = [shape.rows for shape in shapes]
    return Columns(
        {name: in_order([_texts(shape, name) for shape in shapes], rows, pa.string()) for name in TEXT_ELEMENTS},
        in_order([body for _, body in bodies], [rows for rows, _ in bodies], pa.binary()),
    )


def _line() -> re.Pattern[bytes]:
    def element(name: str, text: str, *, optional: bool = False) -> str:
        return f"(?:<{name}>(?P<{name}>{text})</{name}>)" + "?" * optional

    pattern = (
        f"<{annex_b.RECORD}>"
        + element(annex_b.SUBJECT_NAME, "[^<>&\n]+", optional=True)
        + element(annex_b.SUBJECT_ALT_NAME, "[^<>&\n]+", optional=True)
        + element(annex_b.SERIAL, "[0-9A-F]+")
        + element(annex_b.STATUS, "[A-Z]")
        + element(annex_b.BODY, "(?:[A-Za-z0-9+/=]{4})+")
        + element(annex_b.ROLE, "[0-9]+", optional=True)
        + element(annex_b.USAGE, "[A-Z]+", optional=True)
        + element(annex_b.MANUFACTURING, "[a-z0-9]+")
        + f"</{annex_b.RECORD}>\n"
    )
    return re.compile(pattern.encode())


_LINE = _line()


def _shapes(octets: Octets) -> Iterator[_Shape]:
    """All lines, by shape. Raises _NotPlainError."""
    ends = np.flatnonzero(octets == ord("\n")) + 1
    lengths = np.diff(ends, prepend=0)
    found = 0
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        lines = sliding_window_view(octets, length)[ends[rows] - length]
        while len(rows):
            found += 1
            first = _LINE.fullmatch(lines[0].tobytes())
            if first is None or found > _MOST_SHAPES:
                raise _NotPlainError
            texts = {name: slice(*first.span(name)) for name in annex_b.RECORD_ELEMENTS if first[name] is not None}
            markup = np.ones(length, dtype=np.bool_)
            for text in texts.values():
                markup[text] = False
            other = ((lines != lines[0]) & markup).any(axis=1)
            same = np.logical_not(other)
            yield _Shape(rows[same], lines[same] if other.any() else lines, texts, first[0].count(b"<"))
            rows, lines = rows[other], lines[other]


def _texts(shape: _Shape, name: str) -> pa.StringArray:
    text = shape.texts.get(name)
    if text is None:
        return pa.repeat("", len(shape.rows))
    return column(shape.lines[:, text], pa.string())


def _bodies(rows: NDArray[np.intp], letters: Octets) -> Iterator[tuple[NDArray[np.intp], pa.BinaryArray]]:
    """What (rows, letters) of Base64 stand for, with the rows, in parts. Raises _NotPlainError.

    Rows with as much padding are decoded in one call: their padding becomes letters that stand for zeros, and the
    octets that those make are taken away. So bits that belong to no octet have to be zero, too (RFC 4648, 3.5).
    """
    ends = letters[:, -2:] == ord("=")
    padding = np.where(ends[:, 1], ends.sum(axis=1), 0)
    for missing in np.unique(padding):
        chosen = padding == missing
        whole = letters[chosen]
        whole[:, whole.shape[1] - missing :] = ord("A")
        try:
            octets = np.frombuffer(pybase64.b64decode(whole.data, validate=True), np.uint8).reshape(len(whole), -1)
        except ValueError:
            raise _NotPlainError from None
        octets, rest = np.split(octets, [octets.shape[1] - missing], axis=1)
        if rest.any():
            raise _NotPlainError
        yield rows[chosen], column(octets, pa.binary())
