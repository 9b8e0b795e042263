"""What anchor_slots.toml may say, and what is refused."""

from pathlib import Path

import pytest

from smki.errors import AnchorConfigurationError, AnchorSlotsUnsetError, ConfigurationError
from smki.kinds.anchors.configuration import load_anchor_configuration, read_anchor_configuration
from smki.kinds.anchors.slots import REGIONAL_SLOT, AnchorConfiguration, Region, Slot
from smki.settings import INCLUDE

from .conftest import Stated

SHIPPED = INCLUDE / "config" / "anchor_slots.toml"
ONE = {"issuer": "OCA1", "serial": "AB"}


def refusal(stated: Stated) -> str:
    with pytest.raises(AnchorConfigurationError) as refused:
        read_anchor_configuration(stated, "anchor_slots.toml")
    return str(refused.value)


def test_shipped_file_says_that_it_is_a_placeholder():
    with pytest.raises(AnchorSlotsUnsetError, match="placeholder that is shipped") as refused:
        load_anchor_configuration(SHIPPED)
    assert "SMKI_ANCHOR_SLOTS" in refused.value.next_step


def test_absent_file_is_no_configuration_yet(tmp_path: Path):
    with pytest.raises(AnchorSlotsUnsetError, match="not there") as refused:
        load_anchor_configuration(tmp_path / "none.toml")
    assert isinstance(refused.value, ConfigurationError)


def test_shipped_file_without_its_flag_is_whole(configuration: AnchorConfiguration):
    assert {place.slot for place in configuration.placements()} == set(Slot)
    assert {device.name for device in configuration.devices} >= {"ESME", "GSME", "CHF", "GPF", "PPMID", "HCALCS"}
    assert [device.name for device in configuration.devices_with(REGIONAL_SLOT)] == ["CHF"]


@pytest.mark.parametrize("text", [b"revision = ", b"\xff\xfe", b"[base"])
def test_malformed_toml_is_refused_with_its_place(text: bytes, tmp_path: Path):
    file = tmp_path / "anchor_slots.toml"
    file.write_bytes(text)
    with pytest.raises(AnchorConfigurationError, match="cannot be read") as refused:
        load_anchor_configuration(file)
    assert not isinstance(refused.value, AnchorSlotsUnsetError), "a mistake is not an absence: the run fails"


def test_region_that_states_another_slot_is_refused(stated: Stated):
    stated["region"]["north"]["root"] = [ONE]
    assert "[region.north] root: regions differ in wan_provider_ds and nowhere else" in refusal(stated)


def test_regional_slot_in_the_base_set_is_refused(stated: Stated):
    stated["base"]["wan_provider_ds"] = [ONE]
    assert "[base] wan_provider_ds: this slot differs by region" in refusal(stated)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("supplier_ds", [], "[base] supplier_ds: it is empty"),
        ("supplier_ds", [{"issuer": "OCA1"}], "[base] supplier_ds, entry 1, serial: it is missing"),
        ("supplier_ds", [{"issuer": "OCA1", "serial": "XY"}], "'XY' is no serial number in hex"),
        ("supplier_ds", [{"issuer": "OCA1", "serial": "00"}], "'00' is no serial number in hex"),
        ("supplier_ds", [{"issuer": " ", "serial": "AB"}], "[base] supplier_ds, entry 1, issuer: "),
        ("supplier_ds", [{**ONE, "placeholder": "yes"}], "[base] supplier_ds, entry 1, placeholder: 'yes'"),
        ("supplier_ds", [{**ONE, "colour": "red"}], "entry 1, colour: it means nothing here"),
        ("supplier_ds", ["AB"], "[base] supplier_ds, entry 1: it is no table"),
        ("supplier_ds", [ONE, {"issuer": "oca1", "serial": "00:ab"}], "it is listed twice"),
        ("root", [{**ONE, "placeholder": True}], "only supplier and network operator slots take a placeholder"),
        ("supplier", [ONE], "there is no such slot"),
    ],
)
def test_malformed_slot_is_refused(stated: Stated, key: str, value: object, rule: str):
    stated["base"][key] = value
    assert rule in refusal(stated)


@pytest.mark.parametrize(
    ("device", "rule"),
    [
        ({"name": "X", "title": "X"}, "[device.x] slots: it is missing"),
        ({"name": "", "title": "X", "slots": ["root"]}, "[device.x] name: '' is no text"),
        ({"name": "X", "title": "X", "slots": []}, "[device.x] slots: it is empty"),
        ({"name": "X", "title": "X", "slots": ["root", "roof"]}, "there is no slot 'roof'"),
        ({"name": "X", "title": "X", "slots": ["root", "root"]}, "root is listed twice"),
    ],
)
def test_malformed_device_is_refused(stated: Stated, device: object, rule: str):
    stated["device"]["x"] = device
    assert rule in refusal(stated)


def test_half_a_set_is_refused(stated: Stated):
    del stated["base"]["recovery_ds"]
    assert "[base] recovery_ds: it has no certificate, and there are Devices with it: ESME" in refusal(stated)


def test_certificate_for_a_slot_that_no_device_has_is_refused(stated: Stated):
    del stated["device"]["esme_load_controlling"]
    assert "load_controller_ds: it has a certificate, and no type of Device has the slot" in refusal(stated)


@pytest.mark.parametrize("missing", ["revision", "base", "region", "device"])
def test_missing_part_is_named(stated: Stated, missing: str):
    del stated[missing]
    assert missing in refusal(stated)


def test_missing_region_is_named(stated: Stated):
    del stated["region"]["central_south"]
    assert "[region.central_south]: it is missing" in refusal(stated)
    stated["region"]["scotland"] = {"wan_provider_ds": [ONE]}
    assert "[region.scotland]: there is no such region" in refusal(stated)


def test_all_that_is_wrong_is_reported_at_once(stated: Stated):
    stated["revision"] = 7
    stated["base"]["roof"] = [ONE]
    stated["region"]["north"]["root"] = [ONE]
    stated["device"]["esme"]["slots"] = "all"
    stated["colour"] = "red"
    message = refusal(stated)
    assert "5 rules are broken" in message
    assert all(
        place in message for place in ("revision", "[base] roof", "[region.north] root", "[device.esme]", "colour")
    )


def test_digest_is_of_the_meaning_not_of_the_layout(stated: Stated, configuration: AnchorConfiguration):
    stated["base"] = dict(reversed(stated["base"].items()))
    stated["base"]["root"] = [{"serial": "01", "issuer": " OCA0 "}]
    assert read_anchor_configuration(stated, "x").digest == configuration.digest
    stated["revision"] = "next"
    assert read_anchor_configuration(stated, "x").digest != configuration.digest


def test_regions_share_all_placements_but_the_wan_providers(configuration: AnchorConfiguration):
    regional = [place for place in configuration.placements() if place.region]
    assert {(place.slot, place.region) for place in regional} == {(REGIONAL_SLOT, region) for region in Region}
