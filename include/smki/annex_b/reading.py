"""Reads Annex B documents record by record, whoever wrote them."""

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple, TypeVar

import pybase64
from lxml import etree

from smki.annex_b.version import CURRENT, AnnexB, find_by_root
from smki.errors import DocumentRefusedError

Parser = TypeVar("Parser")
_WHITE_SPACE = dict.fromkeys(map(ord, " \t\r\n"))  # as XML has it


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


def safe_parser(kind: Callable[..., Parser], *arguments: Any, **options: Any) -> Parser:
    """A parser of lxml that resolves no entities, fetches nothing and has lxml's own limits.

    Without comments and processing instructions a text is one piece, as its reader sees it.
    """
    return kind(
        *arguments,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        **options,
    )


def format_of(root: etree._Element, name: str) -> AnnexB:
    """The format of the document with this root. Raises DocumentRefusedError for any other, or one that is not safe."""
    if root.getroottree().docinfo.internalDTD is not None:  # Annex B has none, and it may carry entities
        raise DocumentRefusedError(
            name, "it has a document type declaration, and entities in one can hide or inflate content."
        )
    annex_b = find_by_root(root.tag)
    if annex_b is None:
        raise DocumentRefusedError(
            name, f"its root element is {root.tag} and Annex B says {CURRENT.tag(CURRENT.root)}."
        )
    return annex_b


def record_of(element: etree._Element, annex_b: AnnexB) -> Record:
    """A record's element as a Record."""
    texts = {child.tag: child.text for child in element}
    return Record(*map(texts.get, annex_b.field_tags))


def read_records(stream: BinaryIO, name: str) -> Iterator[Record]:
    """The records of a document in any known format, one at a time with flat memory.

    Raises DocumentRefusedError for what is not well formed, has a document type, or is another document.
    """
    try:
        context = safe_parser(etree.iterparse, stream, events=("start", "end"))
        _, root = next(context)
        annex_b = format_of(root, name)
        record = annex_b.tag(annex_b.record)
        for event, element in context:
            if event == "end" and element.tag == record:
                yield record_of(element, annex_b)
                element.clear()
                while element.getparent() is root and element.getprevious() is not None:  # lets go of what was read
                    del root[0]
    except etree.XMLSyntaxError as error:
        raise DocumentRefusedError(name, f"it is not well-formed XML ({error.msg}).") from error


def decode_body(text: str) -> bytes:
    """A record's body: DER. White space may stand in it, as in any xs:base64Binary (XML Schema, 3.2.16).

    Raises ValueError where it is not Base64.
    """
    letters = text.translate(_WHITE_SPACE)
    body = bytes(pybase64.b64decode(letters, validate=True))
    if pybase64.b64encode(body) != letters.encode():
        raise ValueError("bits that belong to no byte are set")
    return body
