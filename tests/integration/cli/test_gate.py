"""`smki gate` as a user runs it: a real process against a real repository."""

import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from builders import cut_off, day, during, lodge_bodies, look_alikes, produced, trust
from made_certificates import name, self_made
from smki.certificates.model import CertificateClass
from smki.gate.ledger import list_gate_runs, record_judgement
from smki.gate.model import Judgement
from smki.obligations.catalogue import UserGuide
from smki.repository.database import libpq_url, open_engine
from smki.repository.windows import close_windows
from smki.store.manifest import manifest_path

from .test_commands import run


@pytest.fixture
def environment(repository: Engine, tmp_path: Path) -> dict[str, str]:
    lodge_bodies(repository, look_alikes(30), during(1))
    lodge_bodies(repository, look_alikes(6, seed=2), during(2))
    close_windows(repository, day(2), cut_off)
    return {"SMKI_DATABASE_URL": libpq_url(repository), "SMKI_VAR": str(tmp_path / "var")}


@pytest.fixture
def delta(environment: dict[str, str], user_guide: UserGuide, tmp_path: Path) -> Path:
    return produced(open_engine(environment["SMKI_DATABASE_URL"]), user_guide.delta, day(2), tmp_path)[0]


def judged(environment: dict[str, str], *arguments: object, code: int) -> Any:
    return json.loads(run(environment, "gate", "judge", *arguments, "--json", code=code).stdout)


def test_right_file_passes_by_its_name_alone_and_nothing_is_recorded(
    environment: dict[str, str], delta: Path, repository: Engine, tmp_path: Path
) -> None:
    said = judged(environment, delta, "--report", tmp_path / "report.html", code=0)
    assert (said["verdict"], said["obligation"], said["business_date"]) == ("PASS", "delta", str(day(2)))
    assert all(result["passed"] for result in said["results"])
    assert f"all {len(said['results'])} checks passed" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert list_gate_runs(repository) == []


def test_file_of_authorities_passes_whatever_letters_their_names_have(
    repository: Engine, user_guide: UserGuide, tmp_path: Path
) -> None:
    names = ["OCA A & B", "OCA Müller", "DCA 電"]
    bodies = [self_made(name("07", text)) for text in names]
    trust(repository, CertificateClass.OCA, *bodies)
    lodge_bodies(repository, bodies, during(1))
    close_windows(repository, day(1), cut_off)
    delta, _ = produced(repository, user_guide.delta, day(1), tmp_path)
    said = judged({"SMKI_DATABASE_URL": libpq_url(repository), "SMKI_VAR": str(tmp_path / "var")}, delta, code=0)
    assert (said["verdict"], said["sha256"]) == ("PASS", hashlib.sha256(delta.read_bytes()).hexdigest())


def test_delta_of_another_day_fails_and_the_terminal_says_why(environment: dict[str, str], delta: Path) -> None:
    said = run(environment, "gate", "judge", delta, "--date", day(1), code=1).stdout
    assert said.startswith("FAIL")
    for words in ("delta.belongs", "delta.complete: 30 certificates are missing", "why it matters:", "20 more:"):
        assert words in said


def test_one_wrong_record_is_named_and_is_no_lack_of_all_the_others(environment: dict[str, str], delta: Path) -> None:
    xml = re.sub(rb"(<CertificateSerial>..)..", rb"\g<1>00", gzip.decompress(delta.read_bytes()), count=1)
    with delta.open("wb") as raw, gzip.GzipFile(delta.stem, "wb", fileobj=raw, mtime=0) as stream:
        stream.write(xml)
    manifest_path(delta).unlink()
    said = judged(environment, delta, code=1)
    wrong = {result["id"]: result["judged"] for result in said["results"] if not result["passed"]}
    assert [check for check, is_judged in wrong.items() if is_judged] == ["xml.fields"]
    assert {"delta.count", "delta.complete", "delta.volume"} < wrong.keys()
    assert "not judged: 1 of 1 segments was left at what is wrong there: records.manufacturing," in " ".join(
        run(environment, "gate", "judge", delta, code=1).stdout.split()
    )


def test_kind_or_date_that_cannot_be_told_is_asked_for(
    environment: dict[str, str], delta: Path, tmp_path: Path
) -> None:
    other = tmp_path / "copy.xml.gz"
    other.write_bytes(delta.read_bytes())
    assert "--kind" in run(environment, "gate", "judge", other, code=1).stderr
    assert "--date" in run(environment, "gate", "judge", other, "--kind", "delta", code=1).stderr
    said = judged(environment, other, "--kind", "delta", "--date", day(2), code=1)
    assert {result["id"] for result in said["results"] if not result["passed"]} == {
        "all.name",
        "gzip.name",
        "xml.head",
    }


def test_day_without_a_window_is_refused(environment: dict[str, str], delta: Path) -> None:
    said = run(environment, "gate", "judge", delta, "--date", day(5), code=1).stderr
    assert "a delta or full extract needs a closed window" in said


def test_report_that_no_disk_takes_is_no_mistake_of_the_program(environment: dict[str, str], delta: Path) -> None:
    said = run(environment, "gate", "judge", delta, "--report", "/dev/full", code=4).stderr
    assert said.startswith("StoreError")


def test_day_before_the_first_window_is_never_told_to_be_closed(environment: dict[str, str], delta: Path) -> None:
    said = run(environment, "gate", "judge", delta, "--date", day(-30), code=1).stderr
    assert said.startswith("NotOwedError")
    assert "windows close" not in said


def test_file_that_is_not_there_is_wrong_usage(environment: dict[str, str]) -> None:
    assert "nothing.xml.gz" in run(environment, "gate", "judge", "nothing.xml.gz", code=2).stderr


def test_gate_run_of_the_ledger_is_listed_and_shown(
    environment: dict[str, str], repository: Engine, delta: Path
) -> None:
    assert json.loads(run(environment, "gate", "history", "--json").stdout) == []
    assert "the ledger has none of that number" in run(environment, "gate", "show", 1, code=1).stderr
    number = _recorded(repository, judged(environment, delta, "--date", day(1), code=1))
    (listed,) = json.loads(run(environment, "gate", "history", "--verdict", "FAIL", "--json").stdout)
    assert (listed["gate_run"], listed["name"], listed["decision"]) == (number, delta.name, None)
    assert "delta.belongs" in listed["did_not_pass"]
    assert "delta.belongs" in run(environment, "gate", "history", "--wide").stdout.replace("\n", "")
    assert run(environment, "gate", "show", number).stdout.startswith("FAIL")


def _recorded(engine: Engine, said: dict[str, Any]) -> int:
    stated = {key: value for key, value in said.items() if key not in ("verdict", "decision")}
    return record_judgement(engine, Judgement.from_json(stated))
