"""A configuration and certificates that fit it, as values, without a repository."""

import copy
import tomllib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from smki.certificates.model import Status
from smki.kinds.anchors.configuration import read_anchor_configuration
from smki.kinds.anchors.lodged import Lodged
from smki.kinds.anchors.rules import SlotResult, build_set, check_places
from smki.kinds.anchors.slots import AnchorCertificate, AnchorConfiguration, AnchorSet, Slot
from smki.settings import INCLUDE

NOW = datetime(2026, 6, 1, tzinfo=UTC)
Stated = dict[str, Any]


@pytest.fixture
def stated() -> Stated:
    """The shipped configuration as an operator begins with it: the flag is gone."""
    shipped = tomllib.loads((INCLUDE / "config" / "anchor_slots.toml").read_text())
    del shipped["placeholder"]
    return copy.deepcopy(shipped)


@pytest.fixture
def configuration(stated: Stated) -> AnchorConfiguration:
    return read_anchor_configuration(stated, "anchor_slots.toml")


@pytest.fixture
def lodged(configuration: AnchorConfiguration) -> dict[bytes, tuple[AnchorCertificate, ...]]:
    """A certificate for each reference; tests put others in their place."""
    return {
        place.reference.serial_number: (certificate(place.slot, place.reference.serial_number),)
        for place in configuration.placements()
        if not place.reference.placeholder
    }


@pytest.fixture
def anchor_set(configuration: AnchorConfiguration, lodged: Lodged) -> AnchorSet:
    return build_set(configuration, check_places(configuration, lodged, NOW), "anchor_slots.toml")


@pytest.fixture
def result_with(configuration: AnchorConfiguration, lodged: Lodged) -> Callable[..., SlotResult]:
    """The first result of a slot, once its certificate has other fields."""

    def result(slot: Slot, **fields: Any) -> SlotResult:
        place = next(place for place in configuration.placements() if place.slot is slot)
        serial = place.reference.serial_number
        changed = {**lodged, serial: (replace(lodged[serial][0], **fields),)}
        return next(one for one in check_places(configuration, changed, NOW) if one.placement == place)

    return result


def certificate(slot: Slot, serial_number: bytes) -> AnchorCertificate:
    """One that fits the slot; its body is nobody's."""
    terms = slot.terms
    is_root = slot is Slot.ROOT
    return AnchorCertificate(
        certificate_class=terms.certificate_class,
        issuer=f"Common Name: {'OCA0' if is_root else 'OCA1'}, Organizational Unit: {'00' if is_root else '07'}",
        issuer_common_name="OCA0" if is_root else "OCA1",
        serial_number=serial_number,
        eui64=None if is_root else b"\x02SMKI\x00\x00" + serial_number[-1:],
        common_name="OCA0" if is_root else None,
        role=terms.role,
        usage=terms.usage,
        manufacturing=False,
        not_before=datetime(2025, 1, 1, tzinfo=UTC),
        not_after=datetime(2035, 1, 1, tzinfo=UTC),
        status=Status.IN_USE,
        body=b"DER of " + serial_number,
    )
