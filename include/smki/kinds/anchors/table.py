"""The document's content for machines: CSV (RFC 4180, UTF-8), a row a Device type, slot, region and certificate."""

import csv
import io

from smki.certificates.model import eui64_text
from smki.kinds.anchors.rules import role_name
from smki.kinds.anchors.slots import AnchorSet, Region

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
)


def render_table(anchor_set: AnchorSet) -> bytes:
    """The CSV; its octets depend on configuration and certificates alone."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    configuration = anchor_set.configuration
    for device in configuration.devices:
        for region in Region:
            for placed in anchor_set.of_region(region):
                place, certificate = placed.placement, placed.certificate
                if place.slot not in device.slots:
                    continue
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
                    )
                )
    return text.getvalue().encode("utf-8")
