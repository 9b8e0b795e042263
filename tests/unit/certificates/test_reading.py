import re
from datetime import UTC, datetime

import pytest
from cryptography import x509 as strict_x509
from cryptography.x509.oid import NameOID
from hypothesis import example, given
from hypothesis import strategies as st

from builders import look_alikes
from made_certificates import name, self_made, with_not_after, with_not_before, with_null_parameters, with_serial
from smki.certificates.model import CertificateClass, CertificateFields, Usage, eui64_text
from smki.certificates.reading import holds_armoured_key, is_private_key, read_certificate
from smki.errors import CertificateRefusedError, PrivateKeyRefusedError

ROLES = {
    "recovery": 1,
    "supplier": 2,
    "supplier2": 2,
    "supplierPP": 2,
    "supplier2PP": 2,
    "networkOperator": 3,
    "accessControlBroker": 4,
    "transitionalCoS": 5,
    "wanProvider": 6,
    "xml-sign": 135,
    "dsp-xml-sign": 137,
}
EUI64 = b"\x90\xb3\xd5\x1f\x30\x00\x00\x02"
ORGANISATION = look_alikes(1)[0]


def test_every_real_certificate_is_read_as_another_parser_reads_it(real_certificates: dict[str, bytes]) -> None:
    for file, body in real_certificates.items():
        fields, other = read_certificate(body), strict_x509.load_der_x509_certificate(body)
        assert int.from_bytes(fields.serial_number) == other.serial_number
        assert fields.issuer == other.issuer.public_bytes()
        assert fields.not_after == other.not_valid_after_utc
        usage = other.extensions.get_extension_for_class(strict_x509.KeyUsage).value
        assert (fields.usage is Usage.DIGITAL_SIGNATURE) == usage.digital_signature
        assert (fields.usage is Usage.KEY_AGREEMENT) == usage.key_agreement
        assert fields.note is None, file


def test_every_real_certificate_is_what_its_file_name_says(real_certificates: dict[str, bytes]) -> None:
    for file, body in real_certificates.items():
        fields = read_certificate(body)
        if device := re.fullmatch(r"device-(\w{16})_(?:ds|ka)\.der", file):
            assert fields.certificate_class is CertificateClass.DEVICE
            assert (fields.role, fields.eui64) == (None, bytes.fromhex(device[1]))
            assert fields.not_after == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
        else:
            said = re.fullmatch(r"(?:Z1b?-)?([\w-]+?)(?:-(\w{16}))?-(ds|ka)-(\w{32})\.der", file)
            assert said is not None, file
            assert fields.certificate_class is CertificateClass.ORGANISATION
            assert fields.role == ROLES[said[1]]
            assert fields.usage == said[3].upper()
            assert fields.serial_number == bytes.fromhex(said[4])
            assert said[2] is None or fields.eui64 == bytes.fromhex(said[2])


def test_signed_pki_is_read_as_made(signed: list[bytes]) -> None:
    fields = [read_certificate(body) for body in signed]
    assert [f.common_name for f in fields[:4]] == ["OCA0", "OCA1", "DCA0", "DCA1"]
    assert [f.certificate_class for f in fields[:4]] == [None] * 4
    assert all(f.usage is None and f.role is None and f.eui64 is None for f in fields[:4])
    assert all(f.eui64 and f.role is not None for f in fields[4:34])
    assert [f.certificate_class for f in fields[34:]] == ["DEVICE"] * 12
    assert [f.usage for f in fields[34:]] == ["DS", "KA"] * 6


def test_eui64_is_written_as_annex_b_writes_it() -> None:
    assert eui64_text(EUI64) == "90-B3-D5-1F-30-00-00-02"


@given(content=st.binary(max_size=600))
@example(content=b"")
@example(content=b"0\x80")
@example(content=b"0\x84\xff\xff\xff\xff")
@example(content=b"0\x80" * 400)
def test_arbitrary_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(CertificateRefusedError):
        read_certificate(content)


