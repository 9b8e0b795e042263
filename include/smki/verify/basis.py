"""What checked pages are checked by: the schema, and the programs that read and check them.

Its digest goes with whatever is kept of a check. So nothing that another schema or another verifier found is ever taken
for found: no version has to be remembered and raised by hand.

* The schema is its file and those that it includes, imports or redefines, which lie on the same disk.
* The programs are those that this process has loaded: an upgrade beneath a process that goes on changes nothing of it.
"""

import hashlib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from lxml import etree

from smki.annex_b.version import AnnexB, schema_path
from smki.errors import ConfigurationError

_PACKAGES = ("smki.verify", "smki.certificates", "smki.annex_b")
_NAMING_OTHERS = tuple(
    f"{{http://www.w3.org/2001/XMLSchema}}{name}" for name in ("include", "import", "redefine", "override")
)


def basis_of(annex_b: AnnexB, schema: Path) -> str:
    """32 hex digits; `schema` is the XSD of V1. Raises ConfigurationError for what is none."""
    digest = hashlib.sha256(f"{annex_b}".encode())
    for content in _schema_contents(schema_path(annex_b, schema)):
        digest.update(content)
    digest.update(_PROGRAMS)
    return digest.hexdigest()[:32]


def schema_error(schema: Path, rule: str) -> ConfigurationError:
    """The error for a schema that nothing can be verified by."""
    return ConfigurationError(str(schema), rule, "Nothing can be verified.", "correct SMKI_ANNEX_B_XSD.")


def _schema_contents(schema: Path) -> Iterator[bytes]:
    """Its file's bytes, then those of each file that it needs, in the order in which they are named."""
    waiting, known = [schema], {schema.resolve()}
    for file in waiting:
        try:
            content = file.read_bytes()
            named = [one.get("schemaLocation") for one in etree.fromstring(content).iter(*_NAMING_OTHERS)]
        except (OSError, etree.XMLSyntaxError) as error:
            raise schema_error(file, f"it is no XML schema ({error}).") from error
        yield content
        for location in filter(None, named):
            if ":" in location:
                raise schema_error(file, f"it needs {location}, which is no file beside it.")
            if (other := file.parent / location).resolve() not in known:
                known.add(other.resolve())
                waiting.append(other)


def _digest_programs() -> bytes:
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for file in sorted(files(package).iterdir(), key=lambda one: one.name):
            if file.name.endswith(".py"):
                digest.update(f"{package}.{file.name}\n".encode() + file.read_bytes())
    return digest.digest()


_PROGRAMS = _digest_programs()  # with the modules themselves, not later from what lies on the disk then
