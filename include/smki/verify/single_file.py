"""Reads a small file back from its own bytes: one gzip member, intact, under its name, nothing after it."""

import io
import zlib
from pathlib import Path

from smki.store.staging import staging_error
from smki.verify.faults import Fault, not_gzip, refused
from smki.verify.gzip_member import read_header

_LIMIT = 64 << 20  # octets that a small file may expand to


def read_single(file: Path) -> bytes:
    """What `file` holds.

    Raises VerificationError for damage, another name inside and more than one member, StagingError for the disk's
    errors.
    """
    try:
        octets = file.read_bytes()
    except OSError as error:
        raise staging_error(file, error) from error
    inner_name = file.name.removesuffix(".gz")
    stated = read_header(io.BytesIO(octets), file.name).file_name
    if stated != inner_name:
        raise refused(
            Fault.NAME,
            file.name,
            f"the name inside (FNAME) is {stated!r} and Appendix O 2.3.3 says {inner_name!r}.",
        )
    inflater = zlib.decompressobj(wbits=31)  # another implementation than the writer's; checks CRC-32 and length
    try:
        content = inflater.decompress(octets, _LIMIT)
    except zlib.error as error:
        raise not_gzip(file.name, f"its compressed data are damaged ({error}).") from error
    if inflater.unconsumed_tail:
        raise not_gzip(file.name, f"it expands beyond {_LIMIT} octets.")
    if not inflater.eof:
        raise not_gzip(file.name, "it ends in the middle of its compressed data.")
    if inflater.unused_data:
        raise not_gzip(file.name, f"{len(inflater.unused_data)} octets follow its one gzip member.")
    return content
