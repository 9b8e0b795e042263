"""Cuts Annex B documents, whoever wrote them, into pieces of whole records; memory stays flat.

* A document that begins as the publisher's do is cut where its records end, and its bytes stay as they are.
* Any other one goes through an XML parser, a part at a time, and each piece is written anew from what was parsed: the
  same elements, attributes and texts in UTF-8, without comments. (Encodings, prefixes, white space in tags and the
  like are the writer's affair.)
* Entities are not resolved and nothing is fetched. A document type declaration is refused.
* Where a document breaks off or breaks a rule, the records before that place come all the same, and then the error.
* Between the ends of two records stands at most 1 MiB: a certificate has 64 KiB at most, so what is longer holds none.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple, Protocol, cast

from lxml import etree

from smki.annex_b.reading import format_of, safe_parser
from smki.annex_b.version import CURRENT, FORMATS, AnnexB
from smki.certificates.reading import holds_armoured_key
from smki.errors import DocumentRefusedError
from smki.verify.faults import Fault, FaultError

_PIECE = 4 << 20  # bytes of XML that are checked at once
_PART = 1 << 18  # bytes that a parser takes at once
_OPENING = 1 << 16  # bytes in which the first record of a document of ours begins
_MOST_BETWEEN = 1 << 20  # bytes
_OVERLAP = 64  # bytes; words of a private key's armour in UTF-16 have 22, a record's end tag has as many


class Piece(NamedTuple):
    """A small document: some records of a larger one, with what stands around all of them."""

    annex_b: AnnexB
    opening: bytes
    records: bytes
    closing: bytes
    xml_bytes: int  # that the document has for it
    as_it_stands: bool  # the records are the document's own bytes


@cache
def plain_opening(annex_b: AnnexB) -> re.Pattern[bytes]:
    """What a document as the publisher writes it says before its records."""
    declaration = """(?:<\\?xml version=(["'])1\\.0\\1 encoding=(["'])UTF-8\\2\\?>\\s*)?"""
    head = "".join(f"<{name}>[^<&]*</{name}>\\s*" for name in map(re.escape, dict(annex_b.head)))
    return re.compile(declaration.encode() + re.escape(annex_b.root_start) + rb"\s*" + head.encode())


class Stream(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes | None:
        """At most so many bytes; none at the end."""


class Source:
    """A stream of bytes that takes back what was read too far.

    An error of the stream is raised when all that stands before it has been read, and then again and again.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._returned = b""
        self._error: Exception | None = None

    def read(self, size: int) -> bytes:
        """So many bytes, fewer only at the end or before an error."""
        parts, self._returned = [self._returned[:size]], self._returned[size:]
        missing = size - len(parts[0])
        while missing and self._error is None:
            try:
                parts.append(self._stream.read(missing) or b"")
            except (DocumentRefusedError, OSError) as error:
                self._error = error
            missing -= len(parts[-1])
            if not parts[-1]:
                break
        content = b"".join(parts)
        if self._error is not None and not content:
            raise self._error
        return content

    def give_back(self, content: bytes) -> None:
        """Puts bytes before what will be read next."""
        self._returned = content + self._returned


def cut_document(source: Source, name: str) -> Iterator[Piece]:
    """All pieces of a document, at least one; `name` is for errors.

    Raises FaultError for what is no Annex B document, and what reading the source raises, after the pieces before it.
    """
    head = source.read(_OPENING)
    for annex_b in {CURRENT.version: CURRENT, **FORMATS}.values():
        found = plain_opening(annex_b).match(head)
        rest = head[found.end() :] if found else b""
        if found and (rest.startswith(annex_b.record_start) or rest.strip() == annex_b.root_end):
            yield from _cut_bytes(source, name, annex_b, found[0], rest)
            return
    source.give_back(head)
    yield from _cut_parsed(source, name)


def split_records(records: bytes, annex_b: AnnexB) -> list[bytes]:
    """The records of a piece one by one, each with what stands before it; what follows the last one belongs to it."""
    ends = [found.end() for found in re.finditer(rb"</(?:[^<>/:\s]+:)?%b\s*>" % annex_b.record.encode(), records)]
    starts = [0, *ends[:-1]] if ends else [0]
    return [records[start:end] for start, end in zip(starts, [*starts[1:], len(records)], strict=True)]


def end_of_records(xml: bytes, annex_b: AnnexB, start: int, stop: int) -> int:
    """Where the last whole record in xml[start:stop] ends, a line end after it included; `start` if there is none."""
    end = xml.rfind(annex_b.record_end, start, stop)
    if end < 0:
        return start
    end += len(annex_b.record_end)
    return end + 1 if xml[end : end + 1] == b"\n" else end


def _cut_bytes(source: Source, name: str, annex_b: AnnexB, opening: bytes, buffer: bytes) -> Iterator[Piece]:
    taken = len(opening)
    while True:
        error: Exception | None = None
        more = b""
        try:
            more = source.read(_PIECE)
        except (DocumentRefusedError, OSError) as raised:
            error = raised
        end = end_of_records(buffer, annex_b, 0, len(buffer))
        records, rest = buffer[:end], buffer[end:]
        if not more and error is None and rest.strip() == annex_b.root_end:
            yield Piece(annex_b, opening, records, rest, taken + len(buffer), as_it_stands=True)
            return
        if records:
            yield Piece(annex_b, opening, records, annex_b.root_end, taken + end, as_it_stands=True)
            taken = 0
        if error is not None:
            raise error
        if not more:
            yield Piece(annex_b, opening, b"", rest, len(rest), as_it_stands=True)
            return
        if len(rest) > _MOST_BETWEEN:  # perhaps its writer goes on in another way
            source.give_back(opening + rest + more)
            yield from _cut_parsed(source, name)
            return
        buffer = rest + more


def _cut_parsed(source: Source, name: str) -> Iterator[Piece]:
    parsed = _Parsed(name)
    error: Exception | None = None
    part = b""
    while True:
        try:
            part = source.read(_PART)
            parsed.feed(part)
        except etree.XMLSyntaxError as raised:
            error = FaultError(Fault.XML, name, f"it is not well-formed XML ({raised.msg}).")
        except (FaultError, DocumentRefusedError, OSError) as raised:
            error = raised
        if error is not None or not part or parsed.pending >= _MOST_BETWEEN:
            piece = parsed.take(to_the_last=error is not None or not part)
            if piece is not None and (piece.records or error is None):
                yield piece
            elif error is None:
                error = FaultError(
                    Fault.XML, name, f"{parsed.pending:,} bytes hold no whole record, and {_MOST_BETWEEN:,} may."
                )
        if error is not None:
            raise error
        if not part:
            return


class _Parsed:
    """What a parser has read of a document and nobody has taken yet."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._parser = safe_parser(etree.XMLPullParser, events=("start", "end"))
        self._root: etree._Element | None = None
        self._annex_b = CURRENT
        self._frame: tuple[bytes, bytes] | None = None  # opening and closing
        self._whole = 0  # the first so many elements of the root have ended
        self._shown = self._written = 0  # records that a parser sees, and that stand in the bytes
        self._last = b""  # bytes, in which a tag or a private key may have begun
        self.pending = 0  # bytes

    def feed(self, part: bytes) -> None:
        """Parses the next part; an empty one is the end. Raises XMLSyntaxError, FaultError."""
        self.pending += len(part)
        read = self._last + part
        if holds_armoured_key(read):  # in a comment, too, of which nothing is written
            raise FaultError(Fault.PRIVATE_KEY, self._name, "it holds the words that begin a private key.")
        try:
            if part:
                self._parser.feed(part)
            else:
                self._parser.close()
        finally:
            self._look()
        self._written += read.count(self._annex_b.record_end) - self._last.count(self._annex_b.record_end)
        self._last = read[-_OVERLAP:]
        if not part and self._written > self._shown:
            raise FaultError(
                Fault.XML, self._name, "a comment or a CDATA section in it hides records from those who read it as XML."
            )

    def _look(self) -> None:
        element: Any  # the stub thinks of namespaces' events, too
        for event, element in self._parser.read_events():
            if self._root is None:
                self._root = element
                try:
                    self._annex_b = format_of(element, self._name)
                except DocumentRefusedError as error:
                    raise FaultError(Fault.XML, self._name, error.rule) from error
            elif event == "end" and element.getparent() is self._root:
                self._whole += 1
                self._shown += element.tag == self._annex_b.tag(self._annex_b.record)

    def take(self, *, to_the_last: bool) -> Piece | None:
        """The whole records that there are, written anew; None where there is none.

        To the last one at the end only, where no text can follow it any more; there may then be none.
        """
        if self._root is None:
            return None
        taken = list(self._root)[: self._whole if to_the_last else min(self._whole, len(self._root) - 1)]
        first = 0
        if self._frame is None:
            record = self._annex_b.tag(self._annex_b.record)
            first = next((place for place, child in enumerate(taken) if child.tag == record), len(taken))
            if first == len(taken) and not to_the_last:
                return None
            self._frame = _write_frame(self._root, taken[:first])
        if not taken and not to_the_last:
            return None
        piece = Piece(
            self._annex_b,
            self._frame[0],
            b"".join(map(_write, taken[first:])),
            self._frame[1],
            self.pending,
            as_it_stands=False,
        )
        for child in taken:
            self._root.remove(child)
        self._whole -= len(taken)
        self.pending = 0
        return piece


def _write_frame(root: etree._Element, head: list[etree._Element]) -> tuple[bytes, bytes]:
    """What a document says before and after its records."""
    attributes, names = cast("Any", (root.attrib, root.nsmap))  # the stub knows no default namespace
    empty = etree.Element(root.tag, attributes, nsmap=names)
    empty.text = (root.text or "") + "\n"  # so that it has an end tag
    start, _, end = _write(empty).rpartition(b"</")
    return start + b"".join(map(_write, head)), b"</" + end


def _write(element: etree._Element) -> bytes:
    """With the text that follows it."""
    return etree.tostring(element, encoding="UTF-8", xml_declaration=False)
