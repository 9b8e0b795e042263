import itertools
from collections import Counter
from collections.abc import Iterable

import pyarrow as pa
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from smki.certificates.model import CertificateClass, CertificateFields, Usage
from smki.certificates.reading import read_certificate
from smki_demo.generator.volume import volume_bodies

COUNT = 3_000
SEED = 147


@pytest.fixture(scope="module")
def bodies() -> list[bytes]:
    return flat(volume_bodies(COUNT, seed=SEED, batch=1_024))


@pytest.fixture(scope="module")
def fields(bodies: list[bytes]) -> list[CertificateFields]:
    return [read_certificate(body) for body in bodies]


def flat(batches: Iterable[pa.BinaryArray]) -> list[bytes]:
    return [body for batch in batches for body in batch.to_pylist()]


def test_lenient_and_strict_parsers_read_every_look_alike(fields: list[CertificateFields]) -> None:
    assert len(fields) == COUNT
    assert {read.certificate_class for read in fields} == {CertificateClass.DEVICE}
    assert {read.note for read in fields} == {None}  # what a strict parser objects to


def test_der_is_exactly_as_long_as_it_says(bodies: list[bytes]) -> None:
    for body in bodies:
        assert body[:2] == b"\x30\x82"
        assert int.from_bytes(body[2:4]) == len(body) - 4


def test_serial_numbers_are_unique_and_have_16_bytes(fields: list[CertificateFields]) -> None:
    serials = {read.serial_number for read in fields}
    assert len(serials) == COUNT
    assert {len(serial) for serial in serials} == {16}


def test_serial_numbers_differ_between_seeds(fields: list[CertificateFields]) -> None:
    others = {read_certificate(body).serial_number for body in flat(volume_bodies(COUNT, seed=SEED + 1))}
    assert others.isdisjoint(read.serial_number for read in fields)


def test_device_has_its_two_certificates_side_by_side(fields: list[CertificateFields]) -> None:
    pairs = list(zip(fields[::2], fields[1::2], strict=True))
    assert all(signature.eui64 == agreement.eui64 for signature, agreement in pairs)
    assert {(signature.usage, agreement.usage) for signature, agreement in pairs} == {
        (Usage.DIGITAL_SIGNATURE, Usage.KEY_AGREEMENT)
    }
    assert len({signature.eui64 for signature, _ in pairs}) == COUNT // 2


def test_lengths_are_those_of_real_certificates_and_mixed(bodies: list[bytes]) -> None:
    lengths = [len(body) for body in bodies]
    assert set(lengths) == set(range(415, 422))
    runs = sum(1 for _ in itertools.groupby(lengths))
    assert runs > COUNT / 2


def test_signature_integers_take_33_bytes_half_of_the_time(bodies: list[bytes]) -> None:
    signatures = [decode_dss_signature(x509.load_der_x509_certificate(body).signature) for body in bodies]
    long = Counter((r >> 255, s >> 255) for r, s in signatures)
    assert all(COUNT / 5 < long[key] < COUNT / 3 for key in itertools.product((0, 1), repeat=2))


def test_look_alikes_are_marked_and_signed_by_nobody(bodies: list[bytes]) -> None:
    certificates = [x509.load_der_x509_certificate(body) for body in bodies[:20]]
    assert {certificate.issuer.rfc4514_string() for certificate in certificates} == {"CN=LOOK,OU=TEST VOLUME"}
    key = ec.derive_private_key(1, ec.SECP256R1()).public_key()  # the template's
    for certificate in certificates:
        with pytest.raises(InvalidSignature):
            key.verify(certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(SHA256()))


def test_same_seed_gives_the_same_bytes(bodies: list[bytes]) -> None:
    assert flat(volume_bodies(COUNT, seed=SEED, batch=1_024)) == bodies


def test_last_batch_holds_the_rest() -> None:
    assert [len(batch) for batch in volume_bodies(25, seed=SEED, batch=10)] == [10, 10, 5]


@pytest.mark.parametrize("batch", [0, -1, 10_000_000])
def test_batch_that_no_array_can_hold_is_refused(batch: int) -> None:
    with pytest.raises(ValueError, match="a batch has"):
        next(volume_bodies(1, seed=SEED, batch=batch))
