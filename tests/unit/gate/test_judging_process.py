"""A process of its own judges as this one does, and what happens to it is heard of here."""

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from conftest import CONFIG
from smki.errors import JudgingEndedError
from smki.gate import judging_process
from smki.gate.checks import GZIP, NAME, GzipRow, NameRow
from smki.gate.evidence import Evidence
from smki.gate.judging_process import Judge, begin_judging
from smki.gate.model import Verdict
from smki.kinds.extracts.checks import XML
from smki.obligations.user_guide import load_user_guide

NOW = datetime(2026, 3, 1, 1, 2, tzinfo=UTC)
EVIDENCE = Evidence(
    obligation=load_user_guide(CONFIG).full,
    name="SMKIKR_FULL_2026-03-01.xml.gz",
    business_date=date(2026, 3, 1),
    bytes=7_668,
    sha256="0123456789abcdef" * 4,
    checks=(NAME, *GZIP),
    file=(NameRow("SMKIKR_FULL_2026-03-01.xml.gz", "SMKIKR_FULL_2026-03-08.xml.gz"), GzipRow("", "a second member")),
)
NOT_LOADED = "smki.gate.judging"


@pytest.fixture(scope="module")
def judge_apart() -> Iterator[Judge]:
    with pytest.MonkeyPatch.context() as patched:
        patched.delitem(sys.modules, NOT_LOADED, raising=False)
        with begin_judging() as judge:
            yield judge


def test_process_says_what_this_one_would_say(judge_apart: Judge) -> None:
    here, apart = importlib.import_module(NOT_LOADED).judge, judge_apart
    judged = apart(EVIDENCE, "ada", NOW)
    assert judged.verdict is Verdict.FAIL
    assert [result.passed for result in judged.results] == [False, True, False]
    assert replace(judged, seconds=0) == replace(here(EVIDENCE, "ada", NOW), seconds=0)


def test_what_judging_raises_is_raised_here_and_the_next_file_is_judged(judge_apart: Judge) -> None:
    with pytest.raises(KeyError):  # there are no rows of segments
        judge_apart(replace(EVIDENCE, checks=XML), "ada", NOW)
    assert judge_apart(EVIDENCE, "ada", NOW).name == EVIDENCE.name


def test_process_that_ends_before_it_has_judged_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, NOT_LOADED, raising=False)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with begin_judging() as judge, pytest.raises(JudgingEndedError):
        judge(EVIDENCE, "ada", NOW)


def test_process_that_has_loaded_what_judges_begins_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    importlib.import_module(NOT_LOADED)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with begin_judging() as judge:
        assert judge(EVIDENCE, "ada", NOW).verdict is Verdict.FAIL


def test_postponed_module_is_loaded_when_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "postponed_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "heavy.py").write_text("from pathlib import Path\nPath(__file__).with_name('loaded').touch()\nVALUE = 1")
    monkeypatch.syspath_prepend(tmp_path)
    judging_process._postpone("postponed_package.heavy")
    module = importlib.import_module("postponed_package").heavy
    assert sys.modules["postponed_package.heavy"] is module
    assert not (package / "loaded").exists()
    assert module.VALUE == 1
    assert (package / "loaded").exists()


def test_module_that_is_not_installed_need_not_be_postponed() -> None:
    judging_process._postpone("smki.gate.no_such_module")
