import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smki.certificates.set_digest import SetDigest

BODIES = st.lists(st.binary(max_size=20), max_size=12)
DIGESTS = BODIES.map(SetDigest.of)


@given(bodies=BODIES)
def test_lanes_are_the_sums_of_the_hashes_lanes(bodies: list[bytes]) -> None:
    lanes = [0, 0, 0, 0]
    for body in bodies:
        sha256 = hashlib.sha256(body).digest()
        for lane in range(4):
            lanes[lane] += int.from_bytes(sha256[8 * lane : 8 * lane + 8], "little")
    assert SetDigest.of(bodies) == SetDigest(len(bodies), tuple(lane % 2**64 for lane in lanes))  # type: ignore[arg-type]  # four


@given(bodies=BODIES, data=st.data())
def test_order_does_not_matter(bodies: list[bytes], data: st.DataObject) -> None:
    assert SetDigest.of(data.draw(st.permutations(bodies))) == SetDigest.of(bodies)


@given(a=BODIES, b=BODIES)
def test_digest_of_both_is_the_sum_and_what_leaves_is_subtracted(a: list[bytes], b: list[bytes]) -> None:
    assert SetDigest.of(a) + SetDigest.of(b) == SetDigest.of(a + b)
    assert SetDigest.of(a + b) - SetDigest.of(b) == SetDigest.of(a)


@given(a=DIGESTS, b=DIGESTS, c=DIGESTS)
def test_addition_is_that_of_a_commutative_group(a: SetDigest, b: SetDigest, c: SetDigest) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + SetDigest() == a
    assert a - a == SetDigest()
    assert (SetDigest() - a) + a == SetDigest()


@given(bodies=st.lists(st.binary(max_size=20), min_size=1, max_size=12, unique=True), data=st.data())
def test_one_certificate_less_or_another_is_another_digest(bodies: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(bodies) - 1))
    whole = SetDigest.of(bodies)
    assert SetDigest.of(bodies[:at] + bodies[at + 1 :]) != whole
    assert SetDigest.of([*bodies[:at], b"another that is longer", *bodies[at + 1 :]]) != whole


@given(a=DIGESTS, b=DIGESTS)
def test_text_is_read_back(a: SetDigest, b: SetDigest) -> None:
    assert SetDigest.parse(str(a)) == a
    assert SetDigest.parse(str(a - b)) == a - b


TEXTS = st.tuples(DIGESTS.map(str), st.integers(0, 65), st.text("09AFaf:-+_ x\n", max_size=2)).map(
    lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + len(parts[2]) :]
)


@given(text=TEXTS)
@example(text="1:" + "0" * 63 + "A")
@example(text="01:" + "0" * 64)
@example(text="1:" + "0_0" * 20 + "0000")
@example(text="٣:" + "0" * 64)
def test_text_that_no_digest_has_is_refused(text: str) -> None:
    try:
        digest = SetDigest.parse(text)
    except ValueError:
        return
    assert str(digest) == text


@pytest.mark.parametrize("text", ["", ":", "0:", "x:" + "0" * 64, "1:" + "0" * 65, "1:" + "g" * 64])
def test_text_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a set digest"):
        SetDigest.parse(text)
