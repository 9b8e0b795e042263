"""Annex B on the wire: the one place that names its elements and their order.

The official schema is not public, so `include/schema/annex_b.xsd` is a reconstruction (SMKI_ANNEX_B_XSD names another).
A difference in the official schema is a change here and in that file; a test says that both agree.
"""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import pybase64
from lxml import etree

from smki.certificates.model import CertificateClass
from smki.errors import DocumentRefusedError

ROOT = "CertificateDataResponse"
RESPONSE_CODE = "ResponseCode"
RESPONSE_MESSAGE = "ResponseMessage"
AUDIT_REFERENCE = "AuditReference"
RECORD = "CertificateResponse"
SUBJECT_NAME = "CertificateSubjectName"  # Organisation, OCA, DCA
SUBJECT_ALT_NAME = "CertificateSubjectAltName"  # Device
SERIAL = "CertificateSerial"
STATUS = "CertificateStatus"
BODY = "CertificateBody"
ROLE = "CertificateRole"  # Organisation only
USAGE = "CertificateUsage"
MANUFACTURING = "ManufacturingFlag"

FIELDS = (SERIAL, STATUS, BODY, ROLE, USAGE, MANUFACTURING)  # the order in a record, after its subject
SUCCESS = (("ResponseCode", "200"), ("ResponseMessage", "Success"))


class Record(NamedTuple):
    """One certificate as a file states it; texts as they stand there, None where the element is absent."""

    subject_name: str | None
    subject_alt_name: str | None
    serial: str | None
    status: str | None
    body: str | None
    role: str | None
    usage: str | None
    manufacturing: str | None


RECORD_ELEMENTS = (SUBJECT_NAME, SUBJECT_ALT_NAME, *FIELDS)  # in the order of Record


def subject_element(certificate_class: CertificateClass) -> str:
    """The element that holds a certificate's subject."""
    return SUBJECT_ALT_NAME if certificate_class is CertificateClass.DEVICE else SUBJECT_NAME


def record_of(element: etree._Element) -> Record:
    """A CertificateResponse element as a Record."""
    texts = {child.tag: child.text for child in element}
    return Record(*(texts.get(name) for name in RECORD_ELEMENTS))


def read_records(stream: BinaryIO, name: str) -> Iterator[Record]:
    """The records of an Annex B document, one at a time with flat memory.

    Entities are not resolved and nothing is fetched. Raises DocumentRefusedError for what is not well formed, has a
    document type, or is another document.
    """
    try:
        context = etree.iterparse(
            stream,
            events=("start", "end"),
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=True,  # without them and instructions a text is one piece
            remove_pis=True,
        )
        _, root = next(context)
        refuse_document_type(root, name)
        if root.tag != ROOT:
            raise _refused(name, f"its root element is {root.tag} and Annex B says {ROOT}.")
        for event, element in context:
            if event == "end" and element.tag == RECORD:
                yield record_of(element)
                element.clear()
                while element.getprevious() is not None:  # lets go of what has been read
                    del root[0]
    except etree.XMLSyntaxError as error:
        raise _refused(name, f"it is not well-formed XML ({error.msg}).") from error


def refuse_document_type(root: etree._Element, name: str) -> None:
    """Raises DocumentRefusedError where the document has a DTD: Annex B has none, and it may carry entities."""
    if root.getroottree().docinfo.internalDTD is not None:
        raise _refused(name, "it has a document type declaration, and entities in one can hide or inflate content.")


def decode_body(text: str) -> bytes:
    """A CertificateBody's DER octets. Raises ValueError where it is not Base64 on one line."""
    return bytes(pybase64.b64decode(text, validate=True))


def _refused(name: str, rule: str) -> DocumentRefusedError:
    return DocumentRefusedError(name, rule, "It is not read any further.", "get the file again from whoever made it.")
