"""The manifest of an assembled extract: what it is made of, so that it can be checked piece by piece.

It is written beside the file while that is staged and is never published. The content digest is the SHA-256 of the
segments' own SHA-256 values over the XML, in order: equal for equal content, on any machine and processor.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from smki.errors import PlanError
from smki.store.segment import Segment
from smki.store.staging import write_whole


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

    @property
    def content_digest(self) -> str:
        """Hex; see above."""
        return hashlib.sha256(b"".join(bytes.fromhex(segment.xml_sha256) for segment in self.segments)).hexdigest()

    @property
    def records(self) -> int:
        """Certificates in the file."""
        return sum(segment.records for segment in self.segments)

    @property
    def xml_bytes(self) -> int:
        """Size of the XML."""
        return sum(segment.xml_bytes for segment in self.segments)


def manifest_path(file: Path) -> Path:
    """Where a file's manifest lies: beside it."""
    return file.with_name(f"{file.name}.manifest.json")


def write_manifest(file: Path, manifest: Manifest) -> None:
    """Writes the manifest beside its file. Raises StagingError."""
    stated = {
        "obligation": manifest.obligation,
        "name": manifest.name,
        "business_date": manifest.business_date.isoformat(),
        "cutoff": manifest.cutoff.isoformat(),
        "window_seq": manifest.window_seq,
        "bytes": manifest.bytes,
        "sha256": manifest.sha256,
        "header_bytes": manifest.header_bytes,
        "content_digest": manifest.content_digest,
        "segments": [segment.as_json() for segment in manifest.segments],
    }
    write_whole(manifest_path(file), json.dumps(stated, indent=1).encode())


def read_manifest(file: Path) -> Manifest:
    """The manifest beside a file. Raises PlanError when it is missing or is none."""
    path = manifest_path(file)
    try:
        stated = json.loads(path.read_bytes())
        return Manifest(
            obligation=stated["obligation"],
            name=stated["name"],
            business_date=date.fromisoformat(stated["business_date"]),
            cutoff=datetime.fromisoformat(stated["cutoff"]),
            window_seq=stated["window_seq"],
            bytes=stated["bytes"],
            sha256=stated["sha256"],
            header_bytes=stated["header_bytes"],
            segments=tuple(Segment(**segment) for segment in stated["segments"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PlanError(
            str(path),
            f"the staged file's manifest cannot be read ({error}).",
            "The file cannot be checked segment by segment and is not published.",
            "clear the run from its first task on, so that it is produced again.",
        ) from error
