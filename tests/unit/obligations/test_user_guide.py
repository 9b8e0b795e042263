import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import CONFIG
from smki.errors import ObligationError
from smki.obligations.catalogue import DeltaExtract, FullExtract, UserGuide
from smki.obligations.user_guide import load_user_guide
from smki.settings import INCLUDE

GUIDE = (CONFIG / "user_guide.toml").read_text()
DAY = date(2026, 7, 15)


def load(folder: Path, text: str) -> UserGuide:
    (folder / "user_guide.toml").write_text(text)
    return load_user_guide(folder)


def setting(section: str, key: str, value: str, text: str = GUIDE) -> str:
    """The tests' guide with another value (TOML) of one key; an empty one removes the key."""
    changed, count = re.subn(
        rf"(?ms)^(\[{section}\]\n(?:(?!\[)[^\n]*\n)*?){key} = [^\n]*\n",
        rf"\g<1>{key} = {value}\n" if value else r"\1",
        text,
    )
    assert count == 1
    return changed


def test_shipped_guide_says_what_appendix_o_says() -> None:
    shipped = load_user_guide(INCLUDE / "config")
    full, delta = shipped.full, shipped.delta
    assert full.file_name(date(2026, 7, 15)) == "SMKIKR_FULL_2026-07-15.xml.gz"
    assert delta.file_name(date(2026, 7, 15)) == "SMKIKR_DELT_2026-07-15.xml.gz"
    assert full.cut_off.weekday is not None
    assert delta.cut_off.weekday is None
    assert isinstance(full.kind, FullExtract)
    assert full.kind.statuses == {"I"}
    assert isinstance(delta.kind, DeltaExtract)
    assert "2.3.3 (a)" in full.clause
    assert "2.3.3 (b)" in delta.clause


@given(day=st.dates(date(2000, 1, 1), date(2100, 1, 1)))
def test_times_of_a_day_follow_from_the_guide(user_guide: UserGuide, day: date) -> None:
    for one in (user_guide.full, user_guide.delta):
        assert one.cut_off.at(day) == datetime(day.year, day.month, day.day, tzinfo=UTC)
        assert one.warn_at(day) == one.publish_by(day) - one.warning_lead
        assert one.publish_by(day) > one.warn_at(day) > one.cut_off.at(day)
    assert user_guide.full.cut_off.falls_on(day) == (day.isoweekday() == 7)
    assert user_guide.delta.cut_off.falls_on(day)


@pytest.mark.parametrize(
    ("publish_by", "delay"),
    [("18:31", timedelta(minutes=31)), ("+1 00:00", timedelta(hours=6)), ("+1 18:00", timedelta(days=1))],
)
def test_publish_by_is_on_the_day_of_the_cut_off_or_later(tmp_path: Path, publish_by: str, delay: timedelta) -> None:
    text = GUIDE
    for section, cron in [("full", "0 18 * * WED"), ("delta", "0 18 * * *")]:
        text = setting(section, "cut_off", f'"{cron}"', text)
        text = setting(section, "publish_by", f'"{publish_by}"', text)
        text = setting(section, "warning", '"00:30"', text)
    guide = load(tmp_path, text)
    assert guide.delta.publish_by(DAY) == guide.delta.cut_off.at(DAY) + delay
    assert guide.full.cut_off.weekday == 2
    assert guide.delta.cut_off.at(DAY) == datetime(2026, 7, 15, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    ("publish_by", "day", "hour"),
    [
        ("08:00 Europe/London", date(2026, 1, 15), 8),
        ("08:00 Europe/London", date(2026, 7, 15), 7),
        ("08:00 UTC", date(2026, 7, 15), 8),
        ("+1 02:00 Asia/Tokyo", date(2026, 7, 15), 17),
        ("01:30 Europe/London", date(2026, 3, 29), 1.5),  # skipped: the clocks go from 01:00 to 02:00
        ("01:30 Europe/London", date(2026, 10, 25), 0.5),  # there twice
    ],
)
def test_publish_by_in_a_time_zone_follows_its_clocks(tmp_path: Path, publish_by: str, day: date, hour: float) -> None:
    text = setting("delta", "publish_by", f'"{publish_by}"')
    delta = load(tmp_path, setting("delta", "warning", '"00:10"', text)).delta
    assert delta.publish_by(day) == datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hour)
    assert delta.publish_by(day).tzinfo is UTC


