"""The frame of a gzip member (RFC 1952): what stands before and after the deflate stream.

Every field is a constant or comes from the caller, so that equal content under an equal name has an equal frame.
"""

import struct
from datetime import datetime

_FNAME = 0x08
_FASTEST, _UNIX = 4, 3  # XFL and OS


def gzip_header(inner_name: str, modified_at: datetime) -> bytes:
    """The member's header (2.3): FNAME is `inner_name` (ASCII), MTIME is `modified_at`."""
    mtime = int(modified_at.timestamp()) & 0xFFFFFFFF
    fixed = struct.pack("<BBBBIBB", 0x1F, 0x8B, 8, _FNAME, mtime, _FASTEST, _UNIX)
    return fixed + inner_name.encode("ascii") + b"\0"


def gzip_trailer(crc32: int, length: int) -> bytes:
    """The member's trailer (2.3.1): CRC-32 and length of what is compressed."""
    return struct.pack("<II", crc32, length & 0xFFFFFFFF)
