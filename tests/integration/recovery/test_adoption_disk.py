"""A file that is fetched to be adopted, and this machine's disk."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from builders import full_disk
from smki.errors import StoreError
from smki.obligations.catalogue import UserGuide
from smki.publish.unknown_files import UnknownFile
from smki.recovery.adoption import _fetch

from ..publish.conftest import OpenSshServer


def test_full_disk_here_is_no_fault_of_the_server(sshd: OpenSshServer, user_guide: UserGuide, tmp_path: Path) -> None:
    content, local = bytes(range(256)) * 40, tmp_path / "x.gz"
    there = sshd.published / "x.gz"
    there.parent.mkdir(exist_ok=True)
    there.write_bytes(content)
    file = UnknownFile(user_guide.full, date(2025, 6, 8), f"{sshd.site.folder}/x.gz", len(content), datetime.now(UTC))
    with full_disk(), pytest.raises(StoreError):
        _fetch(sshd.site, file, local, lambda _done, _of: None)
    _fetch(sshd.site, file, local, lambda _done, _of: None)
    assert local.read_bytes() == content