SECTIONS = [one.name for one in load_user_guide(CONFIG).all]
KEYS = ("kind", "title", "clause", "dag", "file", "cut_off", "publish_by", "folder")
IMPOSSIBLE = [
    *[(section, key, value) for section in SECTIONS for key in KEYS for value in ("", "7", '""')],
    ("full", "statuses", '"X"'),
    ("full", "statuses", '""'),
    ("full", "kind", '"extract"'),
    ("crl", "list", '"DRL"'),
    ("anchor_north", "part", '"south"'),
    ("anchor_north", "dag", '"smki anchors"'),
    ("full", "cut_off", '"0 0 * * SONNTAG"'),
    ("full", "cut_off", '"0 0 * * XXX"'),
    ("full", "cut_off", '"0 0 1 * *"'),
    ("full", "cut_off", '"0 0 29 * *"'),
    ("full", "cut_off", '"0 0 1 * SUN"'),
    ("full", "cut_off", '"60 0 * * SUN"'),
    ("full", "cut_off", '"0 24 * * SUN"'),
    ("full", "cut_off", '"@weekly"'),
    ("full", "cut_off", '"0 1 * * SUN"'),
    ("full", "cut_off", '"٠ 0 * * SUN"'),
    ("delta", "cut_off", '"0 0 * * SUN"'),
    ("full", "publish_by", '"8:00"'),
    ("full", "publish_by", '"24:00"'),
    ("full", "publish_by", '"08:60"'),
    ("full", "publish_by", '"00:00"'),
    ("full", "publish_by", '"-1 08:00"'),
    ("full", "publish_by", '"08:00 Europe/Lundon"'),
    ("full", "publish_by", '"08:00 ../etc/passwd"'),
    ("full", "publish_by", '"08:00 Europe"'),  # a folder of time zones
    pytest.param("full", "publish_by", f'"08:00 {"x" * 300}"', id="zone too long for a file's name"),
    ("full", "publish_by", '"01:00 Europe/London"'),  # in summer it is that of the cut-off
    ("full", "file", '"SMKIKR_FULL.xml.gz"'),
    ("full", "file", '"SMKIKR_FULL_{date}.xml"'),
    ("full", "file", '"a/SMKIKR_FULL_{date}.xml.gz"'),
    ("full", "file", '"SMKIKR_{what}_{date}.xml.gz"'),
    ("full", "file", '"SMKIKR_{_{date}.xml.gz"'),
    ("full", "file", '"SMKIKR_{}_{date}.xml.gz"'),
    ("full", "file", '"SMKIKR_VÖLL_{date}.xml.gz"'),
    ("full", "file", '"SMKIKR FULL {date}.xml.gz"'),
    ("full", "file", '"SMKIKR_DELT_{date}.xml.gz"'),
    ("index", "file", '"SMKIKR_ANCHOR_SLOTS.json"'),  # whose page is the anchors' document
]


@pytest.mark.parametrize(("section", "key", "value"), IMPOSSIBLE)
def test_impossible_setting_is_refused_with_its_obligation_and_key(
    tmp_path: Path, section: str, key: str, value: str
) -> None:
    with pytest.raises(ObligationError, match=rf"^user_guide\.toml line \d+ \[\w+\] {key}: ") as caught:
        load(tmp_path, setting(section, key, value))
    assert f"correct {tmp_path / 'user_guide.toml'}" in str(caught.value)


def test_folder_is_below_the_sites_with_or_without_a_slash(tmp_path: Path) -> None:
    guide = load(tmp_path, setting("index", "folder", '"index"', setting("full", "folder", '"to/parties"')))
    assert (guide.full.folder, guide.delta.folder) == ("/to/parties", "/")
    assert guide.index is not None
    assert guide.index.folder == "/index"


