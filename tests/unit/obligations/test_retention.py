"""How long files stay, as user_guide.toml states it: what cannot be meant is refused on load, by obligation and key."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from conftest import CONFIG
from smki.errors import ObligationError
from smki.obligations.catalogue import KeepForDays, KeepNewest, UserGuide
from smki.obligations.user_guide import load_user_guide

GUIDE = (CONFIG / "user_guide.toml").read_text(encoding="utf-8")


def load(folder: Path, old: str, new: str) -> UserGuide:
    """The tests' user guide with one line changed."""
    assert GUIDE.count(f"\n{old}\n") == 1
    (folder / "user_guide.toml").write_text(GUIDE.replace(f"\n{old}\n", f"\n{new}\n"), encoding="utf-8")
    return load_user_guide(folder)


def test_terms_are_those_that_are_stated(user_guide: UserGuide):
    assert user_guide.retention_cron == "0 5 * * *"
    assert user_guide.delta.kind.retirement == KeepForDays(timedelta(days=7), wait_for_recovery=True)
    assert user_guide.full.kind.retirement == KeepNewest(2)


def test_more_may_be_kept(tmp_path: Path):
    longer = load(tmp_path, "keep_days = 7", "keep_days = 14").delta.kind.retirement
    assert longer == KeepForDays(timedelta(days=14), wait_for_recovery=True)
    assert load(tmp_path, "keep = 2", "keep = 5").full.kind.retirement == KeepNewest(5)


@pytest.mark.parametrize("value", ["0", "-7", "6", "367", "7.0", "true", '"7"'])
def test_a_delta_stays_for_seven_days_at_least(tmp_path: Path, value: str):
    with pytest.raises(ObligationError, match=re.escape("[delta] keep_days")):
        load(tmp_path, "keep_days = 7", f"keep_days = {value}")


@pytest.mark.parametrize("value", ["0", "-1", "false", "2.5"])
def test_a_full_extract_stays_at_least(tmp_path: Path, value: str):
    with pytest.raises(ObligationError, match=re.escape("[full] keep:")):
        load(tmp_path, "keep = 2", f"keep = {value}")


@pytest.mark.parametrize(
    ("line", "item"),
    [
        ("keep_days = 7", "[delta] keep_days"),
        ("keep = 2", "[full] keep"),
        ("wait_for_recovery = true", "[delta] wait_for_recovery"),
        ('cut_off = "0 5 * * *"', "[retention] cut_off"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, line: str, item: str):
    with pytest.raises(ObligationError, match=re.escape(item)):
        load(tmp_path, line, "")


def test_waiting_is_true_or_false(tmp_path: Path):
    with pytest.raises(ObligationError, match=re.escape("[delta] wait_for_recovery")):
        load(tmp_path, "wait_for_recovery = true", "wait_for_recovery = 1")


@pytest.mark.parametrize(
    ("line", "new", "item"),
    [
        ("keep = 2", "keep = 2\nkeep_days = 7", "[full] keep_days"),
        ("keep_days = 7", "keep_days = 7\nkeep = 7", "[delta] keep"),
        ("[crl]", "[crl]\nwait_for_recovery = true", "[crl] wait_for_recovery"),
    ],
)
def test_a_key_in_the_wrong_place_is_refused(tmp_path: Path, line: str, new: str, item: str):
    with pytest.raises(ObligationError, match=re.escape(item)):
        load(tmp_path, line, new)


@pytest.mark.parametrize("cron", ["0 5 * * SUN", "0 25 * * *", "60 5 * * *", "daily"])
def test_retention_looks_every_day(tmp_path: Path, cron: str):
    with pytest.raises(ObligationError, match=re.escape("[retention] cut_off")):
        load(tmp_path, 'cut_off = "0 5 * * *"', f'cut_off = "{cron}"')
