"""Device anchor slots and the base set of certificates for them (SEC Appendix O 2.3.3 (e), (f) and their document).

* A slot is one trust anchor cell of a Device: a remote party role, a key usage and, for one of the supplier's, the use
  for pre-payment top-up. It takes a certificate of that role and usage that is in use.
* The root slot takes the Root OCA Certificate; every other slot takes Organisation Certificates.
* The WAN provider slot is the only one that differs by region. The base set holds every other slot once, for both
  regions, so nothing else can differ.
* A certificate has one slot. Before installation nobody knows a Device's supplier and network operator, so their slots
  may hold a placeholder: a certificate of another role, marked as such, that may have a slot of its own besides.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from smki.certificates.model import CertificateClass, Role, Status, Usage, eui64_text


class Region(StrEnum):
    """The regions with a file each."""

    NORTH = "north"
    CENTRAL_SOUTH = "central_south"

    @property
    def words(self) -> str:
        """As Appendix O says it."""
        return "North" if self is Region.NORTH else "Central and South"


class Slot(StrEnum):
    """The anchor slots that there are, in the order of files and tables."""

    ROOT = "root"
    RECOVERY_DS = "recovery_ds"
    SUPPLIER_DS = "supplier_ds"
    SUPPLIER_KA = "supplier_ka"
    SUPPLIER_KA_TOP_UP = "supplier_ka_top_up"
    NETWORK_OPERATOR_DS = "network_operator_ds"
    NETWORK_OPERATOR_KA = "network_operator_ka"
    ACCESS_CONTROL_BROKER_DS = "access_control_broker_ds"
    ACCESS_CONTROL_BROKER_KA = "access_control_broker_ka"
    TRANSITIONAL_COS_DS = "transitional_cos_ds"
    WAN_PROVIDER_DS = "wan_provider_ds"
    LOAD_CONTROLLER_DS = "load_controller_ds"
    LOAD_CONTROLLER_KA = "load_controller_ka"

    @property
    def terms(self) -> "SlotTerms":
        """What the slot takes."""
        return _TERMS[self]

    @property
    def words(self) -> str:
        """As people read it, with its usage."""
        return f"{self.terms.title} {self.terms.usage}" if self.terms.usage else self.terms.title


@dataclass(frozen=True, slots=True)
class SlotTerms:
    """What a slot takes."""

    title: str
    role: Role
    usage: Usage | None  # none: a CA certificate, whose key signs certificates
    takes_placeholder: bool = False

    @property
    def certificate_class(self) -> CertificateClass:
        """OCA for the root, Organisation for all others."""
        return CertificateClass.OCA if self.usage is None else CertificateClass.ORGANISATION


_DS, _KA = Usage.DIGITAL_SIGNATURE, Usage.KEY_AGREEMENT
_TERMS: dict[Slot, SlotTerms] = {
    Slot.ROOT: SlotTerms("Root", Role.ROOT, None),
    Slot.RECOVERY_DS: SlotTerms("Recovery", Role.RECOVERY, _DS),
    Slot.SUPPLIER_DS: SlotTerms("Supplier", Role.SUPPLIER, _DS, takes_placeholder=True),
    Slot.SUPPLIER_KA: SlotTerms("Supplier", Role.SUPPLIER, _KA, takes_placeholder=True),
    Slot.SUPPLIER_KA_TOP_UP: SlotTerms("Supplier, pre-payment top-up", Role.SUPPLIER, _KA, takes_placeholder=True),
    Slot.NETWORK_OPERATOR_DS: SlotTerms("Network operator", Role.NETWORK_OPERATOR, _DS, takes_placeholder=True),
    Slot.NETWORK_OPERATOR_KA: SlotTerms("Network operator", Role.NETWORK_OPERATOR, _KA, takes_placeholder=True),
    Slot.ACCESS_CONTROL_BROKER_DS: SlotTerms("Access control broker", Role.ACCESS_CONTROL_BROKER, _DS),
    Slot.ACCESS_CONTROL_BROKER_KA: SlotTerms("Access control broker", Role.ACCESS_CONTROL_BROKER, _KA),
    Slot.TRANSITIONAL_COS_DS: SlotTerms("Transitional change of supplier", Role.TRANSITIONAL_CHANGE_OF_SUPPLIER, _DS),
    Slot.WAN_PROVIDER_DS: SlotTerms("WAN provider", Role.WAN_PROVIDER, _DS),
    Slot.LOAD_CONTROLLER_DS: SlotTerms("Load controller", Role.LOAD_CONTROLLER, _DS),
    Slot.LOAD_CONTROLLER_KA: SlotTerms("Load controller", Role.LOAD_CONTROLLER, _KA),
}
REGIONAL_SLOT = Slot.WAN_PROVIDER_DS


@dataclass(frozen=True, slots=True)
class Reference:
    """Names one certificate of the repository."""

    issuer: str  # its common name, or its whole name as the repository shows it
    serial_number: bytes  # big-endian magnitude
    placeholder: bool = False  # of another role than the slot's, until the Device is installed

    def __str__(self) -> str:
        return f"{self.issuer} {self.serial_number.hex().upper()}"


@dataclass(frozen=True, slots=True)
class Placement:
    """One certificate's place in the base set."""

    slot: Slot
    region: Region | None  # none: both
    reference: Reference

    def __str__(self) -> str:
        table = f"[region.{self.region}]" if self.region else "[base]"
        return f"{table} {self.slot}, certificate {self.reference}"


