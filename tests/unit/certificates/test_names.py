"""Which Names are the same, as RFC 5280, 7.1 and RFC 4518 say."""

import random
import string
from collections.abc import Iterable

import pytest
from asn1crypto import core, parser
from asn1crypto import x509 as lenient_x509
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from smki.certificates.names import common_name_of, comparable_name, is_named, name_in_words

COMMON_NAME, UNIT, IDENTIFIER = "2.5.4.3", "2.5.4.11", "2.5.4.45"
TYPES = {
    12: "utf-8",
    19: "ascii",
    20: "latin-1",
    22: "ascii",
    28: "utf-32-be",
    30: "utf-16-be",
}
Attribute = tuple[str, int, bytes]  # object identifier, tag and content of the value


def name_of(*rdns: list[Attribute]) -> bytes:
    """A Name with RDNs whose attributes stand in the order given, which DER would not allow."""

    def emit(tag: int, parts: Iterable[bytes]) -> bytes:
        return bytes(parser.emit(0, 1, tag, b"".join(parts)))

    def attribute(oid: str, tag: int, content: bytes) -> bytes:
        return emit(16, [core.ObjectIdentifier(oid).dump(), parser.emit(0, 0, tag, content)])

    return emit(16, [emit(17, [attribute(*one) for one in rdn]) for rdn in rdns])


def named(text: str, tag: int = 12, oid: str = COMMON_NAME) -> bytes:
    return name_of([(oid, tag, text.encode(TYPES[tag]))])


@given(
    text=st.text(string.ascii_letters + string.digits + " '()+,-./:=?"),
    tags=st.tuples(*[st.sampled_from(list(TYPES))] * 2),
)
def test_type_of_a_string_makes_no_difference(text: str, tags: tuple[int, int]) -> None:
    assert comparable_name(named(text, tags[0])) == comparable_name(named(text, tags[1]))


@given(st.text(st.characters(max_codepoint=0xFF, exclude_categories=["Cc", "Zs"])))
def test_case_makes_no_difference(text: str) -> None:
    assert comparable_name(named(text.upper())) == comparable_name(named(text))


@given(st.lists(st.text(string.ascii_letters, min_size=1)), st.lists(st.sampled_from(" \t\n\u00a0\u3000"), min_size=1))
def test_amount_of_white_space_makes_no_difference(words: list[str], blanks: list[str]) -> None:
    wide = "".join(blanks)
    assert comparable_name(named(f"{wide}{wide.join(words)}{wide}")) == comparable_name(named(" ".join(words)))


@given(st.lists(st.tuples(st.sampled_from([COMMON_NAME, UNIT]), st.text()), min_size=2, max_size=5), st.randoms())
def test_attributes_of_an_rdn_have_no_order(rdn: list[tuple[str, str]], order: random.Random) -> None:
    attributes = [(oid, 12, text.encode()) for oid, text in rdn]
    other = order.sample(attributes, len(attributes))
    assert comparable_name(name_of(attributes)) == comparable_name(name_of(other))


@given(
    st.lists(st.text(string.ascii_lowercase, min_size=1), max_size=4),
    st.lists(st.text(string.ascii_lowercase, min_size=1), max_size=4),
)
def test_names_of_other_words_or_order_differ(one: list[str], other: list[str]) -> None:
    names = [name_of(*([(COMMON_NAME, 19, word.encode())] for word in words)) for words in (one, other)]
    assert (comparable_name(names[0]) == comparable_name(names[1])) == (one == other)


@given(st.binary(), st.binary())
def test_values_that_are_no_strings_are_compared_byte_by_byte(one: bytes, other: bytes) -> None:
    names = [name_of([(IDENTIFIER, 3, b"\0" + value)]) for value in (one, other)]
    assert (comparable_name(names[0]) == comparable_name(names[1])) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("STRASSE", "stra\u00dfe"),
        ("\u00c9", "e\u0301"),  # one letter, and a letter with its accent
        ("\uff2f\uff23\uff21", "oca"),  # letters of full width
        ("o\u00adca", "OCA"),  # a soft hyphen
        ("\u1e9e", "\u1e9e"),  # a letter that Unicode 3.2 did not have
        ("", "  "),
    ],
)
def test_letters_that_rfc_4518_maps_to_each_other_are_the_same(one: str, other: str) -> None:
    assert comparable_name(named(one)) == comparable_name(named(other))