@given(data=st.data())
def test_changed_certificate_gives_fields_or_a_refusal_and_never_another_error(
    signed: list[bytes], data: st.DataObject
) -> None:
    body = bytearray(data.draw(st.sampled_from(signed)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        what = data.draw(st.sampled_from(["flip", "drop", "insert"]))
        if what == "flip":
            body[at] ^= data.draw(st.integers(1, 255))
        elif what == "drop":
            del body[at : at + data.draw(st.integers(1, 9))]
        else:
            body[at:at] = data.draw(st.binary(min_size=1, max_size=9))
        if not body:
            return
    try:
        fields = read_certificate(bytes(body))
    except CertificateRefusedError:
        return
    assert isinstance(fields, CertificateFields)
    assert fields.serial_number
    assert fields.eui64 is None or len(fields.eui64) == 8
    assert fields.eui64 is not None or fields.common_name
    assert type(fields.not_after) is datetime


@pytest.mark.parametrize("which", [0, 10, -1])
def test_null_parameters_of_the_signature_algorithm_are_read_with_a_note(signed: list[bytes], which: int) -> None:
    body = with_null_parameters(signed[which])
    with pytest.raises(ValueError):  # noqa: PT011  # its text is its own affair
        strict_x509.load_der_x509_certificate(body)
    fields, usual = read_certificate(body), read_certificate(signed[which])
    assert (fields.serial_number, fields.issuer, fields.eui64) == (usual.serial_number, usual.issuer, usual.eui64)
    assert fields.note is not None
    assert fields.note.startswith("cryptography refuses it")


@pytest.mark.parametrize(
    ("contents", "serial"),
    [(b"\x00\x80", b"\x80"), (b"\x00\xff\x00", b"\xff\x00"), (b"\x01", b"\x01"), (b"\x7f" * 20, b"\x7f" * 20)],
)
def test_serial_number_is_kept_without_its_sign_byte(signed: list[bytes], contents: bytes, serial: bytes) -> None:
    assert read_certificate(with_serial(signed[-1], contents)).serial_number == serial


@pytest.mark.parametrize("contents", [b"", b"\x00", b"\x00\x00", b"\x80", b"\xff\x00"])
def test_serial_number_that_is_not_positive_is_refused(signed: list[bytes], contents: bytes) -> None:
    with pytest.raises(CertificateRefusedError):
        read_certificate(with_serial(signed[-1], contents))


def test_serial_number_of_more_than_20_bytes_is_refused(signed: list[bytes]) -> None:
    """RFC 5280, 4.1.2.2."""
    assert len(read_certificate(with_serial(signed[-1], b"\0" + b"\xff" * 20)).serial_number) == 20
    with pytest.raises(CertificateRefusedError, match="21 bytes"):
        read_certificate(with_serial(signed[-1], b"\1" * 21))


def test_certificate_beyond_the_limit_of_bytes_is_refused(signed: list[bytes]) -> None:
    with pytest.raises(CertificateRefusedError, match="65,536"):
        read_certificate(signed[-1] + bytes(1 << 16))


@pytest.mark.parametrize("common_name", ["OCA\u00a0Ü 1", "OCA 電", "OCA 👍", "OCA a\u00adb", "OCA\u202e"])
def test_letters_beyond_ascii_are_read(common_name: str) -> None:
    assert read_certificate(self_made(name("07", common_name))).common_name == common_name


@pytest.mark.parametrize("odd", ["000101000000Z", "20160229235959Z", "00010101000000Z", "00000101000000Z"])
def test_odd_date_of_its_start_does_not_matter(signed: list[bytes], odd: str) -> None:
    body = with_not_before(signed[-1], odd)
    assert read_certificate(body).serial_number == read_certificate(signed[-1]).serial_number


@pytest.mark.parametrize("end", ["00000101000000Z", "20251301000000Z", "00010101000000+0100"])
def test_end_that_no_calendar_has_is_refused(signed: list[bytes], end: str) -> None:
    with pytest.raises(CertificateRefusedError):
        read_certificate(with_not_after(signed[-1], end))


SIGNS = {"usages": ["digital_signature"], "ca": False}


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (self_made(name("07", "OCA\n")), "XML"),
        (self_made(name("07", "OCA\0")), "XML"),
        (self_made(name("02", None, EUI64), name("07", "OCA\0"), **SIGNS), "issuer's Name"),
        (self_made(name("02", None, EUI64), name("07", "O" * 2_048), **SIGNS), "issuer's Name"),
        (self_made(name("07", "OCA" * 700), name("07", "OCA")), "subject's Name"),
        (self_made(name("07", "OCA PRIVATE KEY")), "private key"),
        (self_made(name("02", "Somebody"), **SIGNS), "four classes"),
        (self_made(name(), **SIGNS), "hardwareModuleName"),
        (self_made(name("02", eui64=EUI64[:7]), **SIGNS), "EUI-64 of 8 bytes"),
        (self_made(name("02", eui64=EUI64 + b"9"), **SIGNS), "EUI-64 of 8 bytes"),
        (self_made(name(None, eui64=EUI64), **SIGNS), "remote party role"),
        (self_made(name("2", eui64=EUI64), **SIGNS), "remote party role"),
        (self_made(name("+2", eui64=EUI64), **SIGNS), "remote party role"),
        (self_made(name("٠٢", eui64=EUI64), **SIGNS), "remote party role"),
        (self_made(name("02", eui64=EUI64), ca=False, usages=[]), "digitalSignature"),
        (
            self_made(name("02", eui64=EUI64), ca=False, usages=["digital_signature", "key_agreement"]),
            "digitalSignature",
        ),
    ],
)
def test_certificate_of_no_known_profile_is_refused_with_the_rule(body: bytes, rule: str) -> None:
    with pytest.raises(CertificateRefusedError, match=rule):
        read_certificate(body)


