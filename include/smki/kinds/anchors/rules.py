"""The rules that a base set keeps to, as pure functions over configuration, certificates and a clock.

A reference has exactly one certificate in the repository, and that certificate

* is in use (status I), not pending, not in use, expired or revoked;
* is inside its validity at the given instant;
* has the class, remote party role and usage that its slot takes; a placeholder has another role, and a usage that fits;
* has no other slot, unless it stands there, or here, as a placeholder.

Regions differ in the WAN provider slot: no certificate is in both regions' slot. That they differ nowhere else is how
`AnchorConfiguration` is made, and the gate checks it on the finished files.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from smki.certificates.model import Role, Status
from smki.errors import AnchorSlotError
from smki.kinds.anchors.configuration import Problem, error_of
from smki.kinds.anchors.lodged import Lodged, is_named_by
from smki.kinds.anchors.slots import (
    AnchorCertificate,
    AnchorConfiguration,
    AnchorSet,
    PlacedCertificate,
    Placement,
    SlotTerms,
)

_STATUS_SAYS = {
    Status.PENDING: "it is pending: not in use yet",
    Status.NOT_IN_USE: "it is not in use any more",
    Status.EXPIRED: "it has expired",
    Status.REVOKED: "it is revoked",
}
_INITIALS = ("WAN", "XML", "DSP")
_NAME_ANOTHER = "name a certificate that fits."


@dataclass(frozen=True, slots=True)
class SlotResult:
    """What became of one place."""

    placement: Placement
    certificate: AnchorCertificate | None  # none where the reference does not lead to exactly one
    problems: tuple[Problem, ...]

    @property
    def fits(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def check_places(configuration: AnchorConfiguration, lodged: Lodged, now: datetime) -> tuple[SlotResult, ...]:
    """A result for each place, with all that is wrong at `now` (UTC)."""
    found = [(place, _candidates(place, lodged)) for place in configuration.placements()]
    places: dict[AnchorCertificate, list[Placement]] = {}
    for place, candidates in found:
        if len(candidates) == 1:
            places.setdefault(candidates[0], []).append(place)
    return tuple(_result(place, candidates, lodged, places, now) for place, candidates in found)


def build_set(configuration: AnchorConfiguration, results: Sequence[SlotResult], item: str) -> AnchorSet:
    """The base set that the results are of; `item` names it in errors. Raises AnchorSlotError with all problems."""
    if problems := [problem for result in results for problem in result.problems]:
        raise error_of(AnchorSlotError, item, problems)
    placed = [PlacedCertificate(one.placement, one.certificate) for one in results if one.certificate is not None]
    return AnchorSet(configuration, tuple(placed))


def _candidates(place: Placement, lodged: Lodged) -> list[AnchorCertificate]:
    return [one for one in lodged.get(place.reference.serial_number, ()) if is_named_by(place.reference, one)]


def _result(
    place: Placement,
    candidates: list[AnchorCertificate],
    lodged: Lodged,
    places: Mapping[AnchorCertificate, list[Placement]],
    now: datetime,
) -> SlotResult:
    if len(candidates) != 1:
        return SlotResult(place, None, (_not_found(place, candidates, lodged),))
    (certificate,) = candidates
    rules = [
        *_state_rules(certificate, now),
        *_slot_rules(place, certificate),
        *_sharing_rules(place, places[certificate]),
    ]
    return SlotResult(place, certificate, tuple(Problem(str(place), rule, next_step) for rule, next_step in rules))


def _not_found(place: Placement, candidates: list[AnchorCertificate], lodged: Lodged) -> Problem:
    others = lodged.get(place.reference.serial_number, ())
    if candidates:
        names = " and ".join(repr(one.issuer) for one in candidates)
        return Problem(
            str(place), f"{len(candidates)} issuers answer to this name: {names}.", "give the issuer's whole name."
        )
    if others:
        names = " and ".join(repr(one.issuer) for one in others)
        return Problem(str(place), f"no such issuer used this serial number; {names} did.", "correct the issuer.")
    return Problem(str(place), "no such certificate is lodged.", "lodge it, or correct issuer and serial number.")


Rules = Iterable[tuple[str, str]]  # what is wrong, what to do about it


def _state_rules(certificate: AnchorCertificate, now: datetime) -> Rules:
    if certificate.status is not Status.IN_USE:
        yield (
            f"{_STATUS_SAYS[certificate.status]} (status {certificate.status}), and a slot takes status I.",
            _NAME_ANOTHER,
        )
    if now < certificate.not_before:
        yield (
            f"it is not valid before {certificate.not_before:%Y-%m-%d %H:%M:%S} UTC.",
            "wait until then, or name another.",
        )
    if now > certificate.not_after:
        yield f"it was valid until {certificate.not_after:%Y-%m-%d %H:%M:%S} UTC.", _NAME_ANOTHER


def _slot_rules(place: Placement, certificate: AnchorCertificate) -> Rules:
    terms = place.slot.terms
    if certificate.certificate_class is not terms.certificate_class:
        # Role and usage of another class mean something else: they would only repeat that it does not belong here.
        yield f"it is of class {certificate.certificate_class}, and the slot takes {_wanted(terms)}.", _NAME_ANOTHER
        return
    if place.reference.placeholder and certificate.role == terms.role:
        yield (
            f"it has the slot's own role ({role_name(terms.role)}), so it is no placeholder.",
            "remove placeholder = true.",
        )
    if not place.reference.placeholder and certificate.role != terms.role:
        next_step = "name another, or mark it placeholder = true." if terms.takes_placeholder else _NAME_ANOTHER
        yield f"its role is {role_name(certificate.role)}, and the slot takes {_wanted(terms)}.", next_step
    if certificate.usage is not terms.usage:
        yield f"its usage is {certificate.usage}, and the slot takes {_wanted(terms)}.", _NAME_ANOTHER


def _sharing_rules(place: Placement, places: Sequence[Placement]) -> Rules:
    """A certificate has one slot in each region; as a placeholder it may have others besides."""
    for other in places:
        if other is place or place.reference.placeholder or other.reference.placeholder:
            continue
        if other.slot is place.slot and other.region is not place.region:
            yield "both regions have it, and their WAN providers differ.", "name the other region's certificate there."
        else:
            yield (
                f"slot {other.slot} has it too, and a certificate has one slot.",
                "name another certificate in one of them.",
            )


def role_name(role: int | None) -> str:
    """A remote party role in words, with its number."""
    if role is None:
        return "none"
    try:
        words = " ".join(word if word in _INITIALS else word.lower() for word in Role(role).name.split("_"))
    except ValueError:
        words = "unknown"
    return f"{words} ({role})"


def _wanted(terms: SlotTerms) -> str:
    if terms.usage is None:
        return f"the {terms.certificate_class} Certificate of role {role_name(terms.role)}"
    return f"an Organisation Certificate of role {role_name(terms.role)}, usage {terms.usage}"
