from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from builders import look_alikes
from made_certificates import with_not_before, with_null_parameters, with_serial
from smki.certificates.batch_reading import REFUSED, BatchReader
from smki.certificates.reading import read_certificate
from smki.errors import CertificateRefusedError
from smki_demo.generator.pki import Pki

DEVICES = look_alikes(40)


def check(reader: BatchReader, bodies: list[bytes]) -> None:
    """The batch reader says of each what the single reader says, field by field."""
    batch = reader.read(pa.array(bodies, pa.binary()))
    assert len(batch.profile) == len(batch.serial_numbers) == len(batch.eui64s) == len(bodies)
    serials, eui64s = batch.serial_numbers.to_pylist(), batch.eui64s.to_pylist()
    for row, body in enumerate(bodies):
        try:
            fields = read_certificate(body)
        except CertificateRefusedError as refusal:
            expected = (type(refusal), str(refusal))
            assert (type(batch.refused[row]), str(batch.refused[row])) == expected
            assert batch.profile[row] == REFUSED
            continue
        assert row not in batch.refused
        profile = batch.profiles[batch.profile[row]]
        assert (serials[row], eui64s[row]) == (fields.serial_number, fields.eui64)
        for attribute in ("certificate_class", "issuer", "common_name", "role", "usage", "not_after", "note"):
            assert getattr(profile, attribute) == getattr(fields, attribute), attribute


def test_mixed_batch_is_read_as_one_by_one(signed: list[bytes]) -> None:
    garbage = [b"", b"\0", b"garbage", signed[0][:-1]]
    check(BatchReader(), [*DEVICES, *signed, *garbage, *signed[::-1], *DEVICES[::-1]])


def test_real_certificates_are_read_as_one_by_one(real_certificates: dict[str, bytes]) -> None:
    reader = BatchReader()
    for _ in range(2):  # with templates of the first time, too
        check(reader, list(real_certificates.values()))


def test_empty_batch_is_empty() -> None:
    batch = BatchReader().read(pa.array([], pa.binary()))
    assert (len(batch.profile), len(batch.serial_numbers), len(batch.eui64s), batch.refused) == (0, 0, 0, {})


def test_array_that_is_a_slice_is_read_from_its_start(signed: list[bytes]) -> None:
    whole = pa.array([*DEVICES, *signed], pa.binary())
    batch = BatchReader().read(whole.slice(7, 20))
    expected = [read_certificate(body).serial_number for body in whole.slice(7, 20).to_pylist()]
    assert batch.serial_numbers.to_pylist() == expected


def test_certificates_of_one_profile_share_it() -> None:
    assert len(BatchReader().read(pa.array(look_alikes(2_000), pa.binary())).profiles) <= 24


@settings(max_examples=150)
@given(data=st.data())
def test_any_changed_byte_of_a_follower_is_read_or_refused_as_by_the_single_reader(
    signed: list[bytes], data: st.DataObject
) -> None:
    leader, follower = data.draw(st.sampled_from([(signed[-1], signed[-3]), (DEVICES[0], DEVICES[0])]))
    at = data.draw(st.integers(0, len(follower) - 1))
    byte = data.draw(st.integers(0, 255))
    check(BatchReader(), [leader, follower[:at] + bytes([byte]) + follower[at + 1 :], follower])


@pytest.mark.parametrize("which", [0, 10, -1], ids=["CA", "Organisation", "Device"])
def test_every_byte_of_a_certificate_may_be_another(signed: list[bytes], which: int) -> None:
    body = signed[which]
    flipped = [body[:at] + bytes([body[at] ^ 0x41]) + body[at + 1 :] for at in range(len(body))]
    check(BatchReader(), [body, *flipped])


@settings(max_examples=25)
@given(data=st.data())
def test_batches_in_a_row_give_the_same_as_fresh_readers(signed: list[bytes], data: st.DataObject) -> None:
    reader = BatchReader()
    for _ in range(3):
        bodies = data.draw(st.lists(st.sampled_from([*signed, *DEVICES, b"x"]), max_size=12))
        check(reader, bodies)


SERIALS = [
    b"\x00\x80",
    b"\x00\xff\x01",
    b"\x00\x01",
    b"\x00\x00",
    b"\x00",
    b"\x80\x00",
    b"\xff\xff",
    b"\x01",
    b"\x7f\xff",
]


@settings(max_examples=40)
@given(
    serials=st.lists(st.sampled_from(SERIALS) | st.binary(min_size=16, max_size=17), min_size=2, max_size=6),
)
@example(serials=[b"\x00\x80" + b"\1" * 15, b"\x00\x7f" + b"\1" * 15, b"\x00\x00" + b"\1" * 15])
@example(serials=[b"\x00\x01", b"\x00\x80"])  # an odd one must not make the template
@example(serials=[b"\x01" * 16, b"\x00" + b"\1" * 15, b"\x80" * 16])
def test_serial_numbers_of_any_form_are_read_as_by_the_single_reader(signed: list[bytes], serials: list[bytes]) -> None:
    check(BatchReader(), [signed[-1], *(with_serial(signed[-1], serial) for serial in serials)])


DATES = st.tuples(
    st.sampled_from(["0000", "0001", "1949", "2015", "2016", "2049", "9999", "20A5"]),
    st.sampled_from(["00", "01", "02", "12", "13"]),
    st.sampled_from(["00", "01", "28", "29", "30", "31", "32"]),
    st.sampled_from(["00", "23", "24"]),
    st.sampled_from(["00", "59", "60"]),
    st.sampled_from(["00", "59", "60", "61"]),
).map("".join)


@settings(max_examples=60)
@given(dates=st.lists(DATES, min_size=1, max_size=4), short=st.booleans())
@example(dates=["00000101000000"], short=False)
@example(dates=["00260101000000"], short=False)
def test_dates_of_any_form_are_read_as_by_the_single_reader(signed: list[bytes], dates: list[str], short: bool) -> None:
    def body(date: str) -> bytes:
        return with_not_before(signed[-1], (date[2:] if short else date) + "Z")

    check(BatchReader(), [body("20250101000000"), *map(body, dates)])


@pytest.mark.parametrize("leader", ["1201010000", "20250101000000.5", "250101000000"])
def test_date_with_more_or_fewer_digits_is_read_as_by_the_single_reader(signed: list[bytes], leader: str) -> None:
    """Where a template took ten digits for twelve, the year would count as the month, and month 13 as a day."""
    dates = [leader, leader.replace("01", "13", 1), leader.replace("01", "02", 1)]
    check(BatchReader(), [with_not_before(signed[-1], date + "Z") for date in dates])


def test_certificates_that_a_strict_parser_refuses_keep_their_note(signed: list[bytes]) -> None:
    odd = [with_null_parameters(body) for body in signed[-6:]]
    check(BatchReader(), [*odd, *signed[-6:], *odd])


def test_more_profiles_than_templates_are_read_as_one_by_one(pki: Pki) -> None:
    start = datetime(2025, 1, 1, tzinfo=UTC)
    bodies = [
        pki.organisation_certificate(
            number % 256, "DS", b"\x02SMKI" + number.to_bytes(3), start + timedelta(days=number)
        )  # type: ignore[arg-type]  # a letter pair
        for number in range(90)
    ]
    check(BatchReader(), [*bodies, *bodies[::-1]])