@pytest.mark.parametrize("common_name", ["ABCD", "OCA1", "LOCAL DCA"])
def test_name_of_an_authority_says_nothing_of_its_class(common_name: str) -> None:
    assert read_certificate(self_made(name("07", common_name))).certificate_class is None


def test_ca_without_a_subject_to_publish_is_refused() -> None:
    with pytest.raises(CertificateRefusedError, match="EUI-64"):
        read_certificate(self_made(name("07")))


def test_several_identifiers_are_refused() -> None:
    identifier = next(iter(name(eui64=EUI64)))
    subject = strict_x509.Name([strict_x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "02"), *[identifier] * 8])
    with pytest.raises(CertificateRefusedError, match="EUI-64"):
        read_certificate(self_made(subject, **SIGNS))


@pytest.mark.parametrize(
    "start",
    ["308187020100301306072a8648ce3d0201", "30770201010420", "308204a40201000282010100", "30820a3b02010330820a05"],
    ids=["PKCS #8", "SEC 1", "PKCS #1", "PKCS #12"],
)
def test_what_is_left_of_a_private_key_is_refused_as_one(start: str) -> None:
    with pytest.raises(PrivateKeyRefusedError):
        read_certificate(bytes.fromhex(start) + b"\1" * 40)


@pytest.mark.parametrize(
    "armour",
    [
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN EC PRIVATE KEY-----",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----",
        "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----",
    ],
)
@pytest.mark.parametrize("encoding", ["ascii", "utf-16-le", "utf-16-be"])
def test_private_key_is_known_by_the_words_of_its_armour(armour: str, encoding: str) -> None:
    content = f"note\n{armour}\nMIG".encode(encoding)
    assert holds_armoured_key(content)
    assert is_private_key(content)


def test_public_key_is_no_private_key(signed: list[bytes]) -> None:
    assert not holds_armoured_key(b"-----BEGIN PUBLIC KEY-----")
    assert not any(is_private_key(body) for body in signed)
