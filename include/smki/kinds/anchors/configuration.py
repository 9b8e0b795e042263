"""Reads anchor_slots.toml: which certificates go into which anchor slots, and which types of Device have which slots.

* `[base]` has every slot but the WAN provider's; `[region.north]` and `[region.central_south]` have that one and
  nothing else (Appendix O 2.3.3 (e), (f): the files are the same, other than in the WAN provider slot).
* Each slot of a Device has a certificate, and each slot with a certificate belongs to a Device: never half a set.
* A certificate is named by issuer and serial number; it is marked `placeholder = true` where it stands in for the
  supplier or network operator that a Device is going to have.
* All that is wrong is reported at once, so that it can be mended in one go. A file that is missing, or that says
  `placeholder = true` at its top, is no configuration yet: AnchorSlotsUnsetError.
"""

import hashlib
import json
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from smki.errors import AnchorConfigurationError, AnchorSlotError, AnchorSlotsUnsetError
from smki.kinds.anchors.slots import REGIONAL_SLOT, AnchorConfiguration, DeviceType, Reference, Region, Slot
from smki.toml_files import Section, rule_of, wrong

Error = TypeVar("Error", AnchorConfigurationError, AnchorSlotError)
Read = TypeVar("Read")
_KNOWN_SLOTS = f"the slots are {', '.join(Slot)}."


@dataclass(frozen=True, slots=True)
class Problem:
    """One rule that is broken."""

    place: str  # in the configuration, with the certificate where there is one
    rule: str
    next_step: str

    def __str__(self) -> str:
        return f"{self.place}: {self.rule} → {self.next_step}"


def error_of(kind: type[Error], item: str, problems: Sequence[Problem]) -> Error:
    """The error that says all of them."""
    if len(problems) == 1:
        (problem,) = problems
        return kind(f"{item} {problem.place}", problem.rule, next_step=problem.next_step)
    listed = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(problems, start=1))
    return kind(item, f"{len(problems)} rules are broken:\n{listed}\n")


def load_anchor_configuration(path: Path) -> AnchorConfiguration:
    """The configuration in a file. Raises AnchorSlotsUnsetError, AnchorConfigurationError."""
    unset = "anchor slots are not configured:"
    try:
        stated = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise AnchorSlotsUnsetError(str(path), f"{unset} the file is not there.") from error
    except (OSError, ValueError) as error:
        raise AnchorConfigurationError(path.name, f"it cannot be read ({error}).") from error
    if stated.get("placeholder") is True:
        rule = f"{unset} it is the placeholder that is shipped, and its serial numbers are nobody's."
        raise AnchorSlotsUnsetError(str(path), rule)
    return read_anchor_configuration(stated, path.name)


def read_anchor_configuration(stated: Mapping[str, Any], name: str) -> AnchorConfiguration:
    """The configuration that a file of this name states. Raises AnchorConfigurationError with all that is wrong."""
    try:
        read = _File.model_validate(stated)
    except ValidationError as error:
        problems = [one for each in error.errors() for one in _problems(each)]
        raise error_of(AnchorConfigurationError, name, problems) from None
    base = {slot: _references(read.base[slot]) for slot in Slot if slot in read.base}
    regional = {region: _references(getattr(read.region, region).wan_provider_ds) for region in Region}
    devices = tuple(
        DeviceType(key, device.name, device.title, tuple(slot for slot in Slot if slot in device.slots))
        for key, device in read.device.items()
    )
    digest = _digest(read.revision, read.dated, base, regional, devices)
    return AnchorConfiguration(read.revision, read.dated, base, regional, devices, digest)


