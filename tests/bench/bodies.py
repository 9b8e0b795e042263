"""A file of DER bodies, one after the other, each behind its length: what `lodge` is measured with."""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

_LENGTH = struct.Struct(">I")


def write_bodies(file: Path, bodies: Iterable[bytes]) -> None:
    """Writes the file."""
    with file.open("wb") as out:
        out.writelines(_LENGTH.pack(len(body)) + body for body in bodies)


def read_bodies(file: Path) -> Iterator[bytes]:
    """The bodies in the file."""
    with file.open("rb", buffering=1 << 20) as stream:
        while length := stream.read(_LENGTH.size):
            yield stream.read(*_LENGTH.unpack(length))
