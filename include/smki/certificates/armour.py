"""Reads PEM as people have it (RFC 7468 says how it should be).

* Every line that begins a block is counted, and a block comes out for it: what it holds, or what is wrong with it. So
  does a line that ends a block which nothing began. Whatever stands between blocks is text.
* Blocks may be joined on a line, indented, quoted (`> `), and have any line ends, byte order marks and headers
  (RFC 1421). What they hold has to be complete Base64: nothing is guessed.
* One block at a time is in memory, and of that no more than the limit.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import pybase64

MOST_BYTES = 64 << 20  # that a block may hold; a revocation list of a million entries has some 40 MB
_MOST_LETTERS = MOST_BYTES // 2 * 3
_PART = 1 << 18  # bytes
# More dashes stand around it; those behind it may be lost, as may all from somewhere in its last word on.
_MARK = re.compile(rb"-- ?(BEGIN|END) ([^-\r\n]{1,64}?) ?(?:--|-?(?=[\r\n])|-?\Z)")
_CUT_MARK = re.compile(rb"-- ?B(?:E(?:G(?:IN? ?)?)?)?\Z")
_LONGEST_MARK = 128  # bytes
_LINE_ENDS = re.compile(rb"\r\n|\r|\\r\\n|\\n")  # in a string of JSON, too
_AROUND = b" \t>|#*\"',\xef\xbb\xbf"  # of a line that is indented, quoted, part of another file; none is Base64


class Stream(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a text."""

    label: str  # CERTIFICATE, X509 CRL …
    content: bytes  # DER; where something is wrong, the letters as they stand
    fault: str = ""  # what is wrong


def read_blocks(stream: Stream) -> Iterator[Block]:
    """The blocks of a text in UTF-8, in order."""
    label, parts, length = "", list[bytes](), 0
    for text, mark in _split_at_marks(stream):
        if label and length <= _MOST_LETTERS:
            parts.append(text)
            length += len(text)
        if mark is None:
            continue
        begins, name = mark[1] == b"BEGIN", mark[2].decode("latin-1")
        if label:
            fault = (
                "another one begins before its END line" if begins else "" if name == label else f"it ends as {name}"
            )
            yield _read_block(label, b"".join(parts), fault)
        elif not begins:
            yield Block(name, b"", "it has an END line and no BEGIN line")
        label, parts, length = name if begins else "", [], 0
    if label:
        yield _read_block(label, b"".join(parts), "it is cut off: it has no END line")


def _split_at_marks(stream: Stream) -> Iterator[tuple[bytes, re.Match[bytes] | None]]:
    """The text in parts, each with the mark that follows it, if one does."""
    buffer = b""
    while True:
        part = stream.read(_PART)
        buffer += part
        if not part and (cut := _CUT_MARK.search(buffer)):
            buffer = buffer[: cut.start()] + b"-- BEGIN ?--"
        settled = len(buffer) - _LONGEST_MARK if part else len(buffer)  # later on a mark may go on in the next part
        start = 0
        for mark in _MARK.finditer(buffer):
            if mark.start() >= settled:
                break
            yield buffer[start : mark.start()], mark
            start = mark.end()
        rest = max(start, settled)
        yield buffer[start:rest], None
        buffer = buffer[rest:]
        if not part:
            return


def _read_block(label: str, letters: bytes, fault: str) -> Block:
    if fault:
        return Block(label, letters, fault)
    if len(letters) > _MOST_LETTERS:
        return Block(label, letters, f"it holds more than {MOST_BYTES:,} bytes")
    lines = (line.strip(_AROUND) for line in _LINE_ENDS.sub(b"\n", letters.strip(b"-")).split(b"\n"))
    text = b"".join(line for line in lines if b":" not in line)
    try:
        content = pybase64.b64decode(text, validate=True)
    except ValueError as error:
        return Block(label, letters, f"it is not Base64 ({error})")
    if pybase64.b64encode(content) != text:
        return Block(label, letters, "it is not Base64 (bits that belong to no byte are set)")
    return Block(label, content)
