from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from asn1crypto import algos, core, crl, parser
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from builders import look_alikes
from smki.certificates.der import contents, only
from smki.certificates.reading import is_revocation_list, read_certificate
from smki.certificates.signatures import signature_verifies
from smki.errors import RevocationListRefusedError
from smki.kinds.revocation.reading import Entry, read_revocation_list
from smki_demo.generator.pki import Pki
from smki_demo.generator.revocation import CRL_VALIDITY, Revoked, revocation_list

AT = datetime(2026, 7, 1, 12, tzinfo=UTC)
SERIAL = b"\x71" * 16
Builder = x509.CertificateRevocationListBuilder
Rebuild = Callable[[Builder], Builder]


def signed(pki: Pki, revoked: tuple[Revoked, ...] = (), number: int = 7) -> bytes:
    return revocation_list(pki.issuing_oca, number, AT, AT + CRL_VALIDITY, revoked)


def odd(pki: Pki, rebuild: Rebuild, *, number: bool = True) -> bytes:
    """A list of the Issuing OCA with something unusual in it, properly signed."""
    builder = Builder(pki.issuing_oca.name, AT, AT + CRL_VALIDITY)
    if number:
        builder = builder.add_extension(x509.CRLNumber(7), critical=False)
    return rebuild(builder).sign(pki.issuing_oca.key, SHA256()).public_bytes(Encoding.DER)


def with_entry(extension: x509.ExtensionType, *, critical: bool = False) -> Rebuild:
    entry = x509.RevokedCertificateBuilder(5, AT).add_extension(extension, critical=critical).build()
    return lambda builder: builder.add_revoked_certificate(entry)


def scope(**chosen: object) -> Rebuild:
    fields: dict[str, object] = dict.fromkeys(("full_name", "relative_name", "only_some_reasons"))
    fields |= dict.fromkeys(
        ("only_contains_user_certs", "only_contains_ca_certs", "indirect_crl", "only_contains_attribute_certs"), False
    )
    point = x509.IssuingDistributionPoint(**fields | chosen)  # type: ignore[arg-type]
    return lambda builder: builder.add_extension(point, critical=True)


def with_null_parameters(der: bytes) -> bytes:
    parsed = crl.CertificateList.load(der)
    parsed.native  # noqa: B018  # parsed, so that a forced dump writes what is changed
    algorithm = algos.SignedDigestAlgorithm.load(bytes.fromhex("300c06082a8648ce3d0403020500"))
    parsed["tbs_cert_list"]["signature"] = algorithm
    parsed["signature_algorithm"] = algorithm.copy()
    changed: bytes = parsed.dump(force=True)
    return changed


def test_fields_are_those_of_the_list(pki: Pki) -> None:
    fields = read_revocation_list(
        signed(pki, (Revoked(SERIAL, AT - timedelta(hours=2), x509.ReasonFlags.key_compromise), Revoked(b"\1", AT)))
    )
    assert fields.issuer == pki.issuing_oca.name.public_bytes()
    assert (fields.number, fields.this_update, fields.next_update) == (7, AT, AT + CRL_VALIDITY)
    assert fields.entries == (
        Entry(SERIAL, AT - timedelta(hours=2), "key compromise"),
        Entry(b"\1", AT, "unspecified"),
    )
    assert "7 of Common Name: OCA1" in str(fields)


def test_serial_numbers_are_those_that_certificates_have(pki: Pki, signed: list[bytes]) -> None:
    serial = read_certificate(signed[10]).serial_number
    (entry,) = read_revocation_list(
        revocation_list(pki.issuing_oca, 1, AT, AT + CRL_VALIDITY, [Revoked(serial, AT)])
    ).entries
    assert entry.serial_number == serial


def test_empty_list_has_no_entries(pki: Pki) -> None:
    assert read_revocation_list(signed(pki)).entries == ()


def test_signature_verifies_under_its_issuers_key_only(pki: Pki) -> None:
    der = signed(pki)
    assert signature_verifies(der, pki.issuing_oca.key.public_key())
    assert not signature_verifies(der, pki.root_oca.key.public_key())
    assert not signature_verifies(der[:-1] + bytes([der[-1] ^ 1]), pki.issuing_oca.key.public_key())


def test_null_parameters_of_the_signature_algorithm_are_tolerated(pki: Pki) -> None:
    der = with_null_parameters(signed(pki, (Revoked(SERIAL, AT),)))
    with pytest.raises(ValueError, match="ExtraData"):
        x509.load_der_x509_crl(der)
    assert read_revocation_list(der).number == 7
    parsed = crl.CertificateList.load(der)
    parsed["signature"] = pki.issuing_oca.key.sign(parsed["tbs_cert_list"].dump(), ec.ECDSA(SHA256()))
    assert signature_verifies(parsed.dump(), pki.issuing_oca.key.public_key())


