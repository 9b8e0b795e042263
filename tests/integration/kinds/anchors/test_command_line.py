"""`smki anchors`, and the demo's `anchor-slots`: what they print, and their exit codes."""

import json

import pytest
from typer.testing import CliRunner

from smki.cli.application import app
from smki.kinds.anchors.slots import Slot
from smki.repository.database import libpq_url
from smki.settings import INCLUDE
from smki_demo.generate import app as generate

from .conftest import Anchors


@pytest.fixture
def smki(anchors: Anchors, monkeypatch):
    monkeypatch.setenv("SMKI_DATABASE_URL", libpq_url(anchors.engine))
    monkeypatch.setenv("SMKI_ANCHOR_SLOTS", str(anchors.configuration))
    return lambda *arguments: CliRunner().invoke(app, arguments)


def test_check_shows_every_place_with_its_verdict(smki):
    done = smki("anchors", "check")
    assert done.exit_code == 0, done.output
    assert "20 places, 0 problems" in done.output
    assert all(slot in done.output for slot in Slot)
    assert "Central and South" in done.output


def test_check_names_its_file_in_a_folder_of_any_name(smki, anchors: Anchors, monkeypatch):
    folder = anchors.configuration.with_name("[b]")
    folder.mkdir()
    monkeypatch.setenv("SMKI_ANCHOR_SLOTS", str(anchors.configuration.rename(folder / "slots.toml")))
    assert f"in {folder / 'slots.toml'}" in smki("anchors", "check").output


def test_check_shows_all_problems_and_ends_with_1(smki, anchors: Anchors):
    (recovery,), (cos,) = anchors.serials(Slot.RECOVERY_DS), anchors.serials(Slot.TRANSITIONAL_COS_DS)
    anchors.edit(recovery, "5E" * 16)
    anchors.edit(cos, "5F" * 16)
    done = smki("anchors", "check")
    assert done.exit_code == 1
    assert "20 places, 2 problems" in done.output
    assert done.output.count("does not fit") == 2
    as_json = smki("anchors", "check", "--json")
    assert as_json.exit_code == 1
    verdicts = json.loads(as_json.stdout)
    broken = [verdict for verdict in verdicts if not verdict["fits"]]
    assert [verdict["slot"] for verdict in broken] == ["recovery_ds", "transitional_cos_ds"]
    assert broken[0]["problems"] == [
        {
            "rule": "no such certificate is lodged.",
            "next_step": "lodge it, or correct issuer and serial number.",
        }
    ]


def test_refusal_names_the_place_in_the_configuration(smki, anchors: Anchors):
    (recovery,) = anchors.serials(Slot.RECOVERY_DS)
    anchors.edit(recovery, "5E" * 16)
    done = smki("anchors", "produce", "--out", str(anchors.folder))
    assert done.exit_code == 1
    assert f"anchor_slots.toml [base] recovery_ds, certificate OCA1 {'5E' * 16}" in done.output
    assert "[base] recovery_ds" in smki("anchors", "check").output


@pytest.mark.parametrize("command", ["check", "produce"])
def test_placeholder_is_a_setting_to_change(smki, monkeypatch, command):
    monkeypatch.setenv("SMKI_ANCHOR_SLOTS", str(INCLUDE / "config" / "anchor_slots.toml"))
    done = smki("anchors", command, "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["error"] == "AnchorSlotsUnsetError"


def test_produce_writes_the_four_files_and_records_nothing(smki, anchors: Anchors):
    done = smki("anchors", "produce", "--out", str(anchors.folder), "--json")
    assert done.exit_code == 0, done.output
    assert {file["file"] for file in json.loads(done.stdout)} == {str(file) for file in anchors.folder.iterdir()}
    state = smki("anchors", "state", "--json")
    assert state.exit_code == 1
    assert json.loads(state.stdout)[0]["version"] is None


def test_produce_verifies_as_any_annex_b_file(smki, anchors: Anchors):
    assert smki("anchors", "produce", "--out", str(anchors.folder)).exit_code == 0
    done = smki("verify", *map(str, anchors.folder.glob("*.gz")), "--json")
    assert done.exit_code == 0, done.output


def test_state_shows_what_each_site_lacks(smki, anchors: Anchors):
    anchors.recorded()
    done = smki("anchors", "state")
    assert done.exit_code == 1
    assert "primary: incomplete" in done.output
    assert done.output.count("not published") == 4


def test_generated_configuration_fits(smki, tmp_path, monkeypatch):
    file = tmp_path / "generated.toml"
    assert CliRunner().invoke(generate, ["anchor-slots", "--out", str(file)]).exit_code == 0
    monkeypatch.setenv("SMKI_ANCHOR_SLOTS", str(file))
    assert smki("anchors", "check").exit_code == 0
