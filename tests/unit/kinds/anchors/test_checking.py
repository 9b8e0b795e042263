"""The rules of a base set, one by one, and all at once."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from smki.certificates.model import CertificateClass, Role, Status, Usage
from smki.errors import AnchorSlotError
from smki.kinds.anchors.configuration import read_anchor_configuration
from smki.kinds.anchors.rules import SlotResult, build_set, check_places, role_name
from smki.kinds.anchors.slots import AnchorConfiguration, AnchorSet, Region, Slot

from .conftest import NOW, Stated

DAY = timedelta(days=1)


def rules(result: SlotResult) -> str:
    return " ".join(problem.rule for problem in result.problems)


def test_configuration_that_fits_is_build_set(anchor_set: AnchorSet, configuration: AnchorConfiguration):
    assert [placed.placement for placed in anchor_set.placed] == list(configuration.placements())
    assert len(anchor_set.certificates(Region.NORTH)) == len(anchor_set.certificates()) - 1


def test_reference_to_nothing_is_refused(configuration: AnchorConfiguration, lodged):
    del lodged[b"\x02"]
    result = check_places(configuration, lodged, NOW)[1]
    assert (result.certificate, result.fits) == (None, False)
    assert "no such certificate is lodged" in rules(result)


def test_reference_with_another_issuer_names_the_real_one(configuration: AnchorConfiguration, lodged):
    (one,) = lodged[b"\x02"]
    lodged[b"\x02"] = (replace(one, issuer="Common Name: OCA9", issuer_common_name="OCA9"),)
    assert "'Common Name: OCA9' did" in rules(check_places(configuration, lodged, NOW)[1])


def test_reference_that_two_issuers_answer_to_is_refused(configuration: AnchorConfiguration, lodged):
    (one,) = lodged[b"\x02"]
    lodged[b"\x02"] = (one, replace(one, issuer="Common Name: OCA1, Organizational Unit: 17", body=b"other"))
    result = check_places(configuration, lodged, NOW)[1]
    assert "2 issuers answer to this name" in rules(result)
    assert "whole name" in result.problems[0].next_step


def test_issuer_may_be_named_in_full(stated: Stated, lodged):
    stated["base"]["recovery_ds"][0]["issuer"] = "common name: OCA1,  organizational unit: 07"
    assert check_places(read_anchor_configuration(stated, "x"), lodged, NOW)[1].fits


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status.PENDING, "not in use yet"),
        (Status.NOT_IN_USE, "not in use any more"),
        (Status.EXPIRED, "has expired"),
        (Status.REVOKED, "is revoked"),
    ],
)
def test_only_what_is_in_use_fits(result_with: Callable[..., SlotResult], status: Status, words: str):
    assert words in rules(result_with(Slot.RECOVERY_DS, status=status))


def test_certificate_outside_its_validity_is_refused(result_with: Callable[..., SlotResult]):
    assert "not valid before 2026-06-02" in rules(result_with(Slot.RECOVERY_DS, not_before=NOW + DAY))
    assert "valid until 2026-05-31" in rules(result_with(Slot.RECOVERY_DS, not_after=NOW - DAY))
    assert result_with(Slot.RECOVERY_DS, not_before=NOW, not_after=NOW).fits, "the ends belong to it"


@pytest.mark.parametrize("slot", [slot for slot in Slot if slot.terms.role is not Role.NETWORK_OPERATOR])
def test_wrong_role_usage_or_class_is_refused_in_every_slot_that_has_no_placeholder(
    result_with: Callable[..., SlotResult], slot: Slot
):
    other_usage = Usage.KEY_AGREEMENT if slot.terms.usage is Usage.DIGITAL_SIGNATURE else Usage.DIGITAL_SIGNATURE
    assert "its role is other (127)" in rules(result_with(slot, role=Role.OTHER))
    assert f"its usage is {other_usage}" in rules(result_with(slot, usage=other_usage))
    assert "class DEVICE" in rules(result_with(slot, certificate_class=CertificateClass.DEVICE, role=None))


def test_issuing_authority_is_no_root(result_with: Callable[..., SlotResult]):
    assert "issuing authority (7)" in rules(result_with(Slot.ROOT, role=Role.ISSUING_AUTHORITY))


def test_certificate_in_two_slots_is_refused_in_both(stated: Stated, lodged):
    stated["base"]["supplier_ka_top_up"] = stated["base"]["supplier_ka"]
    results = {v.placement.slot: v for v in check_places(read_anchor_configuration(stated, "x"), lodged, NOW)}
    assert "slot supplier_ka_top_up has it too" in rules(results[Slot.SUPPLIER_KA])
    assert "slot supplier_ka has it too" in rules(results[Slot.SUPPLIER_KA_TOP_UP])


def test_placeholder_may_have_a_slot_of_its_own_besides(anchor_set: AnchorSet):
    slots = [placed.placement.slot for placed in anchor_set.placed if placed.certificate.serial_number == b"\x06"]
    assert slots == [Slot.NETWORK_OPERATOR_DS, Slot.ACCESS_CONTROL_BROKER_DS]


def test_placeholder_that_is_none_is_refused(stated: Stated, lodged):
    stated["base"]["supplier_ds"][0]["placeholder"] = True
    assert "so it is no placeholder" in rules(check_places(read_anchor_configuration(stated, "x"), lodged, NOW)[2])


def test_placeholder_has_the_usage_of_its_slot(stated: Stated, lodged):
    stated["base"]["network_operator_ds"][0]["serial"] = "07"
    results = check_places(read_anchor_configuration(stated, "x"), lodged, NOW)
    (result,) = [v for v in results if v.placement.slot is Slot.NETWORK_OPERATOR_DS]
    assert "its usage is KA" in rules(result)


def test_one_wan_provider_in_both_regions_is_refused(stated: Stated, lodged):
    stated["region"]["central_south"] = stated["region"]["north"]
    results = check_places(read_anchor_configuration(stated, "x"), lodged, NOW)
    problems = [rules(result) for result in results if result.placement.region]
    assert len(problems) == 2
    assert all("both regions have it" in problem for problem in problems)


def test_all_problems_are_reported_at_once_each_with_slot_reference_rule_and_next_step(
    configuration: AnchorConfiguration, lodged
):
    del lodged[b"\x02"]
    (root,) = lodged[b"\x01"]
    lodged[b"\x01"] = (replace(root, status=Status.REVOKED, not_after=NOW - DAY),)
    with pytest.raises(AnchorSlotError) as refused:
        build_set(configuration, check_places(configuration, lodged, NOW), "anchor_slots.toml")
    message = str(refused.value)
    assert "3 rules are broken" in message
    assert "[base] root, certificate OCA0 01: it is revoked (status R)" in message
    assert "[base] recovery_ds, certificate OCA1 02: no such certificate is lodged. → lodge it" in message
    assert "what is published stays" in refused.value.consequence
    assert "smki anchors check" in refused.value.next_step


def test_a_single_problem_is_said_in_the_four_parts(configuration: AnchorConfiguration, lodged):
    del lodged[b"\x02"]
    with pytest.raises(AnchorSlotError) as refused:
        build_set(configuration, check_places(configuration, lodged, NOW), "anchor_slots.toml")
    assert refused.value.item == "anchor_slots.toml [base] recovery_ds, certificate OCA1 02"
    assert refused.value.rule == "no such certificate is lodged."


def test_roles_are_said_in_words():
    assert [role_name(role) for role in (2, 6, 99, None)] == [
        "supplier (2)",
        "WAN provider (6)",
        "unknown (99)",
        "none",
    ]