@pytest.mark.parametrize(
    ("rebuild", "says"),
    [
        (lambda b: b.add_extension(x509.DeltaCRLIndicator(6), critical=True), "delta CRL"),
        (scope(indirect_crl=True), "indirect, for some reasons only"),
        (scope(only_contains_attribute_certs=True), "attribute certificates"),
        (scope(only_some_reasons=frozenset([x509.ReasonFlags.superseded])), "indirect, for some reasons only"),
        (
            lambda b: b.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), critical=True
            ),
            "not known here: 1.2.3.4",
        ),
        (with_entry(x509.CRLReason(x509.ReasonFlags.certificate_hold)), "status R is final, and a hold is not"),
        (with_entry(x509.CRLReason(x509.ReasonFlags.remove_from_crl)), "entry 05: its reason is remove from crl"),
        (
            with_entry(x509.CertificateIssuer([x509.DirectoryName(x509.Name([]))]), critical=True),
            "entry 05: it states a certificate issuer",
        ),
    ],
)
def test_list_that_is_not_complete_and_final_is_refused(pki: Pki, rebuild: Rebuild, says: str) -> None:
    with pytest.raises(RevocationListRefusedError, match=says):
        read_revocation_list(odd(pki, rebuild))


def test_list_without_a_crl_number_is_refused(pki: Pki) -> None:
    with pytest.raises(RevocationListRefusedError, match="no CRL number"):
        read_revocation_list(odd(pki, lambda builder: builder, number=False))


def test_list_without_next_update_is_refused(pki: Pki) -> None:
    parsed = crl.CertificateList.load(signed(pki))
    parsed.native  # noqa: B018  # parsed, so that a forced dump writes what is changed
    del parsed["tbs_cert_list"]["next_update"]
    with pytest.raises(RevocationListRefusedError, match="no nextUpdate"):
        read_revocation_list(parsed.dump(force=True))


def with_entries(pki: Pki, *entries: bytes) -> bytes:
    """A list with these entries (DER), properly signed: libraries write only what they like."""
    der = signed(pki, (Revoked(SERIAL, AT),))
    body, algorithm, _ = contents(der, only(der), 0x30)
    parts = contents(der, body, 0x30)
    revoked = parts[5]
    tbs = der[body.content : revoked.start] + tlv(0x30, *entries) + der[revoked.end : body.end]
    return signed_again(pki, tlv(0x30, tbs), der[algorithm.start : algorithm.end])


def signed_again(pki: Pki, tbs: bytes, algorithm: bytes) -> bytes:
    signature = pki.issuing_oca.key.sign(tbs, ec.ECDSA(SHA256()))
    return tlv(0x30, tbs, algorithm, tlv(3, b"\0", signature))


def tlv(tag: int, *parts: bytes) -> bytes:
    encoded: bytes = parser.emit(tag >> 6, tag >> 5 & 1, tag & 0x1F, b"".join(parts))
    return encoded


UTC_TIME = tlv(0x17, b"260701120000Z")


def entry(serial: bytes = b"\x05", time: bytes = UTC_TIME, *extensions: bytes) -> bytes:
    return tlv(0x30, tlv(2, serial), time, *([tlv(0x30, *extensions)] if extensions else ()))


def extension(oid: str, value: bytes, *critical: bytes) -> bytes:
    return tlv(0x30, core.ObjectIdentifier(oid).dump(), *critical, tlv(4, value))


CRITICAL, NOT_CRITICAL = tlv(1, b"\xff"), tlv(1, b"\0")


