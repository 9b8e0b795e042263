"""The manifest of an extract: what the file is made of. It is the file, whether that lies on a disk whole or not.

file = gzip header · head · the pages in order · tail · end: one gzip member (RFC 1952), which every gzip reads. Head
and tail are what stands before and after the records, deflated as pages are; the end is an empty last block with CRC-32
and length of the whole XML.

The content digest is the SHA-256 of the SHA-256 values over the XML of head, pages and tail: equal for equal content,
on any machine and processor. A manifest lies in the store as `manifests/SHA-256`, as Arrow with its facts as JSON.
"""

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from isal import isal_zlib
from numpy.typing import NDArray
from pydantic import Base64Bytes, TypeAdapter

from smki.annex_b.version import StatedFormat
from smki.errors import PlanError, StoreError
from smki.store.gzip_writer import FINAL_BLOCK, gzip_header, gzip_trailer
from smki.store.local_files import write_whole
from smki.store.objects import Store, damaged
from smki.store.pages import PAGE, Compressor, PageFormat, Pages

_FACTS = b"smki"  # key of the schema's metadata


@dataclass(frozen=True)
class Frame:
    """Facts of head or tail."""

    xml: Base64Bytes
    deflate: Base64Bytes

    @staticmethod
    def of(xml: bytes) -> "Frame":
        return Frame(xml, Compressor().compress(xml))


@dataclass(frozen=True)
class _Facts:
    """What a manifest says, its pages apart."""

    page_format: PageFormat
    format: StatedFormat
    obligation: str  # its name
    statuses: str | None  # letters of those that a full extract holds; None: a delta
    name: str
    business_date: date
    cutoff: datetime  # UTC
    window_seq: int
    basis: str  # schema and verifier by which its pages are checked (`verify.basis`)
    predecessor: str  # name of the file that pages were taken over from; empty: all were rendered
    taken_over: int  # pages
    head: Frame
    tail: Frame
    segments: tuple[str, ...]  # SHA-256 of each, hex
    sizes: tuple[int, ...]  # pages of each segment when it was written


_JSON = TypeAdapter(_Facts)


