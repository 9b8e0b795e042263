"""The project as pip installs it: its commands, its files, and the plugin that Airflow finds by its entry point."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from smki.settings import PROJECT

PACKAGES = ("include/smki", "include/smki_demo", "plugins/smki_airflow")
BUILT_FROM = ("include", "plugins", "LICENSE", "pyproject.toml", "requirements.in", "requirements-party.in")


@pytest.mark.parametrize("folder", [PROJECT / "plugins", Path("/nonexistent")], ids=["mounted", "not mounted"])
def test_airflow_finds_the_plugin_once(folder: Path) -> None:
    """Whether or not the folder `plugins` is the one that Airflow looks into as well."""
    environment = os.environ | {"AIRFLOW__CORE__PLUGINS_FOLDER": str(folder)}
    command = [sys.executable, "-m", "airflow", "plugins", "--output", "json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    listed = json.loads(done.stdout[done.stdout.index("[{") :])
    assert [plugin["name"] for plugin in listed].count("smki") == 1
    assert "smki_airflow" not in [plugin["name"] for plugin in listed]
    assert "Failed to import plugin" not in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["smki", "smki-demo"])
def test_command_stands_beside_the_interpreter(command: str) -> None:
    done = subprocess.run([Path(sys.executable).parent / command, "--help"], capture_output=True, text=True, check=True)
    assert f"Usage: {command}" in done.stdout


def test_wheel_holds_every_file_of_the_packages_and_no_other(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in BUILT_FROM:
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy2
        copy(PROJECT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", tmp_path, source], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("smki_publisher-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        held = {name for name in opened.namelist() if ".dist-info/" not in name}
    assert held == {
        file.relative_to((PROJECT / package).parent).as_posix()
        for package in PACKAGES
        for file in (PROJECT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
