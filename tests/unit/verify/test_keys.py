"""Keys by which duplicates are found: equal for equal issuer and serial number, and for nothing else."""

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from builders import look_alikes
from made_certificates import with_serial
from smki.certificates.batch_reading import BatchReader
from smki.verify.record_check import _keys
from smki_demo.generator.pki import Pki

BODY = look_alikes(1)[0]
# Content bytes of positive serial numbers, of every length around the words that keys are mixed from.
SERIALS = st.builds(lambda first, rest: bytes([first]) + rest, st.integers(1, 0x7F), st.binary(max_size=19))


def keys_of(bodies: list[bytes]) -> list[int]:
    keys: list[int] = _keys(BatchReader().read(pa.array(bodies, pa.binary()))).tolist()
    return keys


@settings(max_examples=60)
@given(st.lists(SERIALS, min_size=1, max_size=12, unique=True))
@example([b"L", b"O\0"])
@example([b"\1", b"\1\0", b"\1" + bytes(7), b"\1" + bytes(8), b"\1" + bytes(15), b"\1" + bytes(16)])
def test_other_serial_number_has_another_key_whatever_its_length(serials: list[bytes]) -> None:
    assert len(set(keys_of([with_serial(BODY, serial) for serial in serials]))) == len(serials)


@settings(max_examples=60)
@given(SERIALS, st.lists(SERIALS, max_size=8))
def test_key_does_not_depend_on_what_stands_beside_it(serial: bytes, others: list[bytes]) -> None:
    alone = keys_of([with_serial(BODY, serial)])[0]
    beside = keys_of([with_serial(BODY, other) for other in others] + [with_serial(BODY, serial)])
    assert beside[-1] == alone


def test_same_serial_number_of_another_issuer_has_another_key(pki: Pki) -> None:
    by_root_oca, by_root_dca, by_nobody = keys_of(
        [with_serial(body, b"\x11" * 16) for body in (pki.issuing_oca.der, pki.issuing_dca.der, BODY)]
    )
    assert len({by_root_oca, by_root_dca, by_nobody}) == 3


def test_no_certificate_has_no_key() -> None:
    assert keys_of([]) == []
