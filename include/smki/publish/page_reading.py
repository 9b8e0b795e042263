"""Reads pages of a file back from a server and holds them against its manifest.

A page is right when its deflate has the CRC-32 that the manifest states, and its XML the SHA-256. What stands around
the pages is compared as it is; it has the places next to theirs: −1, and one beyond the last page.
"""

import hashlib
from collections import deque
from collections.abc import Callable

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray
from paramiko import SFTPClient

from smki.annex_b.gzip_reader import inflate_segment
from smki.errors import DocumentRefusedError
from smki.publish.ranges import Range
from smki.publish.readback import read_ranges
from smki.store.manifest import Manifest
from smki.store.pages import consecutive


def find_wrong_pages(
    sftp: SFTPClient,
    path: str,
    manifest: Manifest,
    places: NDArray[np.intp],
    on_the_way: Callable[[], None] = lambda: None,
) -> list[int]:
    """Reads some pages, by their ascending places, and what is around all pages; the places of what is wrong.

    The remote file is as long as the manifest says. `on_the_way` is called after each piece; what it raises ends the
    reading, and the session. Call it inside `site_errors`.
    """
    sizes = manifest.pages["deflate_bytes"][places].tolist()
    pages = zip(places.tolist(), sizes, strict=True)
    # Places and bytes, in the order in which they are read.
    expected = deque([(-1, len(manifest.opening)), *pages, (len(manifest.pages), len(manifest.closing))])
    wrong, buffer = list[int](), bytearray()

    def consume(piece: memoryview) -> None:
        buffer.extend(piece)
        while expected and expected[0][1] <= len(buffer):
            place, size = expected.popleft()
            if not _is_right(manifest, place, bytes(buffer[:size])):
                wrong.append(place)
            del buffer[:size]
        on_the_way()

    with sftp.open(path, "rb") as remote:
        read_ranges(sftp, remote, _ranges(manifest, places), consume)
    return wrong


def _ranges(manifest: Manifest, places: NDArray[np.intp]) -> list[Range]:
    offsets = manifest.offsets
    runs = [Range(int(offsets[first]), int(offsets[last + 1] - offsets[first])) for first, last in consecutive(places)]
    return [Range(0, int(offsets[0])), *runs, Range(int(offsets[-1]), len(manifest.closing))]


def _is_right(manifest: Manifest, place: int, content: bytes) -> bool:
    if place == -1:
        return content == manifest.opening
    if place == len(manifest.pages):
        return content == manifest.closing
    page = manifest.pages[place]
    if isal_zlib.crc32(content) != page["deflate_crc32"]:
        return False
    try:
        xml = inflate_segment(content, int(page["xml_bytes"]), manifest.name)
    except DocumentRefusedError:
        return False
    return hashlib.sha256(xml).digest() == bytes(page["xml_sha256"])