@dataclass(frozen=True, slots=True)
class DeviceType:
    """A type of Device and its slots."""

    key: str  # in the configuration
    name: str  # short, as people say it
    title: str  # in words
    slots: tuple[Slot, ...]  # in the order of Slot


@dataclass(frozen=True, slots=True)
class AnchorConfiguration:
    """anchor_slots.toml as typed values. Its digest does not depend on comments and layout."""

    revision: str  # the operator's own name for this state of it
    dated: date | None  # since when it is this; a newer revision has a later date
    base: Mapping[Slot, tuple[Reference, ...]]  # never REGIONAL_SLOT
    regional: Mapping[Region, tuple[Reference, ...]]  # what each region has in REGIONAL_SLOT
    devices: tuple[DeviceType, ...]
    digest: str  # SHA-256 of its meaning, hex

    def placements(self) -> Iterator[Placement]:
        """Every place, in the order of Slot; a regional one once a region."""
        for slot in Slot:
            if slot is REGIONAL_SLOT:
                for region in Region:
                    yield from (Placement(slot, region, reference) for reference in self.regional.get(region, ()))
            else:
                yield from (Placement(slot, None, reference) for reference in self.base.get(slot, ()))

    def devices_with(self, slot: Slot) -> tuple[DeviceType, ...]:
        """The types of Device that have the slot."""
        return tuple(device for device in self.devices if slot in device.slots)


@dataclass(frozen=True, slots=True)
class AnchorCertificate:
    """What rules, files and document need to know of a lodged certificate."""

    certificate_class: CertificateClass
    issuer: str  # as the repository shows it
    issuer_common_name: str | None
    serial_number: bytes  # big-endian magnitude
    eui64: bytes | None  # 8 bytes
    common_name: str | None  # of the subject
    role: int | None  # of Organisation and CA certificates
    usage: Usage | None  # none for CA certificates
    manufacturing: bool
    not_before: datetime  # UTC
    not_after: datetime  # UTC
    status: Status
    body: bytes  # DER

    @property
    def subject(self) -> str:
        """As Annex B names it: the EUI-64, or the common name of a CA without one."""
        return eui64_text(self.eui64) if self.eui64 is not None else self.common_name or ""

    @property
    def serial(self) -> str:
        """Upper-case hex."""
        return self.serial_number.hex().upper()

    @property
    def sha256(self) -> str:
        """Fingerprint, hex."""
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True, slots=True)
class PlacedCertificate:
    """A certificate that was found to fit its place."""

    placement: Placement
    certificate: AnchorCertificate


@dataclass(frozen=True, slots=True)
class AnchorSet:
    """A configuration whose every certificate fits its place."""

    configuration: AnchorConfiguration
    placed: tuple[PlacedCertificate, ...]  # in the order of placements

    def of_region(self, region: Region) -> tuple[PlacedCertificate, ...]:
        """What belongs to a region's base set, in slot order."""
        return tuple(placed for placed in self.placed if placed.placement.region in (None, region))

    def certificates(self, region: Region | None = None) -> tuple[AnchorCertificate, ...]:
        """The certificates of a region, or of both, each once, in slot order."""
        placed = self.placed if region is None else self.of_region(region)
        return tuple(dict.fromkeys(one.certificate for one in placed))
