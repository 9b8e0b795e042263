"""Finds the certificates that a configuration names in the repository."""

from collections.abc import Iterable, Mapping
from datetime import UTC

from asn1crypto import x509
from sqlalchemy import ARRAY, Engine, LargeBinary, RowMapping, any_, bindparam, select

from smki.certificates.model import CertificateClass, Status, Usage
from smki.certificates.names import common_name_of
from smki.kinds.anchors.slots import AnchorCertificate, AnchorConfiguration, Reference
from smki.repository.database import reading
from smki.repository.tables import certificate, issuer

Lodged = Mapping[bytes, tuple[AnchorCertificate, ...]]  # serial number → certificates that have it, of any issuer


def find_lodged(engine: Engine, configuration: AnchorConfiguration) -> Lodged:
    """All certificates with the serial numbers that the configuration names. Raises RepositoryUnavailableError."""
    return certificates_with(engine, {place.reference.serial_number for place in configuration.placements()})


def certificates_with(engine: Engine, serial_numbers: Iterable[bytes]) -> Lodged:
    """All certificates with these serial numbers."""
    columns = ("class", "serial_number", "eui64", "common_name", "role", "usage", "manufacturing", "body", "status")
    query = (
        select(*(certificate.c[name] for name in columns), issuer.c.display)
        .join(issuer, issuer.c.id == certificate.c.issuer_id)
        .where(certificate.c.serial_number == any_(bindparam("serials", list(serial_numbers), ARRAY(LargeBinary))))
        .order_by(certificate.c.id)
    )
    found: dict[bytes, tuple[AnchorCertificate, ...]] = {}
    with reading(engine) as connection:
        for row in connection.execute(query).mappings():
            one = _certificate(row)
            found[one.serial_number] = (*found.get(one.serial_number, ()), one)
    return found


def is_named_by(reference: Reference, lodged: AnchorCertificate) -> bool:
    """Whether a reference means this certificate; letter case and spaces of the issuer's name do not matter."""
    wanted = _plain(reference.issuer)
    names = (lodged.issuer, lodged.issuer_common_name or lodged.issuer)
    return reference.serial_number == lodged.serial_number and wanted in map(_plain, names)


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()


def _certificate(row: RowMapping) -> AnchorCertificate:
    parsed = x509.Certificate.load(row["body"])
    is_ca = row["class"] in (CertificateClass.OCA, CertificateClass.DCA)
    return AnchorCertificate(
        certificate_class=CertificateClass(row["class"]),
        issuer=row["display"],
        issuer_common_name=common_name_of(parsed.issuer),
        serial_number=row["serial_number"],
        eui64=row["eui64"],
        common_name=row["common_name"],
        role=_authority_role(parsed) if is_ca else row["role"],
        usage=Usage(row["usage"]) if row["usage"] else None,
        manufacturing=row["manufacturing"],
        not_before=parsed.not_valid_before.astimezone(UTC),
        not_after=parsed.not_valid_after.astimezone(UTC),
        status=Status(row["status"]),
        body=row["body"],
    )


def _authority_role(parsed: x509.Certificate) -> int | None:
    """The role that a CA's OU says: 00 for a root, 07 for an issuing authority. The repository keeps none for CAs."""
    unit = str(parsed.subject.native.get("organizational_unit_name", ""))
    try:
        return int(unit, 16)
    except ValueError:
        return None
