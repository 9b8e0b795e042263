"""The basis of a check: other schemas and other programs are another one, and what is no schema is refused."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builders import XSD
from smki.annex_b.version import V1
from smki.errors import ConfigurationError
from smki.settings import INCLUDE
from smki.verify.basis import basis_of

_SCHEMA = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">{}</xs:schema>'
_BEFORE_AND_AFTER = """
import sys
from pathlib import Path
from smki.annex_b.version import V1
from smki.settings import INCLUDE
from smki.verify.basis import basis_of
with Path(INCLUDE, "smki", "verify", "frame.py").open("a") as program:
    program.write("# upgraded")
print(basis_of(V1, Path(sys.argv[1])))
"""


@pytest.mark.parametrize("how", ["include", "import", "redefine"])
def test_file_that_the_schema_needs_is_of_the_basis(tmp_path: Path, how: str) -> None:
    """And what that one needs, also where they name each other."""
    schema, other, third = tmp_path / "a.xsd", tmp_path / "more" / "b.xsd", tmp_path / "more" / "c.xsd"
    other.parent.mkdir()
    schema.write_text(_SCHEMA.format(f'<xs:{how} schemaLocation="more/b.xsd"/>'))
    other.write_text(_SCHEMA.format('<xs:include schemaLocation="../a.xsd"/><xs:include schemaLocation="c.xsd"/>'))
    third.write_text(_SCHEMA.format(""))
    found = [basis_of(V1, schema)]
    for file in (schema, other, third):
        file.write_text(file.read_text() + "<!-- changed -->")
        found.append(basis_of(V1, schema))
    assert len(set(found)) == 4
    moved = shutil.copytree(tmp_path, tmp_path / "moved")
    assert basis_of(V1, moved / "a.xsd") == found[-1]


def test_schema_that_names_no_file_for_a_namespace_needs_none(tmp_path: Path) -> None:
    schema = tmp_path / "a.xsd"
    schema.write_text(_SCHEMA.format('<xs:import namespace="urn:other"/>'))
    assert basis_of(V1, schema)


@pytest.mark.parametrize("name", ["gone.xsd", "folder", "text", "of_gone", "of_web"])
def test_what_is_no_schema_is_the_operators_to_correct(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("no schema")
    for needs, what in (("of_gone", "gone.xsd"), ("of_web", "https://example.org/x.xsd")):
        (tmp_path / needs).write_text(_SCHEMA.format(f'<xs:include schemaLocation="{what}"/>'))
    with pytest.raises(ConfigurationError, match="SMKI_ANNEX_B_XSD"):
        basis_of(V1, tmp_path / name)


def test_programs_are_those_that_are_loaded_whatever_an_upgrade_puts_in_their_place(tmp_path: Path) -> None:
    """A process that goes on checks by its old programs, and says so."""
    shutil.copytree(INCLUDE / "smki", tmp_path / "smki", ignore=shutil.ignore_patterns("__pycache__"))

    def basis(program: str) -> str:
        command = [sys.executable, "-c", program, str(XSD)]
        environment = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout

    only = _BEFORE_AND_AFTER.replace('program.write("# upgraded")', "pass")
    before = basis(only)
    assert basis(_BEFORE_AND_AFTER) == before
    assert basis(only) != before
