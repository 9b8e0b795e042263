"""The words of the repository: classes, statuses, usages, and the fields of one certificate."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum


class CertificateClass(StrEnum):
    """The four classes that Appendix O 2.3.3 names. An authority's is that of the root that it chains to."""

    OCA = "OCA"
    DCA = "DCA"
    ORGANISATION = "ORGANISATION"
    DEVICE = "DEVICE"


class Status(StrEnum):
    """Status of a certificate, as the letter on the wire (Annex B)."""

    PENDING = "P"
    IN_USE = "I"
    NOT_IN_USE = "N"
    EXPIRED = "E"
    REVOKED = "R"


class ListKind(StrEnum):
    """The two lists that Appendix O 2.3.3 names."""

    ARL = "ARL"  # (c): what a root issues; lists certificates of authorities
    CRL = "CRL"  # (d): what an issuing authority issues; lists Organisation Certificates


class Usage(StrEnum):
    """What the key is for (Annex B `CertificateUsage`)."""

    DIGITAL_SIGNATURE = "DS"
    KEY_AGREEMENT = "KA"


class Role(IntEnum):
    """Remote party roles, as a certificate's OU says them."""

    ROOT = 0
    RECOVERY = 1
    SUPPLIER = 2
    NETWORK_OPERATOR = 3
    ACCESS_CONTROL_BROKER = 4
    TRANSITIONAL_CHANGE_OF_SUPPLIER = 5
    WAN_PROVIDER = 6
    ISSUING_AUTHORITY = 7
    LOAD_CONTROLLER = 8
    OTHER = 127
    XML_SIGNING = 135
    DSP_XML_SIGNING = 137


AUTHORITY = "CA"  # what stands for the class of an authority where only its own bytes are known


@dataclass(frozen=True, slots=True)
class CertificateFields:
    """What the publisher reads from a certificate's DER bytes."""

    certificate_class: CertificateClass | None  # None: an authority, and its own bytes do not say which class it is of
    issuer: bytes  # the issuer's Name, DER
    issuer_key: bytes | None  # identifier of the issuer's key; old certificates have none
    serial_number: bytes  # big-endian magnitude, no sign byte
    eui64: bytes | None  # 8 bytes; CA certificates may have none
    common_name: str | None  # of the subject
    role: int | None  # remote party role (Organisation and CA certificates)
    usage: Usage | None  # none for CA certificates
    not_after: datetime  # UTC
    note: str | None  # why a strict parser refuses the bytes, if one does


def eui64_text(eui64: bytes) -> str:
    """An EUI-64 as Annex B writes it: `90-B3-D5-1F-30-00-00-02`."""
    return eui64.hex("-").upper()
