"""Reads anchor_slots.toml: which certificates go into which anchor slots, and which types of Device have which slots.

* `[base]` has every slot but the WAN provider's; `[region.north]` and `[region.central_south]` have that one and
  nothing else (Appendix O 2.3.3 (e), (f): the files are the same, other than in the WAN provider slot).
* Each slot of a Device has a certificate, and each slot with a certificate belongs to a Device: never half a set.
* A certificate is named by issuer and serial number; it is marked `placeholder = true` where it stands in for the
  supplier or network operator that a Device is going to have.
* All that is wrong is reported at once. A file that is missing, or that says `placeholder = true` at its top, is no
  configuration yet: AnchorSlotsUnsetError.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smki.errors import AnchorConfigurationError, AnchorSlotsUnsetError
from smki.kinds.anchors.problems import Problem, configuration_error
from smki.kinds.anchors.slots import REGIONAL_SLOT, AnchorConfiguration, DeviceType, Reference, Region, Slot

_TOP = {"placeholder", "revision", "base", "region", "device"}
_REFERENCE = {"issuer", "serial", "placeholder"}
_DEVICE = {"name", "title", "slots"}
_KNOWN_SLOTS = f"the slots are {', '.join(Slot)}."


def load_anchor_configuration(path: Path) -> AnchorConfiguration:
    """The configuration in a file. Raises AnchorSlotsUnsetError, AnchorConfigurationError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise _unset(path, "the file is not there.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    try:
        stated = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _unreadable(path, error) from error
    if stated.get("placeholder") is True:
        raise _unset(path, "it is the placeholder that is shipped, and its serial numbers are nobody's.")
    return read_anchor_configuration(stated, path.name)


def read_anchor_configuration(stated: Mapping[str, Any], name: str) -> AnchorConfiguration:
    """The configuration that a file of this name states. Raises AnchorConfigurationError with all that is wrong."""
    reader = _Reader()
    configuration = reader.read(stated)
    if reader.problems:
        raise configuration_error(name, reader.problems)
    return configuration


class _Reader:
    """Reads what it can and gathers what is wrong."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def read(self, stated: Mapping[str, Any]) -> AnchorConfiguration:
        for key in sorted(set(stated) - _TOP):
            self._add(key, "it means nothing here.", "remove it, or correct its name.")
        revision = stated.get("revision")
        if not isinstance(revision, str) or not revision.strip() or not revision.isprintable():
            self._add(
                "revision", "the document states it, and it is missing or no text.", "name this state of the file."
            )
        base = self._base(self._table(stated, "base"))
        regional = self._regional(self._table(stated, "region"))
        devices = self._devices(self._table(stated, "device"))
        self._complete({**base, REGIONAL_SLOT: next(iter(regional.values()), ())}, devices)
        return AnchorConfiguration(
            str(revision), base, regional, devices, _digest(str(revision), base, regional, devices)
        )

    def _add(self, place: str, rule: str, next_step: str) -> None:
        self.problems.append(Problem(place, rule, next_step))

    def _table(self, stated: Mapping[str, Any], key: str, within: str = "") -> Mapping[str, Any]:
        value = stated.get(key)
        if isinstance(value, dict) and value:
            return value
        self._add(f"[{within}{key}]", "it is missing or empty.", "copy it from the shipped file and fill it in.")
        return {}

    def _base(self, stated: Mapping[str, Any]) -> dict[Slot, tuple[Reference, ...]]:
        base = {}
        for key, references in stated.items():
            if key == REGIONAL_SLOT:
                self._add(
                    f"[base] {key}",
                    "this slot differs by region.",
                    "move it to [region.north] and [region.central_south].",
                )
            elif key in set(Slot):
                base[Slot(key)] = self._references(f"[base] {key}", Slot(key), references)
            else:
                self._add(f"[base] {key}", "there is no such slot.", _KNOWN_SLOTS)
        return {slot: base[slot] for slot in Slot if slot in base}

    def _regional(self, stated: Mapping[str, Any]) -> dict[Region, tuple[Reference, ...]]:
        for key in sorted(set(stated) - set(Region)):
            self._add(f"[region.{key}]", "there is no such region.", f"the regions are {', '.join(Region)}.")
        regional = {}
        for region in Region:
            table = self._table(stated, region, "region.")
            for key in sorted(set(table) - {REGIONAL_SLOT}):
                self._add(
                    f"[region.{region}] {key}",
                    f"regions differ in {REGIONAL_SLOT} and nowhere else (Appendix O 2.3.3 (e), (f)).",
                    "state it in [base], for both regions.",
                )
            if REGIONAL_SLOT in table:
                place = f"[region.{region}] {REGIONAL_SLOT}"
                regional[region] = self._references(place, REGIONAL_SLOT, table[REGIONAL_SLOT])
            elif table:
                self._add(f"[region.{region}]", f"{REGIONAL_SLOT} is missing.", "state the region's WAN provider.")
        return regional

    def _references(self, place: str, slot: Slot, stated: object) -> tuple[Reference, ...]:
        if not isinstance(stated, list) or not stated:
            self._add(place, "a slot has a list of certificates.", '[{ issuer = "…", serial = "…" }]')
            return ()
        references: list[Reference] = []
        for number, one in enumerate(stated, start=1):
            reference = self._reference(f"{place}, entry {number}", one)
            if reference is None:
                continue
            if reference.placeholder and not slot.terms.takes_placeholder:
                self._add(
                    f"{place}, certificate {reference}",
                    "only supplier and network operator slots take a placeholder.",
                    "name the certificate that belongs there.",
                )
            if any(_same(reference, other) for other in references):
                self._add(f"{place}, certificate {reference}", "it is listed twice.", "remove one of the two.")
            references.append(reference)
        return tuple(references)

    def _reference(self, place: str, stated: object) -> Reference | None:
        if not isinstance(stated, dict) or (unknown := sorted(set(stated) - _REFERENCE)):
            detail = f" ({', '.join(unknown)} means nothing here)" if isinstance(stated, dict) else ""
            self._add(place, f"it does not name a certificate{detail}.", '{ issuer = "…", serial = "…" }')
            return None
        issuer, serial, placeholder = (stated.get(key) for key in ("issuer", "serial", "placeholder"))
        serial_number = _octets(serial)
        if not isinstance(issuer, str) or not issuer.strip():
            self._add(f"{place}, issuer", "it is missing or no text.", "give the issuer's common name or whole name.")
        elif not serial_number:
            self._add(f"{place}, serial", f"{serial!r} is no serial number in hex.", "give pairs of hex digits.")
        elif not isinstance(placeholder, bool | None):
            self._add(f"{place}, placeholder", "it is neither true nor false.", "remove it, or say true.")
        else:
            return Reference(" ".join(issuer.split()), serial_number, bool(placeholder))
        return None

    def _devices(self, stated: Mapping[str, Any]) -> tuple[DeviceType, ...]:
        devices = []
        for key, device in stated.items():
            place = f"[device.{key}]"
            if not isinstance(device, dict) or set(device) != _DEVICE:
                self._add(place, "a type of Device has name, title and slots, and nothing else.", "state these.")
                continue
            slots = device["slots"]
            for text in ("name", "title"):
                if not isinstance(device[text], str) or not device[text].strip() or not device[text].isprintable():
                    self._add(f"{place} {text}", "it is no text.", "say which type of Device it is.")
            if not isinstance(slots, list) or not slots:
                self._add(f"{place} slots", "it is no list of slots.", _KNOWN_SLOTS)
                continue
            names = [str(slot) for slot in slots]
            for name in sorted(set(names) - set(Slot)):
                self._add(f"{place} slots", f"there is no slot {name!r}.", _KNOWN_SLOTS)
            for name in sorted({name for name in names if names.count(name) > 1}):
                self._add(f"{place} slots", f"{name} is listed twice.", "remove one of the two.")
            devices.append(
                DeviceType(
                    key, str(device["name"]), str(device["title"]), tuple(slot for slot in Slot if slot in names)
                )
            )
        return tuple(devices)

    def _complete(self, references: Mapping[Slot, object], devices: tuple[DeviceType, ...]) -> None:
        wanted = {slot for device in devices for slot in device.slots}
        for slot in Slot:
            if slot in wanted and slot not in references:
                having = ", ".join(device.name for device in devices if slot in device.slots)
                self._add(
                    f"[base] {slot}", f"it has no certificate, and there are Devices with it: {having}.", "state it."
                )
            elif slot in references and slot not in wanted and devices:
                self._add(
                    f"slot {slot}",
                    "it has a certificate, and no type of Device has the slot.",
                    "add it to a [device.…], or remove it.",
                )


def _same(one: Reference, other: Reference) -> bool:
    return (one.issuer.casefold(), one.serial_number) == (other.issuer.casefold(), other.serial_number)


def _octets(serial: object) -> bytes:
    """A serial number's magnitude; empty where the text is none. Colons and spaces between octets are allowed."""
    try:
        return bytes.fromhex(str(serial).replace(":", " ")).lstrip(b"\0") if isinstance(serial, str) else b""
    except ValueError:
        return b""


def _digest(
    revision: str,
    base: Mapping[Slot, tuple[Reference, ...]],
    regional: Mapping[Region, tuple[Reference, ...]],
    devices: tuple[DeviceType, ...],
) -> str:
    def listed(references: tuple[Reference, ...]) -> list[tuple[str, str, bool]]:
        return [(one.issuer, one.serial_number.hex(), one.placeholder) for one in references]

    meaning = {
        "revision": revision,
        "base": {slot: listed(references) for slot, references in base.items()},
        "region": {region: listed(references) for region, references in regional.items()},
        "device": [(device.key, device.name, device.title, device.slots) for device in devices],
    }
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


def _unreadable(path: Path, error: Exception) -> AnchorConfigurationError:
    return configuration_error(path.name, [Problem("as a whole", f"it cannot be read ({error}).", "correct the file.")])


def _unset(path: Path, rule: str) -> AnchorSlotsUnsetError:
    return AnchorSlotsUnsetError(
        str(path),
        f"anchor slots are not configured: {rule}",
        "No anchor-slot file or document is produced or published.",
        "state the base set there, or name another file in SMKI_ANCHOR_SLOTS; `smki-demo generate anchor-slots` writes "
        "one for a made-up repository.",
    )
