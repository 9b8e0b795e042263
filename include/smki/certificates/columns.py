"""Many values of bytes at once: as matrices (numpy) and as columns (Arrow)."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

ByteArray = NDArray[np.uint8]  # (values, bytes of each), or one value after the other


def to_column(matrix: ByteArray, kind: pa.DataType) -> pa.Array:
    """An (n, width) matrix as n values, binary or of ASCII letters."""
    rows, width = matrix.shape
    return _array(np.arange(rows + 1, dtype=np.int32) * width, matrix, kind)


def put_in_order(parts: Sequence[pa.Array], rows: Sequence[NDArray[np.intp]], kind: pa.DataType) -> pa.Array:
    """A column of n values from parts of it; `rows` says which rows each part is, each of 0 … n − 1 in one of them."""
    if not parts:
        return pa.array([], kind)
    return pc.take(pa.concat_arrays(parts), pa.array(np.argsort(np.concatenate(rows))))


def put_end_to_end(values: pa.Array) -> tuple[ByteArray, NDArray[np.int32]]:
    """The bytes of all values, and the (n + 1) bounds between them."""
    _, bounds, content = values.buffers()
    if not len(values):
        return np.empty(0, np.uint8), np.zeros(1, np.int32)
    ends = np.frombuffer(bounds, np.int32)[values.offset : values.offset + len(values) + 1]
    return np.frombuffer(content or b"", np.uint8)[ends[0] : ends[-1]], ends - ends[0]


def spell(values: pa.BinaryArray, letters: ByteArray) -> pa.StringArray:
    """Each value with the (256, width) letters that spell each byte; a null as an empty text."""
    content, bounds = put_end_to_end(values)
    return _array(bounds * letters.shape[1], letters[content], pa.string())


def _array(bounds: NDArray[np.int32], content: ByteArray, kind: pa.DataType) -> pa.Array:
    return pa.Array.from_buffers(
        kind, len(bounds) - 1, [None, pa.py_buffer(bounds), pa.py_buffer(np.ascontiguousarray(content))]
    )
