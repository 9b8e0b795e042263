"""The runbook has a section for whatever can happen, and nothing in it leads nowhere."""

import ast
import re
import shlex
from collections.abc import Iterator
from typing import Any

import typer

from smki import errors
from smki.certificates.model import Status
from smki.cli.application import app
from smki.errors import SmkiError
from smki.gate.model import Severity
from smki.kinds.anchors.checks import DOCUMENT, REGION_FILE
from smki.kinds.extracts.checks import DELTA, full_checks
from smki.kinds.revocation.checks import LIST
from smki.obligations.catalogue import FullExtract, KeepNewest
from smki.settings import PROJECT
from smki.watch.findings import Kind

TEXT = (PROJECT / "docs" / "runbook.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
SECTIONS = re.split(r"^#+ ", TEXT, flags=re.MULTILINE)[1:]


def anchor(heading: str) -> str:
    """As GitHub and most others make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def section(heading: str) -> str:
    (found,) = [text for text in SECTIONS if text.splitlines()[0] == heading]
    return found


def subclasses(base: type[SmkiError]) -> Iterator[type[SmkiError]]:
    for one in base.__subclasses__():
        yield one
        yield from subclasses(one)


def test_every_kind_of_finding_has_a_section_that_says_what_to_check_and_do():
    for kind in Kind:
        path, _, wanted = kind.section.partition("#")
        assert path == "docs/runbook.md"
        assert wanted in {anchor(heading) for heading in HEADINGS}
        for part in ("**Means:**", "**Check:**", "**Do:**", "**Right again:**", "Proof: "):
            assert part in section(str(kind)), (kind, part)


def test_every_error_has_its_line():
    listed = set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE))
    assert listed == {one.__name__ for one in subclasses(SmkiError) if one.__module__ == errors.__name__}


def test_every_check_that_nobody_may_release_has_its_way_out():
    checks = [*DELTA, *LIST, *REGION_FILE, *DOCUMENT]
    for statuses in ({Status.IN_USE}, set(Status)):
        checks += full_checks(FullExtract(frozenset(statuses), KeepNewest(2)))
    wanted = {check.id for check in checks if check.severity is Severity.FAIL}
    rows = re.findall(r"^\| (`[a-z]+\..+?) \| .+ \| .+ \|$", section("FAIL"), re.MULTILINE)
    named = [found for row in rows for found in re.findall(r"`([\w.-]+)`", row)]
    assert set(named) == wanted
    assert len(named) == len(set(named))


def test_every_link_leads_to_a_section():
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= {anchor(heading) for heading in HEADINGS}


def test_every_section_names_its_proof_or_says_why_there_is_none():
    chapters = {"Runbook", "Moves", "Findings", "Failures"}
    assert [s.splitlines()[0] for s in SECTIONS if "Proof" not in s and s.splitlines()[0] not in chapters] == []


def test_every_proof_is_a_test_that_exists():
    named = re.findall(r"`(tests/[\w/.]+)(?:::(\w+))?`", TEXT)
    assert len(named) > 20
    for path, function in named:
        assert (PROJECT / path).exists(), path
        if function:
            tree = ast.parse((PROJECT / path).read_text(encoding="utf-8"))
            assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, function


def test_every_smki_command_exists_with_its_options():
    commands = re.findall(r"`smki ([^`]+)`", TEXT)
    assert len(commands) > 10
    for command in commands:
        found: Any = typer.main.get_command(app)
        words = shlex.split(command)
        while words and words[0] in getattr(found, "commands", {}):
            found = found.commands[words.pop(0)]
        assert not hasattr(found, "commands") or found.invoke_without_command, command
        options = {option for parameter in found.params for option in parameter.opts}
        assert all(word in options if word.startswith("-") else word.isupper() for word in words), command
