"""What a Party's account may not open, on a real sshd that it logs in to under another user than the publisher."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from smki.watch.findings import Kind
from smki.watch.findings_ledger import list_open_findings

from ..publish.conftest import OpenSshServer
from .conftest import World

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start an sshd that lets another user in")


@pytest.fixture
def sshd() -> Iterator[OpenSshServer]:
    """In a folder that everybody may enter."""
    folder = Path(tempfile.mkdtemp(prefix="smki-site-"))
    folder.chmod(0o755)
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program
    server = OpenSshServer(folder, program)
    (folder / "authorized").chmod(0o644)
    server.published.mkdir()
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


def findings(world: World) -> set[tuple[Kind, str]]:
    party = replace(world.site, username="nobody")
    return {(one.kind, one.item) for one in world.audit(site=party).findings if one.kind is not Kind.CHAIN_BROKEN}


def test_file_that_a_party_may_not_open_is_unreadable_and_hides_nothing(world: World) -> None:
    for file in world.sshd.published.iterdir():
        file.chmod(0o644)
    assert findings(world) == set()
    full, gone = next(world.sshd.published.glob("*FULL*")), world.on_server("delta")
    full.chmod(0o600)
    gone.unlink()
    (world.sshd.published / "notes.txt").write_text("whose?")
    (world.sshd.published / "notes.txt").chmod(0)
    assert findings(world) == {(Kind.UNREADABLE, full.name), (Kind.LOST, gone.name), (Kind.UNEXPECTED, "notes.txt")}
    world.sshd.published.chmod(0o711)
    assert findings(world) == {(Kind.UNREADABLE, "folder /")}, "nobody knows what is in it"
    still_open = {(one.finding.kind, one.finding.item) for one in list_open_findings(world.engine)}
    assert {(Kind.LOST, gone.name), (Kind.UNREADABLE, full.name)} <= still_open
    world.sshd.published.chmod(0o755)
    full.chmod(0o644)
    assert (Kind.UNREADABLE, full.name) not in findings(world)
