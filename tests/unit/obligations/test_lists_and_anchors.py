import re
from datetime import timedelta
from pathlib import Path

import pytest
from asn1crypto import x509

from conftest import CONFIG
from smki.certificates.model import ListKind
from smki.errors import ObligationError
from smki.obligations.catalogue import RevocationList, UserGuide
from smki.obligations.user_guide import load_user_guide

GUIDE = (CONFIG / "user_guide.toml").read_text(encoding="utf-8")
ARL_WARNING, CRL_WARNING = "next_update_warning_hours = 720", "next_update_warning_hours = 24"


def guide_with(folder: Path, old: str, new: str) -> UserGuide:
    assert old in GUIDE
    (folder / "user_guide.toml").write_text(GUIDE.replace(old, new, 1), encoding="utf-8")
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


def second(issuer: str) -> str:
    """A second CRL of another issuer, as a section of its own."""
    of_it = re.search(r"(?ms)^\[crl\]\n.*?(?=^\[)", GUIDE)
    assert of_it
    return of_it[0].replace("[crl]", "[crl_2]\n" + issuer).replace("CRL.crl", "CRL_2.crl")


@pytest.mark.parametrize("stated", ["OCA1", "CN=OCA1,OU=07", "ou = 07, cn = oca1"])
def test_list_of_each_issuer_has_its_section(tmp_path: Path, stated: str) -> None:
    sections = f'[crl]\nissuer = "{stated}"'
    (tmp_path / "user_guide.toml").write_text(GUIDE.replace("[crl]", sections) + second('issuer = "OCA2"\n'))
    guide = load_user_guide(tmp_path)
    parts = [{"organizational_unit_name": "07", "common_name": name} for name in ("OCA1", "OCA2")]
    names = [x509.Name.build(part).dump() for part in parts]
    kinds = {one.name: kind for one, kind in guide.lists()}
    assert kinds.keys() == {"arl", "crl", "crl_2"}
    claims = {name: [kind.may_publish(ListKind.CRL, one) for one in names] for name, kind in kinds.items()}
    assert claims == {"arl": [False, False], "crl": [True, False], "crl_2": [False, True]}


@pytest.mark.parametrize(("first", "other"), [("", ""), ("OCA1", ""), ("", "OCA2"), ("OCA1", "oca1")])
def test_sections_of_one_list_that_do_not_state_different_issuers_are_refused(
    tmp_path: Path, first: str, other: str
) -> None:
    def line(issuer: str) -> str:
        return f'issuer = "{issuer}"\n' if issuer else ""

    (tmp_path / "user_guide.toml").write_text(GUIDE.replace("[crl]\n", "[crl]\n" + line(first)) + second(line(other)))
    with pytest.raises(ObligationError, match=r"\[crl(_2)?\] issuer: several sections"):
        load_user_guide(tmp_path)


def test_issuer_that_is_no_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ObligationError, match=r"\[crl\] issuer"):
        guide_with(tmp_path, "[crl]\n", '[crl]\nissuer = "CNN=OCA1"\n')


def test_lists_have_one_daily_run(tmp_path: Path) -> None:
    with pytest.raises(ObligationError, match="one run"):
        guide_with(tmp_path, 'ARL.crl.gz"\ncut_off = "0 1 * * *"', 'ARL.crl.gz"\ncut_off = "15 1 * * *"')


def test_anchor_files_have_one_daily_run(tmp_path: Path) -> None:
    with pytest.raises(ObligationError, match=r"\[anchor_table\] cut_off"):
        guide_with(tmp_path, 'SLOTS.csv"\ncut_off = "0 2 * * *"', 'SLOTS.csv"\ncut_off = "15 2 * * *"')
