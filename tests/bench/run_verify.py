"""Measured process: verifying a file from its own bytes."""

from pathlib import Path
from typing import Any

from answering import answer

from smki.settings import Settings
from smki.store.manifest import read_manifest
from smki.verify.verification import verify_file


def verify(file: str, workers: int = 0) -> dict[str, Any]:
    """`verify_file` in that many worker processes by the manifest, or (0) in one pass without it."""
    path = Path(file)
    manifest = read_manifest(path) if workers else None
    verified = verify_file(path, Settings.from_environment().annex_b_xsd, manifest=manifest, workers=workers or 1)
    return {"records": verified.records, "set_digest": str(verified.set_digest)}


if __name__ == "__main__":
    answer(verify)