@pytest.mark.parametrize(
    ("one", "other"), [("OCA1", "OCA2"), ("O CA", "OCA"), ("\ufe8d", "\ufe8f"), ("\u0440", "p"), ("", "\u06d4")]
)
def test_letters_that_only_look_alike_differ(one: str, other: str) -> None:
    assert comparable_name(named(one)) != comparable_name(named(other))


def test_type_of_an_attribute_and_the_place_of_an_rdn_make_a_difference() -> None:
    common_name, unit = (COMMON_NAME, 12, b"a"), (UNIT, 12, b"a")
    names = [[[common_name]], [[unit]], [[common_name], [unit]], [[unit], [common_name]], [[common_name, unit]], []]
    assert len({comparable_name(name_of(*rdns)) for rdns in names}) == len(names)


@pytest.mark.parametrize("content", [b"\xff", b"a\0b", b"\xed\xa0\x80"])
def test_string_that_its_type_cannot_decode_is_compared_byte_by_byte(content: bytes) -> None:
    damaged = name_of([(COMMON_NAME, 12, content)])
    assert comparable_name(damaged) == comparable_name(damaged)
    assert comparable_name(damaged) != comparable_name(name_of([(COMMON_NAME, 12, b"ab\xff")]))


def test_name_of_any_length_has_32_bytes() -> None:
    assert [len(comparable_name(named("x" * length))) for length in (0, 3500)] == [32, 32]


def test_what_is_no_name_equals_itself_only() -> None:
    damaged = [b"", b"\x30\x01", b"\x31\x00", b"\x30\x00\x00", named("a")[:-1], b"\x30\x02\x30\x00", named("a") + b"\0"]
    assert len({comparable_name(der) for der in [*damaged, *damaged, named("a")]}) == len(damaged) + 1


OCA1 = name_of([(UNIT, 12, b"07")], [(COMMON_NAME, 12, b"OCA1")])


@pytest.mark.parametrize(
    "stated",
    ["OCA1", " oca1", "CN=OCA1,OU=07", "OU = 07, CN = OCA1", "cn=oca1,ou=07", "2.5.4.3=OCA1,OU=07"],
)
def test_name_is_stated_as_rfc_4514_writes_it_from_either_end_or_by_its_common_name(stated: str) -> None:
    assert is_named(OCA1, stated)


@pytest.mark.parametrize("stated", ["", "07", "OCA", "OCA12", "CN=OCA1", "CN=OCA1,OU=08", "CN=OCA1,OU=07,O=X", "OU=07"])
def test_name_is_not_another_one(stated: str) -> None:
    assert not is_named(OCA1, stated)


def test_name_without_a_common_name_is_none_but_itself() -> None:
    assert not is_named(name_of([(UNIT, 12, b"07")]), "07")
    assert is_named(name_of([(UNIT, 12, b"07")]), "OU=07")


def test_text_that_states_no_name_is_an_error_of_value() -> None:
    with pytest.raises(ValueError, match="CNN"):
        is_named(OCA1, "CNN=OCA1")


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20))
def test_name_in_words_states_that_name(text: str) -> None:
    """Whatever its letters: a plus, a comma or a blank at its ends is no part of the form."""
    unit, common_name = NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.COMMON_NAME
    name = x509.Name([x509.NameAttribute(unit, "07"), x509.NameAttribute(common_name, text)])
    words = name_in_words(name.public_bytes())
    assert words.endswith(",OU=07")
    stated = x509.Name.from_rfc4514_string(words)
    assert comparable_name(stated.public_bytes()) == comparable_name(name.public_bytes())


def test_value_that_is_no_text_is_written_as_its_der() -> None:
    assert name_in_words(name_of([(IDENTIFIER, 3, b"\0" + bytes(8))])) == f"{IDENTIFIER}=#0309{'00' * 9}"


def test_most_specific_of_several_common_names_is_the_name() -> None:
    common_name = x509.NameAttribute(NameOID.COMMON_NAME, "OCA1")
    root = x509.NameAttribute(NameOID.COMMON_NAME, "root")
    several = x509.Name([root, x509.NameAttribute(NameOID.ORGANIZATION_NAME, "DCC"), common_name]).public_bytes()
    assert common_name_of(lenient_x509.Name.load(several)) == "OCA1"
    assert is_named(several, "OCA1")
    assert common_name_of(lenient_x509.Name.load(x509.Name([]).public_bytes())) is None
