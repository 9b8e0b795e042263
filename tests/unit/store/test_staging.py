"""The staging area is cleared of what failed runs left, and of nothing else."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from smki.errors import StoreError
from smki.store.local_files import remove_stale_runs

NOW = datetime(2026, 3, 10, tzinfo=UTC)
DAGS = ("smki_daily_delta", "smki_full_extract")


@pytest.fixture
def leave(tmp_path: Path):
    """Makes a run's folder in which everything was changed so many days ago."""

    def make(run: str, days: float, dag: str = DAGS[0]) -> Path:
        folder = tmp_path / dag / run
        segments = folder / "segments"
        segments.mkdir(parents=True)
        (segments / "0.deflate").write_bytes(b"segment")
        for path in (segments / "0.deflate", segments, folder):
            changed = (NOW - timedelta(days=days)).timestamp()
            os.utime(path, (changed, changed))
        return folder

    return make


def test_what_a_failed_run_left_goes_after_a_week(leave, tmp_path: Path):
    old, older, young = leave("scheduled__1", 7.1), leave("backfill__1", 90, DAGS[1]), leave("scheduled__2", 6.9)
    assert remove_stale_runs(tmp_path, DAGS, NOW) == [old, older]
    assert not old.exists()
    assert (young / "segments" / "0.deflate").read_bytes() == b"segment"


def test_a_run_that_still_changes_something_stays(leave, tmp_path: Path):
    folder = leave("scheduled__1", 30)
    changed = (NOW - timedelta(hours=1)).timestamp()
    os.utime(folder / "segments" / "0.deflate", (changed, changed))
    assert remove_stale_runs(tmp_path, DAGS, NOW) == []


def test_only_folders_of_our_dags_are_touched(leave, tmp_path: Path):
    others = leave("scheduled__1", 30, dag="somebody_else")
    file = tmp_path / DAGS[0]
    file.mkdir()
    (file / "notes.txt").write_text("not a run")
    elsewhere = leave("scheduled__1", 30, dag="elsewhere")
    (file / "link").symlink_to(elsewhere)
    assert remove_stale_runs(tmp_path, DAGS, NOW) == []
    assert others.exists()
    assert elsewhere.exists()


def test_a_staging_area_that_is_not_there_yet_is_clear(tmp_path: Path):
    assert remove_stale_runs(tmp_path / "staging", DAGS, NOW) == []


def test_what_cannot_be_removed_is_reported_and_the_rest_goes(leave, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stuck, goes = leave("a", 30), leave("b", 30)
    rmtree = shutil.rmtree

    def refuse(folder: Path) -> None:  # root may remove anything, so no real folder refuses
        if folder == stuck:
            raise PermissionError(13, "Permission denied", str(folder))
        rmtree(folder)

    monkeypatch.setattr("smki.store.local_files.shutil.rmtree", refuse)
    with pytest.raises(StoreError) as caught:
        remove_stale_runs(tmp_path, DAGS, NOW)
    assert caught.value.item == str(stuck)
    assert not goes.exists()