def test_two_files_have_two_names_also_in_two_folders(tmp_path: Path) -> None:
    """The ledger would take a second CA's list for the next version of the first one's."""
    text = setting("arl", "file", '"SMKIKR_ORGANISATION_CRL.crl.gz"')
    with pytest.raises(ObligationError, match="in whichever folder"):
        load(tmp_path, setting("arl", "folder", '"/lists"', text))


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("delta", "warning", '"04:00"'),
        ("delta", "warning", '"00:00"'),
        ("delta", "warning", '"-01:00"'),
        ("delta", "warning", '"1 h"'),
        ("operator", "owner", ""),
        ("auditor", "every_minutes", "7"),
        ("auditor", "every_minutes", '"10"'),
    ],
)
def test_impossible_watch_is_refused(tmp_path: Path, section: str, key: str, value: str) -> None:
    with pytest.raises(ObligationError) as refused:
        load(tmp_path, setting(section, key, value))
    assert refused.value.item.endswith(f"[{section}] {key}")


def test_refusal_names_the_line(tmp_path: Path) -> None:
    text = setting("crl", "publish_by", '"25:00"')
    line = text.splitlines().index('publish_by = "25:00"') + 1
    with pytest.raises(ObligationError, match=rf"^user_guide.toml line {line} \[crl\] publish_by: "):
        load(tmp_path, text)


@pytest.mark.parametrize(("line", "item"), [("publish-by = 3", "[full] publish-by"), ("retain = 3", "[full] retain")])
def test_key_that_means_nothing_is_refused(tmp_path: Path, line: str, item: str) -> None:
    with pytest.raises(ObligationError, match=re.escape(item)):
        load(tmp_path, GUIDE.replace("[full]\n", f"[full]\n{line}\n"))


def test_owner_and_contact_are_the_operators_unless_an_obligation_has_its_own(tmp_path: Path) -> None:
    guide = load(tmp_path, GUIDE.replace("[crl]\n", '[crl]\nowner = "PKI team"\n'))
    assert guide.obligation("crl").owner == "PKI team"
    assert guide.full.owner == "SMKI Repository operations"
    assert {one.contact for one in guide.all} == {"smki-oncall@example.org"}


@pytest.mark.parametrize("section", SECTIONS)
def test_what_appendix_o_wants_is_there_once(tmp_path: Path, section: str) -> None:
    of_it = re.search(rf"(?ms)^\[{section}\]\n.*?(?=^\[|\Z)", GUIDE)
    assert of_it
    with pytest.raises(ObligationError, match="no section has it"):
        load(tmp_path, GUIDE.replace(of_it[0], ""))
    twice = of_it[0].replace(f"[{section}]", f"[{section}_again]").replace("SMKIKR", "SMKIKR_AGAIN")
    again = rf"\[{section}_again\]: .*and \[{section}\] and \[{section}_again\] have it"
    of_lists = rf"\[{section}\] issuer: several sections"
    with pytest.raises(ObligationError, match=of_lists if section in ("arl", "crl") else again):
        load(tmp_path, GUIDE + twice)


def test_obligation_that_is_no_section_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ObligationError, match=r"\[monthly\]: it is no section"):
        load(tmp_path, "monthly = 7\n" + GUIDE)


def test_monthly_cut_off_falls_on_its_day(tmp_path: Path) -> None:
    monthly = re.search(r"(?ms)^\[full\]\n.*?(?=^\[)", GUIDE)
    assert monthly
    text = monthly[0].replace("[full]", "[monthly]").replace("0 0 * * SUN", "0 0 3 * *").replace('"I"', '"PINER"')
    text = text.replace("SMKIKR_FULL", "SMKIKR_ALL").replace("smki_full_extract", "smki_monthly_extract")
    cut_off = load(tmp_path, GUIDE + text).obligation("monthly").cut_off
    assert [cut_off.falls_on(date(2026, 7, number)) for number in (2, 3, 4)] == [False, True, False]
    assert cut_off.next_day(date(2026, 7, 3)) == date(2026, 8, 3)
    assert cut_off.previous_day(date(2026, 1, 3)) == date(2025, 12, 3)


def test_guide_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ObligationError, match="cannot be read"):
        load_user_guide(tmp_path)
    for content in (b"[full", b"\xff\xfe", b"[full]\n[full]\n"):
        (tmp_path / "user_guide.toml").write_bytes(content)
        with pytest.raises(ObligationError, match="cannot be read"):
            load_user_guide(tmp_path)
