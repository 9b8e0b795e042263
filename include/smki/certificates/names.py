"""Says which Names are the same (RFC 5280, 7.1), however their letters are encoded.

* Attributes that hold a string are compared without regard to the string's type, to case and to the amount of white
  space, after the preparation of RFC 4518; all other attributes are compared byte by byte.
* The attributes of one RDN have no order, the RDNs of a Name have.
* A string that its own type cannot decode is compared byte by byte, too: a Name is never refused for its letters.
"""

import hashlib
import re
import stringprep
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from unicodedata import ucd_3_2_0

from asn1crypto import parser

_UNIVERSAL, _PRIMITIVE, _CONSTRUCTED = 0, 0, 1
_SEQUENCE, _SET, _OBJECT_IDENTIFIER, _UTF8 = 16, 17, 6, 12
_ENCODINGS = {
    _UTF8: "utf-8",
    18: "ascii",  # NumericString
    19: "ascii",  # PrintableString
    20: "latin-1",  # TeletexString: what writers put into it, whatever T.61 says
    22: "ascii",  # IA5String
    26: "ascii",  # VisibleString
    28: "utf-32-be",  # UniversalString
    30: "utf-16-be",  # BMPString
}
# RFC 4518, 2.2: what is a blank, and what is nothing.
_BLANK = re.compile("[\t\n\v\f\r\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_NOTHING = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u06dd\u070f\u1806\u180b-\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u2063\u206a-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffc\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f]"
)


@lru_cache(1024)  # issuers are few, and asked for again and again
def comparable_name(der: bytes) -> bytes:
    """32 bytes that are equal for equal Names (DER) and differ for others; what is no Name equals itself only."""
    with suppress(ValueError):
        der = _emit(_CONSTRUCTED, _SEQUENCE, b"".join(_comparable_rdn(rdn) for rdn in _elements(der, _SEQUENCE)))
    return hashlib.sha256(der).digest()


def _comparable_rdn(rdn: bytes) -> bytes:
    attributes = sorted(_comparable_attribute(attribute) for attribute in _elements(rdn, _SET))
    return _emit(_CONSTRUCTED, _SET, b"".join(attributes))


def _comparable_attribute(attribute: bytes) -> bytes:
    kind, value = _elements(attribute, _SEQUENCE)  # any other number is a ValueError, too
    class_, method, tag, _, content, _ = parser.parse(value, strict=True)
    if (class_, method) == (_UNIVERSAL, _PRIMITIVE) and tag in _ENCODINGS:
        with suppress(UnicodeError):
            value = _emit(_PRIMITIVE, _UTF8, _prepare(content.decode(_ENCODINGS[tag])).encode())
    return _emit(_CONSTRUCTED, _SEQUENCE, kind + value)


def _prepare(text: str) -> str:
    """The text as RFC 4518 compares it, but that no letter is prohibited."""
    text = _NOTHING.sub("", _BLANK.sub(" ", text))
    folded = "".join(map(stringprep.map_table_b2, text))
    return " ".join(ucd_3_2_0.normalize("NFKC", folded).split())


def _elements(der: bytes, tag: int) -> Iterator[bytes]:
    """The elements, header included, of a SEQUENCE or SET. Raises ValueError for what is none."""
    class_, method, found, _, contents, _ = parser.parse(der, strict=True)
    if (class_, method, found) != (_UNIVERSAL, _CONSTRUCTED, tag):
        raise ValueError(f"it is no Name: tag {found} stands where {tag} has to")
    while contents:
        length = parser.peek(contents)
        yield contents[:length]
        contents = contents[length:]


def _emit(method: int, tag: int, content: bytes) -> bytes:
    encoded: bytes = parser.emit(_UNIVERSAL, method, tag, content)
    return encoded
