"""`smki` as a user runs it: a real process, in the folders that people have."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from builders import day, look_alikes
from smki.certificates.reading import read_certificate
from smki.repository.database import libpq_url

COMMANDS = Path(sys.executable).parent


def run(
    environment: dict[str, str], *arguments: object, code: int = 0, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SMKI_")}
    command = [COMMANDS / ("smki-demo" if arguments[0] == "generate" else "smki"), *map(str, arguments)]
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def as_json(environment: dict[str, str], *arguments: object, code: int = 0, cwd: Path | None = None) -> Any:
    return json.loads(run(environment, *arguments, "--json", code=code, cwd=cwd).stdout)


def test_every_command_answers_in_json(repository: Engine, tmp_path: Path) -> None:
    """A day in the life: made-up history, lodging, changes, windows, extracts, checks."""
    environment = {"SMKI_DATABASE_URL": libpq_url(repository), "SMKI_VAR": str(tmp_path / "var")}
    generated = as_json(environment, "generate", "pki", "--certificates", 140, "--days", 7, "--until", day(7))
    assert generated["lodged"] == sum(generated["classes"].values()) > 130
    volume = as_json(environment, "generate", "volume", "--certificates", 50, "--at", f"{day(6)}T12:00:00")
    assert volume == {"lodged": 50, "already_there": 0, "classes": {"DEVICE": 50}}

    (body,) = look_alikes(1, seed=9)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "good.der").write_bytes(body)
    (tmp_path / "new" / "bad [x].der").write_bytes(b"garbage")
    lodged = as_json(environment, "lodge", tmp_path / "new", "--status", "P", code=1)
    assert (lodged["lodged"], lodged["already_there"], lodged["refused"]) == (1, 0, 1)
    assert lodged["refusals"][0]["origin"].endswith("bad [x].der")
    (rejected,) = as_json(environment, "rejected")
    assert (rejected["origin"], rejected["offers"]) == (str(tmp_path / "new" / "bad [x].der"), 1)

    serial = read_certificate(body).serial_number.hex()
    changed = as_json(environment, "certificate", "set-status", "I", serial, "--reason", "installed")
    assert changed == {"changed": 1, "unchanged": 0}
    assert as_json(environment, "certificate", "expire")["expired"] >= 0

    closed = as_json(environment, "windows", "close", "--to", day(6))
    assert [window["business_date"] for window in closed] == [str(day(number)) for number in range(1, 7)]

    out = tmp_path / "out"
    full = as_json(environment, "produce", "full", "--date", day(7), "--out", out, "--workers", 2)
    assert full["window"] == 7
    assert len(as_json(environment, "windows", "list")) == 7
    (verified,) = as_json({"SMKI_VAR": str(tmp_path)}, "verify", out / f"SMKIKR_FULL_{day(7)}.xml.gz")
    assert sum(verified["classes"].values()) == verified["records"] == verified["statuses"]["I"]
    assert (verified["SHA-256"], verified["verdict"]) == (full["SHA-256"], "as it should be")


LONG = "a folder with spaces/" + "/".join(["a-rather-long-name-of-a-folder"] * 6)


def test_embedded_server_works_in_a_folder_with_spaces_and_a_very_long_path(tmp_path: Path) -> None:
    var = tmp_path / LONG
    assert len(str(var)) > 200
    (tmp_path / "x y.der").write_bytes(look_alikes(1)[0])
    environment = {"SMKI_VAR": str(var), "SMKI_DATABASE_URL": "embedded"}
    run(environment, "authority", "unchecked", "x y.der", "--class", "DCA", "--reason", "test", cwd=tmp_path)
    assert as_json(environment, "lodge", "x y.der", cwd=tmp_path)["lodged"] == 1
    again = as_json(environment, "lodge", "x y.der", cwd=tmp_path)  # on a server that was stopped and started
    assert (again["lodged"], again["already_there"]) == (0, 1)
