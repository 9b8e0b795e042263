"""What begins in a text is counted against what comes out of it."""

import io
import tracemalloc
from itertools import chain, repeat

import pytest
from asn1crypto import pem
from hypothesis import given
from hypothesis import strategies as st

from smki.certificates import armour
from smki.certificates.armour import Block, read_blocks

CONTENTS = st.binary(min_size=1, max_size=300)
TEXTS = st.text("abc:\n\r\t >#-=é", max_size=200).map(str.encode).filter(lambda text: b"BEGIN" not in text)


def blocks_of(text: bytes) -> list[Block]:
    return list(read_blocks(io.BytesIO(text)))


@given(parts=st.lists(st.tuples(TEXTS, CONTENTS, st.sampled_from(["\n", "\r\n", "\r", ""]))))
def test_every_block_is_read_whatever_stands_between(parts: list[tuple[bytes, bytes, str]]) -> None:
    text = b"".join(
        before + pem.armor("CERTIFICATE", content).replace(b"\n", end.encode()) for before, content, end in parts
    )
    assert blocks_of(text) == [Block("CERTIFICATE", content) for _, content, _ in parts]


@given(contents=st.lists(CONTENTS, min_size=1, max_size=4), data=st.data())
def test_text_that_is_cut_anywhere_loses_no_block_without_a_word(contents: list[bytes], data: st.DataObject) -> None:
    text = b"".join(pem.armor("CERTIFICATE", content) for content in contents)
    start = data.draw(st.integers(0, len(text)))
    cut = text[start : data.draw(st.integers(start, len(text)))]
    blocks = blocks_of(cut)
    assert len(blocks) >= cut.count(b"-----B")
    assert all(block.fault or block.content in contents for block in blocks)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_size_of_the_parts_that_are_read_does_not_matter(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    text = (
        b"x" * 300
        + b"".join(pem.armor("X509 CRL", bytes([number]) * 200) for number in range(5))
        + b"-----BEGIN A-----"
    )
    whole = blocks_of(text)
    monkeypatch.setattr(armour, "_PART", size)
    assert blocks_of(text) == whole
    assert [bool(block.fault) for block in whole] == [False] * 5 + [True]


def test_block_beyond_the_limit_is_refused_and_the_next_one_is_read() -> None:
    whole = pem.armor("CERTIFICATE", b"whole")
    lines = chain(
        [b"-----BEGIN CERTIFICATE-----\n"], repeat(b"A" * 1023 + b"\n", 1 << 18), [b"-----END CERTIFICATE-----\n"]
    )
    text = io.BytesIO(b"".join(lines) + whole)
    tracemalloc.start()
    faults = [(bool(block.fault), block.content == b"whole") for block in read_blocks(text)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert faults == [(True, False), (False, True)]
    assert peak < 4 * armour.MOST_BYTES
