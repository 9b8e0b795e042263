"""A file that is fetched to be adopted, and this machine's disk."""

import gzip
from contextlib import nullcontext
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from builders import full_disk
from smki.errors import StoreError
from smki.obligations.catalogue import UserGuide
from smki.publish.unknown_files import UnknownFile
from smki.recovery.adoption import Found, _fetch

from ..publish.conftest import OpenSshServer


def test_full_disk_here_is_no_fault_of_the_server(sshd: OpenSshServer, user_guide: UserGuide, tmp_path: Path) -> None:
    xml = b"".join(number.to_bytes(4) for number in range(0, 1 << 30, 300_001))
    content, there = gzip.compress(xml), sshd.published / "x.gz"
    there.parent.mkdir(exist_ok=True)
    there.write_bytes(content)
    path, now = f"{sshd.site.folder}/x.gz", datetime.now(UTC)
    file = UnknownFile(user_guide.full, date(2025, 6, 8), path, len(content), now, is_taken_over=False)

    def fetch(folder: str) -> bytes:
        _fetch(Found(sshd.site, file), tmp_path / folder, lambda _step: nullcontext(lambda _done, _of: None))
        return (tmp_path / folder / "x.gz").read_bytes()

    with full_disk(), pytest.raises(StoreError):
        fetch("full")
    assert fetch("empty") == content
