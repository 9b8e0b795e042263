"""Walks through DER: places of elements, whatever is in them, so that megabytes are read without copying them."""

from collections.abc import Iterator
from typing import NamedTuple

INTEGER, BIT_STRING, OBJECT_IDENTIFIER, UTF8_STRING = 0x02, 0x03, 0x06, 0x0C
SEQUENCE, SET = 0x30, 0x31
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18


class Element(NamedTuple):
    """Where one element stands."""

    tag: int  # the identifier byte: class, form and number
    start: int  # of its header
    content: int
    end: int


def elements(der: bytes, start: int = 0, end: int | None = None) -> Iterator[Element]:
    """The elements that stand one after the other from `start` to `end`. Raises ValueError where they do not."""
    end = len(der) if end is None else end
    while start < end:
        content, after = bounds(der, start, end)
        yield Element(der[start], start, content, after)
        start = after


def bounds(der: bytes, start: int, end: int) -> tuple[int, int]:
    """Where the content of the element at `start` begins and ends. Raises ValueError where it is not over by `end`."""
    content = start + 2
    length = der[start + 1] if content <= end else 0x80
    if length >= 0x80:
        content += length & 0x7F
        length = int.from_bytes(der[start + 2 : content]) if length != 0x80 else end  # of no stated length
    if content + length > end or der[start] & 0x1F == 0x1F:
        raise ValueError(f"byte {start} begins no DER that ends in time")
    return content, content + length


def contents(der: bytes, whole: Element, tag: int) -> list[Element]:
    """The elements in one that is constructed. Raises ValueError where its tag is another."""
    if whole.tag != tag:
        raise ValueError(f"byte {whole.start} has tag {whole.tag:#x}, not {tag:#x}")
    return list(elements(der, whole.content, whole.end))


def only(der: bytes) -> Element:
    """The one element that the bytes are. Raises ValueError where they are none, or more."""
    whole, *more = elements(der) if der else (None,)
    if whole is None or more:
        raise ValueError("it is empty" if whole is None else f"something follows it at byte {more[0].start}")
    return whole


def signed_parts(der: bytes) -> tuple[bytes, bytes, bytes]:
    """Of a certificate or a list: what is signed, the algorithm, and the signature's content (RFC 5280, 4.1.1, 5.1.1).

    By offsets alone, as this is done a million times. Raises ValueError where it is not built so.
    """
    signed, end = bounds(der, 0, len(der))
    _, algorithm = bounds(der, signed, end)
    _, signature = bounds(der, algorithm, end)
    content, last = bounds(der, signature, end)
    if der[0] != SEQUENCE or last != end or end != len(der):
        raise ValueError("it is no sequence of what is signed, algorithm and signature")
    return der[signed:algorithm], der[algorithm:signature], der[content:last]
