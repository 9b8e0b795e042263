"""Pages: 128 certificates as XML, deflated apart. The unit in which files are checked, sent and used again.

* A page's first certificate id is a multiple of 128; of a delta, which has the certificates of one window only, a page
  has 128 certificates in a row. A page without a certificate is none.
* A page's deflate starts from nothing and ends with a full flush: on a byte boundary, its last block not marked final.
  So it depends on the page alone, and pages in a row are one stream.
* Up to 512 pages make a segment, which is an object of the store. Each page keeps its place in it wherever it is used.

Page size, segment size, compression and the layout of the XML are the format version. Whoever changes one of them
raises it: pages of another version are never taken over.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from smki.store.objects import Store


@dataclass(frozen=True, slots=True)
class PageFormat:
    """One version of the format."""

    version: int
    certificates: int = 128  # ids of a page, or certificates where it is a delta's
    pages: int = 512  # of a segment

    @property
    def segment_certificates(self) -> int:
        return self.certificates * self.pages


PAGES_2 = PageFormat(2)  # files of version 1 had no pages
_LEVEL = 2  # measured: 926 MB/s at a ratio of .246; level 6 of zlib gives .240 at 99 MB/s

PAGE = np.dtype(
    [
        ("number", "<i8"),  # its first id / the ids of a page; of a delta its place
        ("segment", "<i4"),  # place of its segment in the manifest
        ("place", "<i4"),  # in its segment
        ("offset", "<i8"),  # of its deflate in its segment, bytes
        ("deflate_bytes", "<i4"),
        ("deflate_crc32", "<u4"),
        ("records", "<i4"),
        ("xml_bytes", "<i4"),
        ("xml_crc32", "<u4"),
        ("xml_sha256", "V32"),
    ]
)
Pages = NDArray[np.void]  # rows of PAGE


class PageXml(NamedTuple):
    """A page that is rendered and not yet compressed."""

    number: int
    records: int
    xml: memoryview


class Segment(NamedTuple):
    """A segment in the store, and its pages; `segment` of each is not known yet and −1."""

    sha256: str  # of its bytes, hex
    pages: Pages


def write_segment(store: Store, rendered: Iterable[PageXml]) -> Segment:
    """Compresses pages and writes them to the store as one segment. Raises StoreError."""
    compressor = Compressor()
    parts: list[bytes] = []
    rows = []
    offset = 0
    for place, page in enumerate(rendered):
        deflate = compressor.compress(page.xml)
        parts.append(deflate)
        rows.append(
            (
                page.number,
                -1,
                place,
                offset,
                len(deflate),
                isal_zlib.crc32(deflate),
                page.records,
                len(page.xml),
                isal_zlib.crc32(page.xml),
                hashlib.sha256(page.xml).digest(),
            )
        )
        offset += len(deflate)
    sha256 = store.put_content("segments", b"".join(parts)) if parts else ""
    return Segment(sha256, np.array(rows, PAGE))


def put_pages(store: Store, pages: Pages) -> str:
    """Writes rows of PAGE to the store; their SHA-256 (hex). Raises StoreError."""
    return store.put_content("pages", pages.tobytes())


def get_pages(store: Store, sha256: str) -> Pages:
    """What `put_pages` wrote. Raises MissingObjectError, StoreError."""
    return np.frombuffer(store.get_content("pages", sha256), PAGE)


class Compressor:
    """Deflates one piece after the other, each apart from the others. One state serves all: a new one costs more."""

    def __init__(self) -> None:
        self._state = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, -15)

    def compress(self, content: bytes | memoryview) -> bytes:
        """Raw deflate that starts from nothing and ends with a full flush (RFC 1951)."""
        return bytes(self._state.compress(content) + self._state.flush(isal_zlib.Z_FULL_FLUSH))


def consecutive(places: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """First and last of each run of consecutive numbers, of ascending ones."""
    if not len(places):
        return
    breaks = np.flatnonzero(np.diff(places) != 1)
    for first, last in zip(
        np.concatenate([[0], breaks + 1]).tolist(), np.concatenate([breaks, [len(places) - 1]]).tolist(), strict=True
    ):
        yield int(places[first]), int(places[last])
