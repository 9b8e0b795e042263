import pytest
from asn1crypto import parser
from hypothesis import given
from hypothesis import strategies as st

from smki.certificates.der import Element, contents, elements, only

Tree = tuple[int, bytes]


def encoded(tag: int, content: bytes) -> bytes:
    return bytes(parser.emit(tag >> 6, tag >> 5 & 1, tag & 0x1F, content))


@given(st.lists(st.tuples(st.integers(0, 255).filter(lambda tag: tag & 0x1F != 0x1F), st.binary(max_size=300))))
def test_elements_stand_one_after_the_other(parts: list[Tree]) -> None:
    der = b"".join(encoded(tag, content) for tag, content in parts)
    found = list(elements(der))
    assert [(one.tag, der[one.content : one.end]) for one in found] == parts
    assert [one.start for one in found] == [0, *(one.end for one in found)][: len(found)]


@given(st.binary(max_size=40))
def test_other_bytes_are_an_error_of_value_or_whole_elements(der: bytes) -> None:
    try:
        found = list(elements(der))
    except ValueError:
        return
    assert sum(one.end - one.start for one in found) == len(der)


@pytest.mark.parametrize(
    "der", [b"\x30", b"\x30\x01", b"\x30\x80\0\0", b"\x30\x82\1", b"\x1f\1\0", b"\x30\x84\xff\xff\xff\xff"]
)
def test_what_is_cut_off_or_has_no_length_is_an_error_of_value(der: bytes) -> None:
    with pytest.raises(ValueError, match="byte 0"):
        list(elements(der))


@pytest.mark.parametrize("der", [b"", b"\5\0\5\0"])
def test_one_element_is_neither_none_nor_two(der: bytes) -> None:
    with pytest.raises(ValueError, match="it"):
        only(der)


def test_contents_are_those_of_the_tag_that_is_asked_for() -> None:
    der = b"\x30\4\5\0\5\0"
    assert contents(der, only(der), 0x30) == [Element(5, 2, 4, 4), Element(5, 4, 6, 6)]
    with pytest.raises(ValueError, match="0x30, not 0x31"):
        contents(der, only(der), 0x31)
