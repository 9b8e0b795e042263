"""Which part of `smki` may import which (DESIGN.md, section 2)."""

import ast
import subprocess
import sys
from pathlib import Path

from smki import LAYERS
from smki.settings import INCLUDE

RANK = {package: rank for rank, layer in enumerate(LAYERS) for package in layer.split()}
ROOT_MODULES = {"errors", "html", "processes", "settings", "toml_files", "words"}


def imported(file: Path) -> set[str]:
    """Dotted names of all that a module imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def modules() -> list[Path]:
    return sorted((INCLUDE / "smki").rglob("*.py"))


def test_every_package_has_its_place() -> None:
    assert {path.parent.name for path in (INCLUDE / "smki").glob("*/__init__.py")} <= RANK.keys()


def test_imports_point_downwards_only() -> None:
    upwards = []
    for file in modules():
        package = file.relative_to(INCLUDE / "smki").parts[0]
        if package not in RANK:
            continue  # a module at the root: errors, settings and processes stand below all, __main__ above
        for name in imported(file):
            parts = name.split(".")
            if parts[0] == "smki" and parts[1] not in {package, *ROOT_MODULES} and RANK[parts[1]] <= RANK[package]:
                upwards.append(f"{file.relative_to(INCLUDE)} imports {name}")
    assert upwards == []


def test_root_modules_import_no_package() -> None:
    for module in ROOT_MODULES:
        names = imported(INCLUDE / "smki" / f"{module}.py")
        assert not [name for name in names if name.startswith("smki.") and name.split(".")[1] in RANK]


def test_domain_does_not_know_airflow() -> None:
    knowing = [
        str(file) for file in modules() for name in imported(file) if name.split(".")[0] in ("airflow", "smki_airflow")
    ]
    assert knowing == []


def test_verifier_does_not_load_the_renderer() -> None:
    """Neither itself nor by way of others."""
    program = (
        "import sys, smki.verify.verification, smki.verify.record_check, smki.verify.marks\n"
        "print(*(m for m in sys.modules if m.startswith(('smki.kinds', 'airflow'))))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(INCLUDE)}, check=True, capture_output=True, text=True
    )
    assert loaded.stdout.split() == []
