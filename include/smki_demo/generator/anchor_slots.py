"""Writes anchor_slots.toml for a repository that `smki-demo generate pki` filled: its serial numbers are new each time.

Every slot gets certificates that fit it, as the shipped file shows: all suppliers' in the supplier's slots, the access
control broker's as a placeholder in the network operator's, "WAN NORTH" and "WAN SOUTH" by region.
"""

import tomllib
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, select

from smki.certificates.model import CertificateClass, Role, Status, Usage
from smki.errors import DataError
from smki.kinds.anchors.lodged import certificates_with
from smki.kinds.anchors.slots import REGIONAL_SLOT, AnchorCertificate, Region, Slot
from smki.repository.database import reading
from smki.repository.tables import certificate
from smki.settings import INCLUDE
from smki.store.local_files import write_whole

_SHIPPED = INCLUDE / "config" / "anchor_slots.toml"
_WAN = {Region.NORTH: "WAN NORTH", Region.CENTRAL_SOUTH: "WAN SOUTH"}
_STANDS_IN = {Role.NETWORK_OPERATOR: Role.ACCESS_CONTROL_BROKER}


def write_anchor_slots(engine: Engine, path: Path) -> int:
    """Writes the file; returns how many certificates it names. Raises DataError for a repository without them."""
    lodged = _anchors(engine)
    lines = [
        "# Made by `smki-demo generate anchor-slots` for a made-up repository.",
        'revision = "generated"',
        f"dated = {datetime.now(UTC).date()}",
        "",
        "[base]",
    ]
    lines += [_line(slot, _find_fitting(slot, lodged), slot.terms.role) for slot in Slot if slot is not REGIONAL_SLOT]
    for region, name in _WAN.items():
        wan = [one for one in _find_fitting(REGIONAL_SLOT, lodged) if one.common_name == name]
        lines += ["", f"[region.{region}]", _line(REGIONAL_SLOT, wan, REGIONAL_SLOT.terms.role)]
    for key, device in tomllib.loads(_SHIPPED.read_text(encoding="utf-8"))["device"].items():
        slots = ", ".join(f'"{slot}"' for slot in device["slots"])
        lines += [
            "",
            f"[device.{key}]",
            *(f'{text} = "{device[text]}"' for text in ("name", "title")),
            f"slots = [{slots}]",
        ]
    text = "\n".join(lines) + "\n"
    write_whole(path, text.encode())
    return text.count("serial =")


def _anchors(engine: Engine) -> list[AnchorCertificate]:
    """OCA and Organisation Certificates in use, in the order in which they were lodged."""
    classes = (CertificateClass.OCA, CertificateClass.ORGANISATION)
    query = select(certificate.c.serial_number).where(
        certificate.c["class"].in_(classes), certificate.c.status == Status.IN_USE
    )
    with reading(engine) as connection:
        serial_numbers = connection.execute(query).scalars().all()
    return [one for same_serial in certificates_with(engine, serial_numbers).values() for one in same_serial]


def _find_fitting(slot: Slot, lodged: list[AnchorCertificate]) -> list[AnchorCertificate]:
    """What fits the slot; of an Organisation with two key agreement certificates, the second is for top-up."""
    terms = slot.terms
    wanted = (terms.certificate_class, _STANDS_IN.get(terms.role, terms.role), terms.usage)
    fitting = [one for one in lodged if (one.certificate_class, one.role, one.usage) == wanted]
    if terms.role is Role.SUPPLIER and terms.usage is Usage.KEY_AGREEMENT:
        first_of = {one.eui64: one for one in reversed(fitting)}
        fitting = [one for one in fitting if (one is first_of[one.eui64]) is (slot is Slot.SUPPLIER_KA)]
    return fitting


def _line(slot: Slot, certificates: list[AnchorCertificate], role: Role) -> str:
    if not certificates:
        raise DataError(
            f"anchor slot {slot}",
            "no certificate in use fits it.",
            "No anchor_slots.toml was written.",
            "fill the repository with `smki-demo generate pki`, or write the file by hand.",
        )
    listed = "".join(
        f'  {{ issuer = "{one.issuer_common_name}", serial = "{one.serial}"'
        f"{', placeholder = true' if one.role != role else ''} }},\n"
        for one in certificates
    )
    return f"{slot} = [\n{listed}]"
