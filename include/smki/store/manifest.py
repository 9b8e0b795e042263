"""The manifest of an extract: the segments that it is made of, so that it can be checked segment by segment.

It is written beside the file while that is staged and is never published. The content digest is the SHA-256 of the
segments' own SHA-256 values over the XML, in order: equal for equal content, on any machine and processor.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from smki.annex_b.version import V1, StatedFormat
from smki.errors import PlanError
from smki.store.staging import write_whole


@dataclass(frozen=True, slots=True)
class Segment:
    """Facts of one segment. Neither assembling nor checking has to inflate what stands before it."""

    number: int
    records: int
    xml_bytes: int
    xml_crc32: int
    xml_sha256: str  # hex
    deflate_bytes: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Manifest:
    """An assembled extract's facts."""

    obligation: str  # its name
    name: str
    business_date: date
    cutoff: datetime  # UTC
    window_seq: int
    bytes: int  # of the .gz
    sha256: str  # of the .gz, hex
    header_bytes: int  # of the gzip header, before the first segment
    segments: tuple[Segment, ...]
    format: StatedFormat = V1  # manifests that state none are older than any other

    @property
    def content_digest(self) -> str:
        """Hex."""
        return hashlib.sha256(b"".join(bytes.fromhex(segment.xml_sha256) for segment in self.segments)).hexdigest()

    @property
    def records(self) -> int:
        """Certificates in the file."""
        return sum(segment.records for segment in self.segments)

    @property
    def xml_bytes(self) -> int:
        return sum(segment.xml_bytes for segment in self.segments)


_JSON = TypeAdapter(Manifest)


def manifest_path(file: Path) -> Path:
    """Where a file's manifest lies: beside it."""
    return file.with_name(f"{file.name}.manifest.json")


def write_manifest(file: Path, manifest: Manifest) -> None:
    """Writes the manifest beside its file. Raises StagingError."""
    stated = {"content_digest": manifest.content_digest, **_JSON.dump_python(manifest, mode="json")}
    write_whole(manifest_path(file), json.dumps(stated, indent=1).encode())


def read_manifest(file: Path) -> Manifest:
    """The manifest beside a file. Raises PlanError when it is missing or is none."""
    path = manifest_path(file)
    try:
        return _JSON.validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise PlanError(str(path), f"the file's manifest cannot be read ({error}).") from error