def reason(code: int, *critical: bytes) -> bytes:
    return extension("2.5.29.21", tlv(10, code.to_bytes(2, signed=True).lstrip(b"\0") or b"\0"), *critical)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (entry(b"\0\0\x05"), Entry(b"\5", AT, "unspecified")),
        (entry(b"\0" + b"\xff" * 20), Entry(b"\xff" * 20, AT, "unspecified")),
        (entry(b"\5", tlv(0x18, b"20260701120000Z")), Entry(b"\5", AT, "unspecified")),
        (entry(b"\5", tlv(0x18, b"20510701120000Z")), Entry(b"\5", AT.replace(year=2051), "unspecified")),
        (entry(b"\5", tlv(0x17, b"990701120000Z")), Entry(b"\5", AT.replace(year=1999), "unspecified")),
        (entry(b"\5", UTC_TIME, reason(0)), Entry(b"\5", AT, "unspecified")),
        (entry(b"\5", UTC_TIME, reason(10)), Entry(b"\5", AT, "aa compromise")),
        *((entry(b"\5", UTC_TIME, reason(code)), Entry(b"\5", AT, "unspecified")) for code in (7, 11, 200, -56)),
        (entry(b"\5", UTC_TIME, reason(1, NOT_CRITICAL)), Entry(b"\5", AT, "key compromise")),
        (entry(b"\5", UTC_TIME, reason(1, CRITICAL)), Entry(b"\5", AT, "key compromise")),
        (entry(b"\5", UTC_TIME, extension("1.2.3.4", b"\5\0"), reason(4)), Entry(b"\5", AT, "superseded")),
        (entry(b"\5", UTC_TIME, extension("2.5.29.23", b"\6\0")), Entry(b"\5", AT, "unspecified")),
    ],
)
def test_entry_that_rfc_5280_allows_is_read_though_libraries_refuse_some(pki: Pki, written: bytes, read: Entry) -> None:
    der = with_entries(pki, written)
    assert read_revocation_list(der).entries == (read,)
    assert signature_verifies(der, pki.issuing_oca.key.public_key())


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (entry(b""), "serial number"),
        (entry(b"\0"), "serial number"),
        (entry(b"\x85"), "serial number"),
        (entry(b"\1" * 21), "serial number"),
        (entry(b"\1" * 3000), "serial number"),
        (entry(b"\5", tlv(0x17, b"2607011200Z")), "time"),
        (entry(b"\5", tlv(0x17, b"260701120000+0100")), "time"),
        (entry(b"\5", tlv(0x17, b"260231120000Z")), "time"),
        (entry(b"\5", tlv(0x18, b"20260701120000.5Z")), "time"),
        (entry(b"\5", tlv(0x17, b"20260701120000Z")), "time"),
        (entry(b"\5", UTC_TIME, reason(7, CRITICAL)), "reason code is 7"),
        (entry(b"\5", UTC_TIME, reason(6)), "a hold is not"),
        (entry(b"\5", UTC_TIME, reason(1), reason(1)), "more than once"),
        (entry(b"\5", UTC_TIME, extension("2.5.29.21", b"\4\1\1")), "cannot be read"),
        (entry(b"\5", UTC_TIME, extension("1.2.3.4", b"\5\0", CRITICAL)), "not known here: 1.2.3.4"),
    ],
)
def test_entry_that_rfc_5280_forbids_refuses_the_list_by_its_serial_number(pki: Pki, written: bytes, says: str) -> None:
    with pytest.raises(RevocationListRefusedError, match=says) as error:
        read_revocation_list(with_entries(pki, entry(b"\x71"), written))
    assert error.value.item.startswith("revocation list, entry ")
    assert not error.value.item.endswith("71")


def test_empty_sequence_of_entries_is_an_empty_list(pki: Pki) -> None:
    der = with_entries(pki)
    assert read_revocation_list(der).entries == ()
    assert signature_verifies(der, pki.issuing_oca.key.public_key())


def test_key_that_signed_is_stated_where_the_list_has_its_identifier(pki: Pki) -> None:
    assert read_revocation_list(signed(pki)).issuer_key == pki.issuing_oca.key_identifier
    assert read_revocation_list(odd(pki, lambda builder: builder)).issuer_key is None


def test_list_that_holds_a_serial_number_twice_is_refused_by_that_number(pki: Pki) -> None:
    with pytest.raises(RevocationListRefusedError, match=f"{SERIAL.hex()}: it stands on the list more than once"):
        read_revocation_list(signed(pki, (Revoked(SERIAL, AT), Revoked(SERIAL, AT))))


def test_another_signature_algorithm_is_refused(pki: Pki) -> None:
    builder = Builder(pki.issuing_oca.name, AT, AT + CRL_VALIDITY).add_extension(x509.CRLNumber(1), critical=False)
    with pytest.raises(RevocationListRefusedError, match="not ecdsa-with-SHA256"):
        read_revocation_list(builder.sign(pki.issuing_oca.key, SHA384()).public_bytes(Encoding.DER))


@pytest.mark.parametrize("cut", [0, 1, 2, 40, 150, -1])
def test_list_that_is_cut_off_is_refused(pki: Pki, cut: int) -> None:
    with pytest.raises(RevocationListRefusedError, match="no revocation list"):
        read_revocation_list(signed(pki, (Revoked(SERIAL, AT),))[:cut])


@given(octets=st.binary(max_size=300))
def test_garbage_is_refused_and_never_breaks_the_reader(octets: bytes) -> None:
    assert not is_revocation_list(octets)
    with pytest.raises(RevocationListRefusedError):
        read_revocation_list(octets)


@given(where=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_damage_anywhere_is_refused_or_breaks_the_signature(pki: Pki, where: int, bit: int) -> None:
    der = signed(pki, (Revoked(SERIAL, AT, x509.ReasonFlags.key_compromise),))
    position = where % len(der)
    damaged = der[:position] + bytes([der[position] ^ 1 << bit]) + der[position + 1 :]
    try:
        read_revocation_list(damaged)
    except RevocationListRefusedError:
        return
    assert not signature_verifies(damaged, pki.issuing_oca.key.public_key())


def test_lists_are_told_from_certificates(pki: Pki, signed: list[bytes]) -> None:
    body = revocation_list(pki.root_oca, 1, AT, AT + CRL_VALIDITY)
    assert is_revocation_list(body)
    assert not any(is_revocation_list(certificate) for certificate in [*signed, *look_alikes(2), b"", body[:20]])
