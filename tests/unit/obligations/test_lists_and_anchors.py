from datetime import timedelta
from pathlib import Path

import pytest

from smki.errors import ObligationError
from smki.obligations.catalogue import RevocationList, UserGuide
from smki.obligations.user_guide import load_user_guide
from smki.settings import INCLUDE

SHIPPED = (INCLUDE / "config" / "user_guide.toml").read_text(encoding="utf-8")
ARL_WARNING, CRL_WARNING = "next_update_warning_hours = 720", "next_update_warning_hours = 24"


def guide_with(folder: Path, old: str, new: str) -> UserGuide:
    assert old in SHIPPED
    (folder / "user_guide.toml").write_text(SHIPPED.replace(old, new, 1), encoding="utf-8")
    return load_user_guide(folder)


def test_lists_have_a_warning_time(user_guide: UserGuide) -> None:
    warnings = {
        one.name: one.kind.next_update_warning for one in user_guide.all if isinstance(one.kind, RevocationList)
    }
    assert warnings == {"arl": timedelta(hours=720), "crl": timedelta(hours=24)}


@pytest.mark.parametrize("value", ["0", "-3", "1.5", '"24"', "true", "8784"])
def test_impossible_warning_time_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ObligationError, match=r"\[crl\] next_update_warning_hours"):
        guide_with(tmp_path, CRL_WARNING, f"next_update_warning_hours = {value}")


def test_missing_warning_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ObligationError, match=r"\[arl\] next_update_warning_hours"):
        guide_with(tmp_path, ARL_WARNING, "")


def test_warning_time_of_what_has_no_next_update_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ObligationError, match=r"\[anchor_north\] next_update_warning_hours"):
        guide_with(tmp_path, "[anchor_north]", "[anchor_north]\nnext_update_warning_hours = 24")


def test_clause_2_3_3_c_and_d_want_gz_files(tmp_path: Path) -> None:
    with pytest.raises(ObligationError, match=r"\[crl\] file"):
        guide_with(tmp_path, "SMKIKR_ORGANISATION_CRL.crl.gz", "SMKIKR_ORGANISATION_CRL.crl")


def test_lists_have_one_daily_run(tmp_path: Path) -> None:
    with pytest.raises(ObligationError, match="one run"):
        guide_with(tmp_path, 'ARL.crl.gz"\ncut_off = "0 1 * * *"', 'ARL.crl.gz"\ncut_off = "15 1 * * *"')


def test_anchor_files_have_one_daily_run(tmp_path: Path) -> None:
    with pytest.raises(ObligationError, match=r"\[anchor_table\] cut_off"):
        guide_with(tmp_path, 'SLOTS.csv"\ncut_off = "0 2 * * *"', 'SLOTS.csv"\ncut_off = "15 2 * * *"')
