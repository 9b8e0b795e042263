"""One small file as one gzip member: revocation lists and anchor files (SEC Appendix O 2.3.3 (c) to (f)).

FNAME is the file's name without .gz, MTIME a time that belongs to the content, never the clock's. So equal content
gives equal octets on one kind of processor, and an equal content digest on all.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from isal import isal_zlib

from smki.errors import PlanError
from smki.store.gzip_frame import gzip_header, gzip_trailer
from smki.store.segment import DEFLATE_LEVEL
from smki.store.staging import write_whole


@dataclass(frozen=True, slots=True)
class SingleFile:
    """Facts of a written file."""

    bytes: int  # of the .gz
    sha256: str  # of the .gz, hex
    content_digest: str  # SHA-256 of what is compressed, hex
    content_bytes: int  # of what is compressed


def write_single(file: Path, content: bytes, modified_at: datetime) -> SingleFile:
    """Writes `content` as `file`, whole or not at all; a repeated call replaces it.

    Raises PlanError for a name that does not end in .gz, StagingError for the disk's errors.
    """
    if not file.name.endswith(".gz"):
        raise PlanError(
            file.name,
            "Appendix O 2.3.3 wants a .gz file.",
            "Nothing was written.",
            "correct its name in user_guide.toml.",
        )
    compressor = isal_zlib.compressobj(DEFLATE_LEVEL, isal_zlib.DEFLATED, -15)
    member = b"".join(
        (
            gzip_header(file.name.removesuffix(".gz"), modified_at),
            compressor.compress(content),
            compressor.flush(),
            gzip_trailer(isal_zlib.crc32(content), len(content)),
        )
    )
    write_whole(file, member)
    return SingleFile(
        bytes=len(member),
        sha256=hashlib.sha256(member).hexdigest(),
        content_digest=hashlib.sha256(content).hexdigest(),
        content_bytes=len(content),
    )
