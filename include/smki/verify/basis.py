"""What checked pages are checked by: the schema, and the programs that read and check them.

Its digest goes with whatever is kept of a check. So nothing that another schema or another verifier found is ever taken
for found: no version has to be remembered and raised by hand.
"""

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

from smki.annex_b.version import AnnexB, schema_path

_PACKAGES = ("smki.verify", "smki.certificates", "smki.annex_b")


def basis_of(annex_b: AnnexB, schema: Path) -> str:
    """32 hex digits; `schema` is the XSD of V1. Raises OSError where the schema cannot be read."""
    digest = hashlib.sha256(f"{annex_b}".encode())
    digest.update(schema_path(annex_b, schema).read_bytes())
    digest.update(_programs())
    return digest.hexdigest()[:32]


@cache
def _programs() -> bytes:
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for file in sorted(files(package).iterdir(), key=lambda one: one.name):
            if file.name.endswith(".py"):
                digest.update(f"{package}.{file.name}\n".encode() + file.read_bytes())
    return digest.digest()
