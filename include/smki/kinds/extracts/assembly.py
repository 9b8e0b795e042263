"""Puts segments together: one gzip member, built by concatenation.

gzip header (RFC 1952; FNAME the XML's name, MTIME the cut-off) · the segments' raw deflate in order · an empty final
block · CRC-32 and length of the whole XML, combined from the segments'. Every gzip there is reads it.
"""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from isal import isal_zlib

from smki.errors import PlanError
from smki.kinds.extracts.plan import ExtractPlan
from smki.store.gzip_writer import FINAL_BLOCK, gzip_header, gzip_trailer, segment_path
from smki.store.manifest import Manifest, Segment, write_manifest
from smki.store.staging import staging_error

_BUFFER = 1 << 20


def assemble(plan: ExtractPlan, segments: Sequence[Segment], staged: Path, file: Path) -> Manifest:
    """Writes `file` and its manifest from the segments staged in `staged`.

    Raises PlanError unless each planned segment is there once and as its facts say, StagingError for the disk's errors.
    """
    ordered = sorted(segments, key=lambda segment: segment.number)
    numbers = [segment.number for segment in ordered]
    if numbers != list(range(plan.segments)):
        missing = sorted(set(range(plan.segments)) - set(numbers))
        raise PlanError(
            plan.name, f"the plan has {plan.segments} segments and {len(numbers)} came (missing: {missing or 'none'})."
        )
    header = gzip_header(plan.xml_name, plan.cutoff)
    crc32 = length = 0
    for segment in ordered:
        crc32 = isal_zlib.crc32_combine(crc32, segment.xml_crc32, segment.xml_bytes)
        length += segment.xml_bytes
    sha256 = hashlib.sha256(header)
    part = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as out:
            out.write(header)
            for segment in ordered:
                path = segment_path(staged, segment.number)
                if path.stat().st_size != segment.deflate_bytes:
                    raise PlanError(
                        plan.name, f"staged {path.name} has {path.stat().st_size} bytes, not {segment.deflate_bytes}."
                    )
                with path.open("rb") as source:
                    while buffer := source.read(_BUFFER):
                        sha256.update(buffer)
                        out.write(buffer)
            end = FINAL_BLOCK + gzip_trailer(crc32, length)
            sha256.update(end)
            size = out.tell() + out.write(end)
        part.rename(file)
    except FileNotFoundError as error:
        raise PlanError(plan.name, f"staged {Path(error.filename).name} is gone.") from error
    except OSError as error:
        raise staging_error(file, error) from error
    manifest = Manifest(
        obligation=plan.obligation,
        name=plan.name,
        business_date=plan.business_date,
        cutoff=plan.cutoff,
        window_seq=plan.window_seq,
        bytes=size,
        sha256=sha256.hexdigest(),
        header_bytes=len(header),
        segments=tuple(ordered),
        format=plan.format,
    )
    write_manifest(file, manifest)
    return manifest


def discard_segments(staged: Path) -> None:
    """Removes the segments of an extract that has been assembled."""
    shutil.rmtree(staged, ignore_errors=True)