def _check_text(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise wrong(f"{text!r} is no text that can be printed.")
    return text


def _read_serial(stated: object) -> bytes:
    """A serial number's magnitude. Colons and spaces between bytes are allowed."""
    try:
        serial = bytes.fromhex(stated.replace(":", " ")).lstrip(b"\0") if isinstance(stated, str) else b""
    except ValueError:
        serial = b""
    if not serial:
        raise wrong(f"{stated!r} is no serial number in hex.", "give pairs of hex digits.")
    return serial


def _check_slots(slots: list[str]) -> list[str]:
    if unknown := sorted(set(slots) - set(Slot)):
        raise wrong(f"there is no slot {unknown[0]!r}.", _KNOWN_SLOTS)
    if twice := [slot for slot in slots if slots.count(slot) > 1]:
        raise wrong(f"{twice[0]} is listed twice.", "remove one of the two.")
    return slots


Text = Annotated[str, AfterValidator(_check_text)]


class _Reference(Section):
    issuer: Annotated[Text, AfterValidator(lambda issuer: " ".join(issuer.split()))]
    serial: Annotated[bytes, BeforeValidator(_read_serial)]
    placeholder: bool = False


References = Annotated[list[_Reference], Field(min_length=1)]


class _OfRegion(Section):
    wan_provider_ds: References


class _Regions(Section):
    north: _OfRegion
    central_south: _OfRegion


class _Device(Section):
    name: Text
    title: Text
    slots: Annotated[list[str], Field(min_length=1), AfterValidator(_check_slots)]


class _File(Section):
    placeholder: bool = False
    revision: Text
    dated: date | None = None
    base: Annotated[dict[str, References], Field(min_length=1)]
    region: _Regions
    device: Annotated[dict[str, _Device], Field(min_length=1)]

    @field_validator("base")
    @classmethod
    def _check_base(cls, base: dict[str, list[_Reference]]) -> dict[str, list[_Reference]]:
        problems = [problem for slot, references in base.items() for problem in _slot_problems(slot, references)]
        return _unless(problems, base)

    @field_validator("region")
    @classmethod
    def _check_regions(cls, regions: _Regions) -> _Regions:
        stated = {region: getattr(regions, region).wan_provider_ds for region in Region}
        place = f"[region.{{}}] {REGIONAL_SLOT}"
        problems = [
            problem
            for region, references in stated.items()
            for problem in _reference_problems(place.format(region), REGIONAL_SLOT, references)
        ]
        return _unless(problems, regions)

    @field_validator("device")
    @classmethod
    def _check_complete(cls, devices: dict[str, _Device], info: ValidationInfo) -> dict[str, _Device]:
        if "base" not in info.data:
            return devices  # what is wrong there is said already
        return _unless(list(_incomplete({*info.data["base"], REGIONAL_SLOT}, devices.values())), devices)


def _unless(problems: list[Problem], read: Read) -> Read:
    """What was read, unless there are problems."""
    if problems:
        raise PydanticCustomError("problems", "problems", {"problems": problems})
    return read


def _slot_problems(slot: str, references: list[_Reference]) -> Iterable[Problem]:
    if slot == REGIONAL_SLOT:
        next_step = "move it to [region.north] and [region.central_south]."
        yield Problem(f"[base] {slot}", "this slot differs by region.", next_step)
    elif slot not in set(Slot):
        yield Problem(f"[base] {slot}", "there is no such slot.", _KNOWN_SLOTS)
    else:
        yield from _reference_problems(f"[base] {slot}", Slot(slot), references)


def _reference_problems(place: str, slot: Slot, references: list[_Reference]) -> Iterable[Problem]:
    names = [(one.issuer.casefold(), one.serial) for one in references]
    for number, (one, name) in enumerate(zip(references, names, strict=True)):
        certificate = f"{place}, certificate {one.issuer} {one.serial.hex().upper()}"
        if one.placeholder and not slot.terms.takes_placeholder:
            rule = "only supplier and network operator slots take a placeholder."
            yield Problem(certificate, rule, "name the certificate that belongs there.")
        if name in names[:number]:
            yield Problem(certificate, "it is listed twice.", "remove one of the two.")


def _incomplete(stated: Collection[str], devices: Iterable[_Device]) -> Iterable[Problem]:
    wanted = {slot: [device.name for device in devices if slot in device.slots] for slot in Slot}
    for slot in Slot:
        if wanted[slot] and slot not in stated:
            rule = f"it has no certificate, and there are Devices with it: {', '.join(wanted[slot])}."
            yield Problem(f"[base] {slot}", rule, "state it.")
        elif slot in stated and not wanted[slot]:
            rule = "it has a certificate, and no type of Device has the slot."
            yield Problem(f"slot {slot}", rule, "add it to a [device.…], or remove it.")


def _problems(error: ErrorDetails) -> Iterable[Problem]:
    """What pydantic says, as the problems of a place in the file."""
    if error["type"] == "problems":
        yield from error["ctx"]["problems"]
        return
    rule, next_step = rule_of(error), error.get("ctx", {}).get("next_step") or "compare it with the shipped file."
    if error["type"] == "extra_forbidden":
        next_step = "remove it, or correct its name."
        match error["loc"]:
            case ("region", _):
                rule, next_step = "there is no such region.", f"the regions are {', '.join(Region)}."
            case ("region", _, _):
                rule = f"regions differ in {REGIONAL_SLOT} and nowhere else (Appendix O 2.3.3 (e), (f))."
                next_step = "state it in [base], for both regions."
    yield Problem(_place(error["loc"]), rule, next_step)


def _place(loc: Sequence[int | str]) -> str:
    """Such as `[region.north] wan_provider_ds, entry 2, serial`."""
    match loc:
        case ("region" | "device" as table, name, *rest):
            section = f"[{table}.{name}]"
        case ("base" | "region" | "device" as table, *rest):
            section = f"[{table}]"
        case _:
            section, rest = "", list(loc)
    keys = ", ".join(f"entry {part + 1}" if isinstance(part, int) else part for part in rest)
    return f"{section} {keys}".strip()


def _references(stated: Iterable[_Reference]) -> tuple[Reference, ...]:
    return tuple(Reference(one.issuer, one.serial, one.placeholder) for one in stated)


def _digest(
    revision: str,
    dated: date | None,
    base: Mapping[Slot, tuple[Reference, ...]],
    regional: Mapping[Region, tuple[Reference, ...]],
    devices: tuple[DeviceType, ...],
) -> str:
    def listed(references: tuple[Reference, ...]) -> list[tuple[str, str, bool]]:
        return [(one.issuer, one.serial_number.hex(), one.placeholder) for one in references]

    meaning: dict[str, object] = {
        "revision": revision,
        "base": {slot: listed(references) for slot, references in base.items()},
        "region": {region: listed(references) for region, references in regional.items()},
        "device": [(device.key, device.name, device.title, device.slots) for device in devices],
    }
    if dated is not None:
        meaning["dated"] = dated.isoformat()
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()