@dataclass(frozen=True, eq=False)
class Manifest(_Facts):
    """What one extract is made of."""

    pages: Pages  # (n,) in the file's order

    @cached_property
    def header(self) -> bytes:
        """Of the gzip member: FNAME is the XML's name, MTIME the cut-off."""
        return gzip_header(self.name.removesuffix(".gz"), self.cutoff)

    @cached_property
    def end(self) -> bytes:
        """Of the gzip member: last block and trailer."""
        crc32, length = isal_zlib.crc32(self.head.xml), len(self.head.xml)
        for page_crc32, page_bytes in zip(
            self.pages["xml_crc32"].tolist(), self.pages["xml_bytes"].tolist(), strict=True
        ):
            crc32 = isal_zlib.crc32_combine(crc32, page_crc32, page_bytes)
            length += page_bytes
        crc32 = isal_zlib.crc32_combine(crc32, isal_zlib.crc32(self.tail.xml), len(self.tail.xml))
        return FINAL_BLOCK + gzip_trailer(crc32, length + len(self.tail.xml))

    @property
    def opening(self) -> bytes:
        """What stands before the pages."""
        return self.header + self.head.deflate

    @property
    def closing(self) -> bytes:
        """What stands behind them."""
        return self.tail.deflate + self.end

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """(n + 1,) where each page begins in the file, and where the last one ends; bytes."""
        return len(self.opening) + np.concatenate([[0], np.cumsum(self.pages["deflate_bytes"], dtype=np.int64)])

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """(n + 1,) how many records stand before each page, and in all of them."""
        return np.concatenate([[0], np.cumsum(self.pages["records"], dtype=np.int64)])

    @property
    def size(self) -> int:
        """Of the .gz, bytes."""
        return int(self.offsets[-1]) + len(self.closing)

    @property
    def records(self) -> int:
        """Certificates in the file."""
        return int(self.places[-1])

    @property
    def xml_bytes(self) -> int:
        return int(self.pages["xml_bytes"].sum(dtype=np.int64)) + len(self.head.xml) + len(self.tail.xml)

    @cached_property
    def content_digest(self) -> str:
        """Hex."""
        digest = hashlib.sha256(hashlib.sha256(self.head.xml).digest())
        digest.update(np.ascontiguousarray(self.pages["xml_sha256"]).tobytes())
        digest.update(hashlib.sha256(self.tail.xml).digest())
        return digest.hexdigest()

    @property
    def frame_digest(self) -> str:
        """Of head and tail, compressed and not; hex."""
        digest = hashlib.sha256()
        for part in (self.head.xml, self.head.deflate, self.tail.xml, self.tail.deflate):
            digest.update(hashlib.sha256(part).digest())
        return digest.hexdigest()

    def to_bytes(self) -> bytes:
        """As it lies in the store."""
        facts = {field: getattr(self, field) for field in _Facts.__dataclass_fields__}
        stated = _JSON.dump_json(_Facts(**facts))
        columns = [_column(self.pages[name]) for name in PAGE.names or ()]
        table = pa.table(columns, list(PAGE.names or ())).replace_schema_metadata({_FACTS: stated})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue())

    @staticmethod
    def from_bytes(content: bytes, item: str) -> "Manifest":
        """Raises StoreError for what is none."""
        try:
            table = pa.ipc.open_file(content).read_all()
            facts = _JSON.validate_json((table.schema.metadata or {})[_FACTS])
            pages = np.empty(table.num_rows, PAGE)
            for name in PAGE.names or ():
                pages[name] = _values(table[name].combine_chunks())
        except (pa.ArrowInvalid, KeyError, ValueError) as error:
            raise damaged(item, f"it is no manifest ({error}).") from error
        return Manifest(**{field: getattr(facts, field) for field in _Facts.__dataclass_fields__}, pages=pages)


def put_manifest(store: Store, manifest: Manifest) -> str:
    """Writes it to the store; returns its SHA-256 (hex). Raises StoreError."""
    return store.put_content("manifests", manifest.to_bytes())


def get_manifest(store: Store, sha256: str) -> Manifest:
    """The manifest of that SHA-256 (hex). Raises MissingObjectError, StoreError."""
    return Manifest.from_bytes(store.get_content("manifests", sha256), f"manifests/{sha256}")


def manifest_path(file: Path) -> Path:
    """Where the manifest of a file on a disk lies: beside it."""
    return file.with_name(f"{file.name}.manifest")


def write_manifest(file: Path, manifest: Manifest) -> None:
    """Writes the manifest beside its file. Raises StoreError."""
    write_whole(manifest_path(file), manifest.to_bytes())


def find_manifest(file: Path) -> Manifest | None:
    """The manifest beside a file, if there is one. Raises PlanError for what is none."""
    path = manifest_path(file)
    try:
        return Manifest.from_bytes(path.read_bytes(), str(path))
    except FileNotFoundError:
        return None
    except (OSError, StoreError) as error:
        raise PlanError(str(path), f"the file's manifest cannot be read ({error}).") from error


def _column(values: NDArray[np.generic]) -> pa.Array:
    values = np.ascontiguousarray(values)
    if values.dtype.kind == "V":
        width = values.dtype.itemsize
        return pa.Array.from_buffers(pa.binary(width), len(values), [None, pa.py_buffer(values.tobytes())])
    return pa.array(values)


def _values(column: pa.Array) -> NDArray[np.generic]:
    if pa.types.is_fixed_size_binary(column.type):
        width = column.type.byte_width
        content = column.buffers()[1]
        return np.frombuffer(content, f"V{width}", count=len(column), offset=column.offset * width)
    return np.asarray(column)
