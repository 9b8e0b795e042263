"""The mutations of an extract's bytes, once the file is made: its manifest says what it was."""

import gzip
from collections.abc import Iterator

from smki.store.manifest import Manifest

from .extract_files import DELTA, FULL, Damage, deflate_of, in_bytes
from .mutation import Mutation, of_extract


def flipped(at: int) -> Damage:
    """One bit, at a place counted from the start, or from the end if negative."""

    def damage(data: bytes, _: Manifest) -> bytes:
        changed = bytearray(data)
        changed[at] ^= 4
        return bytes(changed)

    return damage


def flagged(flags: int) -> Damage:
    return lambda data, _: data[:3] + bytes([data[3] | flags]) + data[4:]


def reordered(*order: int) -> Damage:
    """These pieces (head, pages, tail) in the place of the first four."""

    def damage(data: bytes, manifest: Manifest) -> bytes:
        header, parts, end = deflate_of(data, manifest)
        return header + b"".join(parts[n] for n in (*order, *range(4, len(parts)))) + end

    return damage


def without_name(data: bytes, manifest: Manifest) -> bytes:
    return data[:3] + b"\0" + data[4:10] + data[len(manifest.header) :]


def with_comment(data: bytes, manifest: Manifest) -> bytes:
    end = len(manifest.header)
    return data[:3] + b"\x18" + data[4:end] + b"a comment\0" + data[end:]


def with_reserved_block(data: bytes, manifest: Manifest) -> bytes:
    at = int(manifest.offsets[0])
    return data[:at] + b"\x07" + data[at + 1 :]


def with_hole(data: bytes, _: Manifest) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(512) + data[middle + 512 :]


# The damage, what catches it with the manifest, and what without; no check: it is not read so.
DAMAGES: dict[str, tuple[Damage, str, str]] = {
    "bit flipped in the compressed data": (flipped(1500), "xml.content", "xml.inflates"),
    "bit flipped in the header's time": (flipped(5), "xml.content", ""),
    "bit flipped in the magic number": (flipped(0), "gzip.member", ""),
    "bit flipped in the CRC-32": (flipped(-6), "gzip.member", "xml.inflates"),
    "block of the reserved type": (with_reserved_block, "xml.inflates", ""),
    "sector of zeros": (with_hole, "xml.content", ""),
    "cut in half": (lambda o, _: o[: len(o) // 2], "xml.inflates", "xml.inflates"),
    "last byte missing": (lambda o, _: o[:-1], "gzip.member", ""),
    "end block missing": (lambda o, _: o[:-10] + o[-8:], "gzip.member", "xml.inflates"),
    "no bytes": (lambda _, __: b"", "gzip.member", "gzip.member"),
    "NUL bytes appended": (lambda o, _: o + bytes(512), "gzip.member", "gzip.member"),
    "second, empty member": (lambda o, _: o + gzip.compress(b""), "gzip.member", "gzip.member"),
    "second member with XML": (lambda o, _: o + gzip.compress(b"<x/>"), "gzip.member", ""),
    "twice in a row": (lambda o, _: o + o, "", "gzip.member"),
    "empty member before it": (lambda o, _: gzip.compress(b"") + o, "gzip.name", "gzip.member"),
    "not compressed": (lambda o, _: gzip.decompress(o), "gzip.member", "gzip.member"),
    "compressed twice": (lambda o, _: gzip.compress(o), "gzip.name", ""),
    "sent as text": (lambda o, _: o.replace(b"\n", b"\r\n"), "xml.content", ""),
    "FNAME of another file": (lambda o, _: o.replace(b"08-10.xml", b"08-03.xml", 1), "gzip.name", ""),
    "FNAME missing": (without_name, "gzip.name", ""),
    "reserved flags in the header": (flagged(0xE0), "xml.content", "gzip.member"),
    "header CRC that is promised and missing": (flagged(2), "gzip.member", ""),
    "comment in the header": (with_comment, "gzip.member", ""),
    "segment dropped": (reordered(0, 1, 3), "xml.content", ""),
    "segment twice": (reordered(0, 1, 2, 2, 3), "xml.content", ""),
    "segments swapped": (reordered(0, 2, 1, 3), "xml.content", "xml.inflates"),
    "head dropped": (reordered(1, 2, 3), "xml.content", ""),
}
OF_DELTAS_TOO = (
    "bit flipped in the compressed data",
    "block of the reserved type",
    "no bytes",
    "second, empty member",
    "FNAME of another file",
)


def _all() -> Iterator[Mutation]:
    for name, (damage, check, alone) in DAMAGES.items():
        if check:
            yield of_extract(name, FULL, in_bytes(damage), check)
        if alone:
            yield of_extract(name, FULL, in_bytes(damage), alone, alone=True)
        if name in OF_DELTAS_TOO:
            yield of_extract(name, DELTA, in_bytes(damage), check)


BYTE_MUTATIONS = tuple(_all())
