"""The document that says which certificate may be placed in which Device anchor slot (Appendix O 2.3.3).

It is made twice: as an HTML page that needs nothing else (`document.html`), and as a table for machines: CSV (RFC 4180,
UTF-8), a row a type of Device, slot, region and certificate. The bytes of both depend on configuration and certificates
alone; the page states the configuration's date and digest and the two files' content digests instead of a time. The
SHA-256 of what one downloads is in the signed index: it differs with the processor that has compressed a file.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from smki.certificates.model import Usage, eui64_text
from smki.html import render_page
from smki.kinds.anchors.rules import role_name
from smki.kinds.anchors.slots import (
    REGIONAL_SLOT,
    AnchorCertificate,
    AnchorSet,
    DeviceType,
    PlacedCertificate,
    Region,
    Slot,
)

_TEMPLATE = Path(__file__).with_name("document.html")
_USAGES = {
    Usage.DIGITAL_SIGNATURE: "digital signature (DS)",
    Usage.KEY_AGREEMENT: "key agreement (KA)",
    None: "certificate signing",
}


@dataclass(frozen=True, slots=True)
class DescribedFile:
    """One of the two files, as the document describes it."""

    name: str
    clause: str
    content_digest: str  # SHA-256 of the XML, hex
    records: int


@dataclass(frozen=True, slots=True)
class _Card:
    """A certificate on the page."""

    number: str  # C1, C2 …
    certificate: AnchorCertificate
    placed: tuple[PlacedCertificate, ...]  # where it stands
    title: str
    role: str
    valid: str
    regions: str


def render_document(anchor_set: AnchorSet, files: Mapping[Region, DescribedFile], table: str, index: str = "") -> bytes:
    """The HTML page; `table` is the name of the CSV, `index` that of the signed index where there is one."""
    configuration = anchor_set.configuration
    cards = [_card(anchor_set, one, number) for number, one in enumerate(anchor_set.certificates(), start=1)]
    page = render_page(
        _TEMPLATE,
        configuration=configuration,
        devices=configuration.devices,
        regional=REGIONAL_SLOT,
        slots=[slot for slot in Slot if configuration.devices_with(slot)],
        in_slot={slot: [one for one in anchor_set.placed if one.placement.slot is slot] for slot in Slot},
        cards=cards,
        numbers={card.certificate: card.number for card in cards},
        usages=_USAGES,
        own={
            region: [one.certificate for one in anchor_set.of_region(region) if one.placement.region]
            for region in Region
        },
        files=files,
        table=table,
        index=index,
    )
    return page.encode("utf-8")


def _card(anchor_set: AnchorSet, certificate: AnchorCertificate, number: int) -> _Card:
    placed = tuple(one for one in anchor_set.placed if one.certificate == certificate)
    # What it is for: the slot that is its own, or the first where it is a placeholder.
    own = next((one for one in placed if not one.placement.reference.placeholder), placed[0])
    regions = [region.words for region in Region if region in {one.placement.region for one in placed}]
    return _Card(
        number=f"C{number}",
        certificate=certificate,
        placed=placed,
        title=own.placement.slot.words,
        role=role_name(certificate.role),
        valid=f"{certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d} (UTC)",
        regions=" and ".join(regions) or "both",
    )


COLUMNS = (
    "device_type",
    "device_name",
    "device_title",
    "slot",
    "region",
    "placeholder",
    "certificate_class",
    "issuer",
    "serial_number",
    "subject_eui64",
    "subject_common_name",
    "role",
    "usage",
    "valid_from",
    "valid_to",
    "sha256",
    "configuration_revision",
    "configuration_sha256",
    "configuration_date",
)


def render_table(anchor_set: AnchorSet) -> bytes:
    """The CSV."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    configuration = anchor_set.configuration
    for device, region, placed in _places(anchor_set):
        place, certificate = placed.placement, placed.certificate
        writer.writerow(
            (
                device.key,
                device.name,
                device.title,
                place.slot,
                region,
                "true" if place.reference.placeholder else "false",
                certificate.certificate_class,
                certificate.issuer,
                certificate.serial,
                eui64_text(certificate.eui64) if certificate.eui64 is not None else "",
                certificate.common_name or "",
                role_name(certificate.role),
                certificate.usage or "",
                f"{certificate.not_before:%Y-%m-%dT%H:%M:%SZ}",
                f"{certificate.not_after:%Y-%m-%dT%H:%M:%SZ}",
                certificate.sha256,
                configuration.revision,
                configuration.digest,
                configuration.dated or "",
            )
        )
    return text.getvalue().encode("utf-8")


def _places(anchor_set: AnchorSet) -> Iterator[tuple[DeviceType, Region, PlacedCertificate]]:
    for device in anchor_set.configuration.devices:
        for region in Region:
            for placed in anchor_set.of_region(region):
                if placed.placement.slot in device.slots:
                    yield device, region, placed
