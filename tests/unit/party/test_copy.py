"""A copy is always one state: the old one or the new one, never something between."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import day, document, look_alikes, record_of, zipped
from smki.certificates.set_digest import SetDigest
from smki.errors import TransportError
from smki.party.copy import LocalCopy
from smki.party.extract_reading import Batch, read_extract
from smki.party.refusals import Refusal, SyncRefusedError

from .extracts import apply, delta, full, offered

BODIES = look_alikes(12)


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[LocalCopy]:
    with LocalCopy(tmp_path / "copy.sqlite") as opened:
        yield opened


def statuses(copy: LocalCopy) -> dict[bytes, str]:
    return dict(copy.read("SELECT body, status FROM certificate", ()))


def test_full_extract_then_deltas_give_each_certificate_its_last_status(copy: LocalCopy, tmp_path: Path):
    first = apply(copy, full(tmp_path, day(7), BODIES[:6]))
    assert (first.records, first.in_use) == (6, SetDigest.of(BODIES[:6]))
    second = apply(copy, delta(tmp_path, day(8), {BODIES[0]: "R", BODIES[6]: "I", BODIES[7]: "P"}))
    assert second.in_use == copy.in_use == SetDigest.of(BODIES[1:7])
    assert statuses(copy) == dict.fromkeys(BODIES[1:7], "I") | {BODIES[0]: "R", BODIES[7]: "P"}
    assert [one.name for one in copy.list_applied()] == [first.name, second.name]
    copy.check()


def test_full_extract_starts_anew(copy: LocalCopy, tmp_path: Path):
    apply(copy, full(tmp_path, day(7), BODIES[:6]))
    apply(copy, full(tmp_path, day(14), BODIES[4:9]))
    assert statuses(copy) == dict.fromkeys(BODIES[4:9], "I")
    assert [one.day for one in copy.list_applied()] == [day(14)]
    assert copy.day == day(14)


@given(st.lists(st.dictionaries(st.integers(0, 11), st.sampled_from("PINER")), max_size=6))
@settings(max_examples=25)
def test_digest_is_always_that_of_what_is_in_use(tmp_path_factory: pytest.TempPathFactory, days: list[dict[int, str]]):
    folder = tmp_path_factory.mktemp("copy")
    model = dict.fromkeys(BODIES[:4], "I")
    with LocalCopy(folder / "copy.sqlite") as copy:
        apply(copy, full(folder, day(7), BODIES[:4]))
        for number, changes in enumerate(days, 8):
            model |= (changed := {BODIES[place]: status for place, status in changes.items()})
            apply(copy, delta(folder, day(number), changed))
            assert copy.in_use == SetDigest.of(body for body, status in model.items() if status == "I")
        assert statuses(copy) == model
        copy.check()


@pytest.mark.parametrize("is_full", [True, False])
def test_what_breaks_off_changes_nothing(copy: LocalCopy, tmp_path: Path, *, is_full: bool):
    apply(copy, full(tmp_path, day(7), BODIES[:6]))
    before = (statuses(copy), copy.in_use, copy.list_applied())
    make = full(tmp_path, day(8), BODIES) if is_full else delta(tmp_path, day(8), dict.fromkeys(BODIES, "I"))

    def breaks_off() -> Iterator[Batch]:
        yield from read_extract(make)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy.apply(offered(make), "", breaks_off())
    assert (statuses(copy), copy.in_use, copy.list_applied()) == before
    assert apply(copy, make).records == 12


@pytest.mark.parametrize("is_full", [True, False])
def test_reader_never_waits_and_sees_the_state_before(copy: LocalCopy, tmp_path: Path, *, is_full: bool):
    apply(copy, full(tmp_path, day(7), BODIES[:6]))
    make = full(tmp_path, day(8), BODIES) if is_full else delta(tmp_path, day(8), dict.fromkeys(BODIES, "R"))
    seen = []

    def while_it_is_written() -> Iterator[Batch]:
        yield from read_extract(make)
        with LocalCopy(copy.path, read_only=True) as reader:
            reader.connection.execute("PRAGMA busy_timeout = 0")
            seen.append((reader.day, statuses(reader)))

    copy.apply(offered(make), "", while_it_is_written())
    assert seen == [(day(7), dict.fromkeys(BODIES[:6], "I"))]
    assert copy.day == day(8)


def test_what_is_read_is_of_one_state(copy: LocalCopy, tmp_path: Path):
    apply(copy, full(tmp_path, day(7), BODIES[:6]))
    with LocalCopy(copy.path, read_only=True) as reader:
        assert reader.day == day(7)
        apply(copy, delta(tmp_path, day(8), dict.fromkeys(BODIES, "R")))
        reader.check()
        assert (reader.day, statuses(reader)) == (day(7), dict.fromkeys(BODIES[:6], "I"))
        with pytest.raises(TransportError, match="another program reads"):
            copy.settle()
    copy.settle()
    assert copy.path.with_name("copy.sqlite-wal").stat().st_size == 0


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE certificate_status SET status = CAST(x'C9' AS TEXT)",
        "UPDATE state SET in_use = 'x6:zz'",
        "UPDATE state SET day = 'Sunday'",
        "UPDATE applied SET applied_at = 'today'",
    ],
)
def test_value_that_was_never_written_is_damage(copy: LocalCopy, tmp_path: Path, damage: str):
    apply(copy, full(tmp_path, day(7), BODIES[:6]))
    copy.connection.execute(damage)

    def read(reader: LocalCopy) -> None:
        reader.list_applied()
        reader.check()

    with LocalCopy(copy.path, read_only=True) as reader, pytest.raises(SyncRefusedError) as raised:
        read(reader)
    assert raised.value.refusal is Refusal.COPY_DAMAGED


def refused(copy: LocalCopy, file: Path) -> Refusal:
    with pytest.raises(SyncRefusedError) as raised:
        apply(copy, file)
    return raised.value.refusal


def test_full_extract_with_another_status_is_refused(copy: LocalCopy, tmp_path: Path):
    xml = document([record_of(BODIES[0]), record_of(BODIES[1], "R")])
    assert refused(copy, zipped(tmp_path, xml, f"SMKIKR_FULL_{day(7)}.xml.gz")) is Refusal.CONTENT
    assert copy.day is None


def test_status_that_nobody_knows_is_refused(copy: LocalCopy, tmp_path: Path):
    assert refused(copy, delta(tmp_path, day(8), {BODIES[0]: "X"})) is Refusal.CONTENT


@pytest.mark.parametrize("kind", ["FULL", "DELT"])
@pytest.mark.parametrize("body", BODIES[:2], ids=["known", "new"])
def test_certificate_that_stands_in_a_file_twice_is_refused(copy: LocalCopy, tmp_path: Path, kind: str, body: bytes):
    apply(copy, full(tmp_path, day(7), BODIES[:1]))
    xml = document([record_of(body, status) for status in ("I" if kind == "FULL" else "N", "I")])
    assert refused(copy, zipped(tmp_path, xml, f"SMKIKR_{kind}_{day(8)}.xml.gz")) is Refusal.CONTENT
    assert copy.in_use == SetDigest.of(BODIES[:1])
    apply(copy, delta(tmp_path, day(8), {body: "I"}))


def test_damaged_gzip_is_refused(copy: LocalCopy, tmp_path: Path):
    file = full(tmp_path, day(7), BODIES)
    content = bytearray(file.read_bytes())
    content[-6] ^= 1
    file.write_bytes(content)
    assert refused(copy, file) is Refusal.DAMAGED


def test_record_that_is_not_what_its_certificate_says_is_refused(copy: LocalCopy, tmp_path: Path):
    wrong = record_of(BODIES[0])._replace(serial="01")
    assert refused(copy, zipped(tmp_path, document([wrong]), f"SMKIKR_FULL_{day(7)}.xml.gz")) is Refusal.CONTENT


@pytest.mark.parametrize("is_full", [True, False])
def test_state_that_is_not_the_repositorys_is_never_committed(copy: LocalCopy, tmp_path: Path, *, is_full: bool):
    apply(copy, full(tmp_path, day(7), BODIES[:6]))
    before = statuses(copy)
    make = full(tmp_path, day(8), BODIES[:7]) if is_full else delta(tmp_path, day(8), {BODIES[6]: "I"})
    with pytest.raises(SyncRefusedError) as raised:
        copy.apply(replace(offered(make), state=SetDigest.of(BODIES[:8])), "", read_extract(make))
    assert raised.value.refusal is Refusal.STATE
    assert (statuses(copy), copy.day) == (before, day(7))
    copy.apply(replace(offered(make), state=SetDigest.of(BODIES[:7])), "", read_extract(make))


def test_other_files_are_never_taken_for_a_copy(tmp_path: Path):
    (tmp_path / "text").write_text("somebody's notes, longer than the header of a database would be" * 20)
    others = sqlite3.connect(tmp_path / "others")
    others.execute("CREATE TABLE certificate (x)")
    others.close()
    for name in ("text", "others"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(SyncRefusedError) as raised:
            LocalCopy(tmp_path / name)
        assert raised.value.refusal is Refusal.NO_COPY
        assert (tmp_path / name).read_bytes() == before


def test_check_finds_a_row_that_somebody_changed(copy: LocalCopy, tmp_path: Path):
    apply(copy, full(tmp_path, day(7), BODIES))
    copy.connection.execute("UPDATE certificate_status SET status = 'R' WHERE id IN (3, 4)")
    with pytest.raises(SyncRefusedError, match="its state says") as raised:
        copy.check()
    assert raised.value.refusal is Refusal.COPY_DAMAGED
    copy.connection.execute("UPDATE certificate_body SET body = ? WHERE id = 3", (BODIES[0],))
    with pytest.raises(SyncRefusedError, match="certificate 3 in it has another SHA-256"):
        copy.check()


def test_check_finds_an_index_that_lacks_a_row(copy: LocalCopy, tmp_path: Path):
    apply(copy, full(tmp_path, day(7), BODIES))
    copy.check()
    connection = copy.connection
    connection.execute("PRAGMA writable_schema = ON")
    index = ("certificate_sha256",)
    connection.execute("UPDATE sqlite_schema SET sql = sql || ' WHERE 0' WHERE name = ?", index)
    connection.execute("PRAGMA writable_schema = RESET")
    connection.execute("REINDEX certificate_sha256")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_schema SET sql = replace(sql, ' WHERE 0', '') WHERE name = ?", index)
    connection.execute("PRAGMA writable_schema = RESET")
    with pytest.raises(SyncRefusedError, match="SQLite finds it damaged") as raised:
        copy.check()
    assert raised.value.refusal is Refusal.COPY_DAMAGED


def test_copy_without_its_state_is_damaged(copy: LocalCopy) -> None:
    copy.connection.execute("DELETE FROM state")
    for read in (lambda: copy.day, lambda: copy.index_at):
        with pytest.raises(SyncRefusedError) as raised:
            read()
        assert raised.value.refusal is Refusal.COPY_DAMAGED


def test_copy_in_a_folder_that_is_closed_to_us_has_its_own_next_step(tmp_path: Path) -> None:
    with pytest.raises(TransportError) as raised, LocalCopy(tmp_path / "none" / "copy.sqlite"):
        pass
    assert "-wal" in raised.value.next_step
