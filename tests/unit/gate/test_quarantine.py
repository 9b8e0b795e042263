"""What failed the gate is kept with its report for as long as quality.toml says, and no longer."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from builders import day, made_judgement
from smki.gate.quarantine import clear_quarantine, keep_failed, kept_files
from smki.store.objects import Store

KEPT_FOR = timedelta(days=30)
JUDGEMENT = made_judgement("full", "SMKIKR_FULL_2025-06-08.xml.gz", day(7), "ab" * 32)


def test_file_is_kept_with_its_report_and_by_its_manifest(store: Store) -> None:
    key = keep_failed(store, JUDGEMENT, "cd" * 32, "<p>Ä report</p>")
    assert key == "quarantine/SMKIKR_FULL_2025-06-08.xml.gz-abababababab"
    assert store.get(f"{key}/report.html").decode() == "<p>Ä report</p>"
    stated = json.loads(store.get(f"{key}/judgement.json"))
    assert (stated["manifest"], stated["judgement"]) == ("cd" * 32, JUDGEMENT.as_json())
    assert list(kept_files(store)) == [{"name": JUDGEMENT.name, "sha256": "ab" * 32, "manifest": "cd" * 32}]


def test_file_that_is_kept_again_is_kept_once(store: Store) -> None:
    keys = {keep_failed(store, JUDGEMENT, manifest, "report") for manifest in ("cd" * 32, "ef" * 32)}
    assert len(keys) == 1
    assert [one["manifest"] for one in kept_files(store)] == ["ef" * 32]


def test_other_bytes_of_a_name_are_kept_beside_it(store: Store) -> None:
    keep_failed(store, JUDGEMENT, "", "report")
    keep_failed(store, replace(JUDGEMENT, sha256="cd" * 32), "", "report")
    assert sorted(one["sha256"] for one in kept_files(store)) == ["ab" * 32, "cd" * 32]


def test_what_has_been_kept_long_enough_goes_and_nothing_else(store: Store) -> None:
    keep_failed(store, JUDGEMENT, "", "report")
    store.put("segments/old", b"x")
    now = datetime.now(UTC)
    assert clear_quarantine(store, KEPT_FOR, now + KEPT_FOR - timedelta(minutes=1)) == []
    assert len(list(kept_files(store))) == 1
    assert clear_quarantine(store, KEPT_FOR, now + KEPT_FOR + timedelta(minutes=1)) == [
        "SMKIKR_FULL_2025-06-08.xml.gz-abababababab"
    ]
    assert not list(store.list_objects("quarantine/"))
    assert store.holds("segments/old")


def test_quarantine_that_was_never_used_is_empty(store: Store) -> None:
    assert list(kept_files(store)) == []
    assert clear_quarantine(store, KEPT_FOR, datetime.now(UTC) + 2 * KEPT_FOR) == []
