"""The wire format of Annex B as one value: its elements, their order, its namespace, its schema.

The renderer, the readers and the checks derive their bytes and patterns from the value, and a plan and a manifest state
its version. So another version of the format is one more value in FORMATS, and its XSD.

The official schema is not public, so V1 and `include/schema/annex_b.xsd` are a reconstruction. A test says that the two
agree.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated
from xml.sax.saxutils import quoteattr

from pydantic import PlainSerializer, PlainValidator

from smki.settings import INCLUDE


class Field(StrEnum):
    """What an element of a record says. The value is the name that `reading.Record` has for it."""

    SUBJECT_NAME = "subject_name"  # Organisation, OCA, DCA
    SUBJECT_ALT_NAME = "subject_alt_name"  # Device
    SERIAL = "serial"
    STATUS = "status"
    BODY = "body"
    ROLE = "role"  # Organisation only
    USAGE = "usage"
    MANUFACTURING = "manufacturing"


@dataclass(frozen=True, slots=True)
class Element:
    """An element of a record."""

    name: str
    field: Field
    optional: bool = False


@dataclass(frozen=True)
class AnnexB:
    """One version of the format. What is derived from it is computed once a value."""

    version: str  # as plans and manifests state it
    namespace: str  # of every element, as the document's default namespace; empty: none
    root: str
    head: tuple[tuple[str, str], ...]  # elements before the records: name, text; {name} is the XML's without .xml
    record: str
    elements: tuple[Element, ...]  # of a record, in order; one for each Field
    schema: str  # its XSD, in include/schema

    def tag(self, name: str) -> str:
        """An element's name as lxml has it."""
        return f"{{{self.namespace}}}{name}" if self.namespace else name

    def head_texts(self, xml_name: str) -> tuple[tuple[str, str], ...]:
        """Name and text of each element before the records, in the document that is called `xml_name`."""
        return tuple((name, text.format(name=xml_name.removesuffix(".xml"))) for name, text in self.head)

    @cached_property
    def names(self) -> dict[Field, str]:
        """The element of each field, in the order of Field."""
        by_field = {element.field: element.name for element in self.elements}
        return {field: by_field[field] for field in Field}

    @cached_property
    def field_tags(self) -> tuple[str, ...]:
        """The elements of a record as lxml has them, in the order of Field."""
        return tuple(map(self.tag, self.names.values()))

    @cached_property
    def root_start(self) -> bytes:
        namespace = f" xmlns={quoteattr(self.namespace)}" if self.namespace else ""
        return f"<{self.root}{namespace}>".encode()

    @cached_property
    def root_end(self) -> bytes:
        return f"</{self.root}>".encode()

    @cached_property
    def record_start(self) -> bytes:
        return f"<{self.record}>".encode()

    @cached_property
    def record_end(self) -> bytes:
        return f"</{self.record}>".encode()


V1 = AnnexB(
    version="annex_b-1",
    namespace="",
    root="CertificateDataResponse",
    head=(("ResponseCode", "200"), ("ResponseMessage", "Success"), ("AuditReference", "{name}")),
    record="CertificateResponse",
    elements=(
        Element("CertificateSubjectName", Field.SUBJECT_NAME, optional=True),
        Element("CertificateSubjectAltName", Field.SUBJECT_ALT_NAME, optional=True),
        Element("CertificateSerial", Field.SERIAL),
        Element("CertificateStatus", Field.STATUS),
        Element("CertificateBody", Field.BODY),
        Element("CertificateRole", Field.ROLE, optional=True),
        Element("CertificateUsage", Field.USAGE, optional=True),
        Element("ManufacturingFlag", Field.MANUFACTURING),
    ),
    schema="annex_b.xsd",
)
FORMATS = {V1.version: V1}
CURRENT = V1  # what new files are written in


def find_format(version: str) -> AnnexB:
    """The format of that version. Raises ValueError where there is none."""
    if version not in FORMATS:
        raise ValueError(f"there is no wire format {version!r}, only {', '.join(FORMATS)}")
    return FORMATS[version]


# As a field of a plan or manifest: in JSON it is its version.
StatedFormat = Annotated[AnnexB, PlainValidator(find_format), PlainSerializer(lambda annex_b: annex_b.version)]


def find_by_root(tag: str) -> AnnexB | None:
    """The format of a document with this root element (as lxml has it), the current one first."""
    return next((one for one in (CURRENT, *FORMATS.values()) if one.tag(one.root) == tag), None)


def schema_path(annex_b: AnnexB, schema: Path) -> Path:
    """The XSD of a format, where `schema` is that of V1: an operator may have put another in its place
    (SMKI_ANNEX_B_XSD).
    """
    return schema if annex_b == V1 else INCLUDE / "schema" / annex_b.schema
