import gzip
import io
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smki.annex_b.gzip_reader import GzipReader
from smki.errors import DocumentRefusedError

MEMBERS = st.lists(st.binary(max_size=400).map(lambda content: content * 7), min_size=1, max_size=4)


def member(content: bytes, level: int) -> bytes:
    compressor = zlib.compressobj(level, wbits=31)
    return compressor.compress(content) + compressor.flush()


def read_all(stream: bytes, size: int = 1 << 16) -> bytes:
    reader = io.BufferedReader(GzipReader(io.BytesIO(stream), "x.gz"), size)
    parts = []
    while part := reader.read(size):
        parts.append(part)
    return b"".join(parts)


@given(members=MEMBERS, level=st.integers(0, 9), size=st.integers(1, 3_000))
def test_all_members_are_read_in_portions_of_any_size(members: list[bytes], level: int, size: int) -> None:
    assert read_all(b"".join(member(content, level) for content in members), size) == b"".join(members)


@pytest.mark.parametrize("level", [0, 1, 6])
def test_large_member_is_read_whole(level: int) -> None:
    content = b"".join(number.to_bytes(8) for number in range(200_000))
    for size in (4_096, 1 << 20):
        assert read_all(member(content, level), size) == content


@given(members=MEMBERS, data=st.data())
def test_truncated_stream_is_refused_unless_it_ends_with_a_member(members: list[bytes], data: st.DataObject) -> None:
    parts = [member(content, 6) for content in members]
    stream = b"".join(parts)
    cut = data.draw(st.integers(0, len(stream) - 1))
    ends = {sum(map(len, parts[:count])) for count in range(1, len(parts))}
    if cut in ends:
        assert b"".join(members).startswith(read_all(stream[:cut]))
    else:
        with pytest.raises(DocumentRefusedError, match="ends in the middle"):
            read_all(stream[:cut])


@given(content=st.binary(min_size=50, max_size=400), data=st.data())
def test_damaged_stream_is_refused_or_gives_the_same(content: bytes, data: st.DataObject) -> None:
    stream = bytearray(member(content, 6))
    at = data.draw(st.integers(0, len(stream) - 1))
    stream[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read = read_all(bytes(stream))
    except DocumentRefusedError:
        return
    assert read == content  # a flipped bit of the time or of a hint


@given(members=MEMBERS, zeros=st.integers(1, 2_000), size=st.integers(1, 3_000))
def test_zeros_after_a_member_are_padding(members: list[bytes], zeros: int, size: int) -> None:
    stream = b"".join(member(content, 6) + bytes(zeros) for content in members)
    assert read_all(stream, size) == b"".join(members)
    reader = GzipReader(io.BytesIO(stream), "x")
    reader.readall()
    assert (reader.members, reader.padding) == (len(members), zeros * len(members))


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"\x1f\x8b", gzip.compress(b"x", mtime=0) + b"\0garbage", b"\0" * 40]
)
def test_what_is_no_gzip_is_refused(content: bytes) -> None:
    with pytest.raises(DocumentRefusedError):
        read_all(content)


def test_bomb_is_refused_and_takes_little_memory() -> None:
    bomb = member(b"\0" * (64 << 20), 9)
    tracemalloc.start()
    reader = io.BufferedReader(GzipReader(io.BytesIO(bomb), "bomb.gz"))
    portions = iter(lambda: len(reader.read(1 << 16)), 0)
    with pytest.raises(DocumentRefusedError, match="expands beyond 100 : 1"):
        list(portions)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_small_file_may_expand_by_any_ratio() -> None:
    assert read_all(member(b"\0" * (1 << 20), 9)) == b"\0" * (1 << 20)


@given(members=MEMBERS)
def test_members_are_counted(members: list[bytes]) -> None:
    reader = GzipReader(io.BytesIO(b"".join(member(content, 6) for content in members)), "x")
    reader.readall()
    assert reader.members == len(members)


@pytest.mark.parametrize("size", [7, 1 << 16])
@pytest.mark.parametrize("damage", [lambda o: o[:-8] + b"\0\1\2\3" + o[-4:], lambda o: o[:-1] + b"\1"])
def test_member_with_a_wrong_trailer_is_given_before_it_is_refused(damage: Callable[[bytes], bytes], size: int) -> None:
    content = b"".join(number.to_bytes(4) for number in range(1_000))
    reader = GzipReader(io.BytesIO(damage(member(content, 6)) + member(b"more", 6)), "x.gz")
    given: list[bytes] = []
    with pytest.raises(DocumentRefusedError, match="damaged"):
        given.extend(iter(lambda: reader.read(size), b""))
    assert b"".join(given) == content


@pytest.mark.parametrize("flags", range(0, 32, 2))
@pytest.mark.parametrize("portion", [1, 5, 1 << 16])
def test_header_with_any_fields_is_read(flags: int, portion: int) -> None:
    extra = b"\x05\0extra" if flags & 4 else b""
    header = (
        b"\x1f\x8b\x08" + bytes([flags]) + bytes(6) + extra + b"name\0" * bool(flags & 8) + b"?\0" * bool(flags & 16)
    )
    header += (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little") if flags & 2 else b""
    stream = header + member(b"content", 6)[10:]

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(portion, size or portion))

    assert GzipReader(Slow(stream), "x.gz").readall() == b"content"
    if flags & 2:
        with pytest.raises(DocumentRefusedError, match="check sum of the header"):
            read_all(stream[: len(header) - 1] + bytes([stream[len(header) - 1] ^ 1]) + stream[len(header) :])
