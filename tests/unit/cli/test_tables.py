"""Tables for people: whatever the terminal's width, no word is broken, and what is left out is named."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smki.cli import terminal

WORD = st.text(alphabet="abcXYZ_-.:0159", min_size=1, max_size=40)
CELL = st.lists(WORD, min_size=1, max_size=6).map(" ".join)


@pytest.fixture(autouse=True)
def width() -> Iterator[None]:
    before = terminal.out.width
    yield
    terminal.out.width = before


def printed(rows: list[tuple[str, ...]], columns: int, width: int, *, wide: bool = False) -> str:
    terminal.out.width = width
    named = {f"heading{number}": lambda row, number=number: row[number] for number in range(columns)}
    with terminal.out.capture() as captured:
        terminal.print_table(rows, named, wide=wide)
    return captured.get()


@given(
    st.integers(min_value=1, max_value=7).flatmap(
        lambda columns: st.lists(st.tuples(*[CELL] * columns), min_size=1, max_size=4)
    ),
    st.integers(min_value=20, max_value=130),
)
def test_no_word_is_broken_and_columns_that_have_no_room_are_named(rows: list[tuple[str, ...]], width: int) -> None:
    columns = len(rows[0])
    table, _, left_out = printed(rows, columns, width).partition("not shown:")
    shown = [number for number in range(columns) if f"heading{number}" in table.split()]
    assert shown == list(range(max(1, len(shown))))
    assert [name for name in left_out.replace(",", " ").replace(";", " ").split() if name.startswith("heading")] == [
        f"heading{number}" for number in range(len(shown), columns)
    ]
    words = table.split()
    assert all(word in words for row in rows for number in shown for word in row[number].split())
    if len(shown) > 1:
        assert max(map(len, table.splitlines())) <= width


def test_wide_shows_every_column_in_one_line_a_row() -> None:
    rows = [("SMKIKR_FULL_2026-11-22.xml.gz", "one two three " * 20)] * 3
    lines = printed(rows, 2, 40, wide=True).splitlines()
    assert "not shown" not in lines[-1]
    assert sum("SMKIKR_FULL_2026-11-22.xml.gz" in line and line.count("three") == 20 for line in lines) == 3


def test_facts_and_lines_keep_long_words_whole() -> None:
    terminal.out.width = 60
    digest = "ab" * 64
    with terminal.out.capture() as captured:
        terminal.print_facts({"SHA-256": digest})
        terminal.print_lines(f"some words before {digest} and some after")
    assert captured.get().split().count(digest) == 2
