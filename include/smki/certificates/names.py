"""Says which Names are the same (RFC 5280, 7.1), however their letters are encoded.

* Attributes that hold a string are compared without regard to the string's type, to case and to the amount of white
  space, after the preparation of RFC 4518; all other attributes are compared byte by byte.
* The attributes of one RDN have no order, the RDNs of a Name have.
* A string that its own type cannot decode is compared byte by byte, too: a Name is never refused for its letters.
"""

import hashlib
import re
import stringprep
from contextlib import suppress
from functools import lru_cache
from unicodedata import ucd_3_2_0

from asn1crypto import core, parser
from asn1crypto import x509 as lenient_x509
from cryptography import x509

from smki.certificates.der import SEQUENCE, SET, UTF8_STRING, Element, contents, only

_SHORT = {
    "2.5.4.3": "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.25": "DC",
}
_ENCODINGS = {
    UTF8_STRING: "utf-8",
    18: "ascii",  # NumericString
    19: "ascii",  # PrintableString
    20: "latin-1",  # TeletexString: what writers put into it, whatever T.61 says
    22: "ascii",  # IA5String
    26: "ascii",  # VisibleString
    28: "utf-32-be",  # UniversalString
    30: "utf-16-be",  # BMPString
}
_AROUND = re.compile(r"\s*(?<!\\)([=,+])\s*")  # blanks that people, and OpenSSL, put between attributes
_KIND = re.compile(r"(?:^|(?<!\\)[,+])[A-Za-z]+=")
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
        rdns = [_comparable_rdn(der, rdn) for rdn in contents(der, only(der), SEQUENCE)]
        der = _emit(SEQUENCE, b"".join(rdns))
    return hashlib.sha256(der).digest()


def common_name_of(name: lenient_x509.Name) -> str | None:
    """The most specific one, where a Name has several."""
    stated = name.native.get("common_name")
    if isinstance(stated, list):
        stated = stated[-1]
    return None if stated is None else str(stated)


def is_named(der: bytes, stated: str) -> bool:
    """Whether a Name is the one that a text states: `CN=OCA1,OU=07` from either end (RFC 4514), or a common name alone.

    Raises ValueError for a text with = that states no Name.
    """
    if "=" in stated:
        plain = _KIND.sub(lambda found: found[0].upper(), _AROUND.sub(r"\1", stated.strip()))
        try:
            name = x509.Name.from_rfc4514_string(plain)
        except ValueError:  # which says nothing
            raise ValueError(f"{stated!r} states no name such as CN=OCA1,OU=07") from None
        spellings = (x509.Name(rdns).public_bytes() for rdns in (name.rdns, name.rdns[::-1]))
        return comparable_name(der) in map(comparable_name, spellings)
    common_name = common_name_of(lenient_x509.Name.load(der))
    return common_name is not None and _prepare(common_name) == _prepare(stated)


def _comparable_rdn(der: bytes, rdn: Element) -> bytes:
    return _emit(SET, b"".join(sorted(_comparable_attribute(der, one) for one in contents(der, rdn, SET))))


def _comparable_attribute(der: bytes, attribute: Element) -> bytes:
    kind, value = contents(der, attribute, SEQUENCE)
    compared = der[value.start : value.end]
    if value.tag in _ENCODINGS:
        with suppress(UnicodeError):
            text = der[value.content : value.end].decode(_ENCODINGS[value.tag])
            compared = _emit(UTF8_STRING, _prepare(text).encode())
    return _emit(SEQUENCE, der[kind.start : kind.end] + compared)


def _prepare(text: str) -> str:
    """The text as RFC 4518 compares it, but that no letter is prohibited."""
    text = _NOTHING.sub("", _BLANK.sub(" ", text))
    folded = "".join(map(stringprep.map_table_b2, text))
    return " ".join(ucd_3_2_0.normalize("NFKC", folded).split())


def _emit(tag: int, content: bytes) -> bytes:
    encoded: bytes = parser.emit(0, tag >> 5, tag & 0x1F, content)
    return encoded


def name_in_words(der: bytes) -> str:
    """A Name (DER) as people and other programs write it: `CN=OCA1,OU=07` (RFC 4514)."""
    return ",".join(
        "+".join(f"{_SHORT.get(one['type'].dotted, one['type'].dotted)}={_value(one['value'])}" for one in rdn)
        for rdn in reversed(lenient_x509.Name.load(der).chosen)
    )


def _value(value: core.Asn1Value) -> str:
    """A string with what would end it escaped; of anything else its DER."""
    native = value.native
    if not isinstance(native, str):
        return f"#{value.dump().hex()}"
    text = re.sub(r'([,+"\\<>;=]|^[ #]| $)', r"\\\1", native)
    return "".join(letter if letter.isprintable() else "\\" + letter.encode().hex("\\") for letter in text)
