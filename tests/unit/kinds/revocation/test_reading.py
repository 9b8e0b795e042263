from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from asn1crypto import algos, crl
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from builders import look_alikes
from smki.certificates.reading import is_revocation_list, read_certificate
from smki.errors import RevocationListRefusedError
from smki.kinds.revocation.reading import Entry, read_revocation_list, signature_verifies
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
    assert signature_verifies(der, pki.issuing_oca.der)
    assert not signature_verifies(der, pki.root_oca.der)
    assert not signature_verifies(der[:-1] + bytes([der[-1] ^ 1]), pki.issuing_oca.der)


def test_null_parameters_of_the_signature_algorithm_are_tolerated(pki: Pki) -> None:
    der = with_null_parameters(signed(pki, (Revoked(SERIAL, AT),)))
    with pytest.raises(ValueError, match="ExtraData"):
        x509.load_der_x509_crl(der)
    assert read_revocation_list(der).number == 7
    parsed = crl.CertificateList.load(der)
    parsed["signature"] = pki.issuing_oca.key.sign(parsed["tbs_cert_list"].dump(), ec.ECDSA(SHA256()))
    assert signature_verifies(parsed.dump(), pki.issuing_oca.der)


@pytest.mark.parametrize(
    ("rebuild", "says"),
    [
        (lambda b: b.add_extension(x509.DeltaCRLIndicator(6), critical=True), "delta CRL"),
        (scope(indirect_crl=True), "indirect or for some reasons only"),
        (scope(only_some_reasons=frozenset([x509.ReasonFlags.superseded])), "indirect or for some reasons only"),
        (
            lambda b: b.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), critical=True
            ),
            "not known here: 1.2.3.4",
        ),
        (with_entry(x509.CRLReason(x509.ReasonFlags.certificate_hold)), "status R is final, and a hold is not"),
        (with_entry(x509.CRLReason(x509.ReasonFlags.remove_from_crl)), "remove_from_crl"),
        (
            with_entry(x509.CertificateIssuer([x509.DirectoryName(x509.Name([]))]), critical=True),
            "not known here: certificate_issuer",
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


def test_list_that_holds_a_serial_number_twice_is_refused(pki: Pki) -> None:
    with pytest.raises(RevocationListRefusedError, match="more than once"):
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
    assert not signature_verifies(damaged, pki.issuing_oca.der)


def test_lists_are_told_from_certificates(pki: Pki, signed: list[bytes]) -> None:
    body = revocation_list(pki.root_oca, 1, AT, AT + CRL_VALIDITY)
    assert is_revocation_list(body)
    assert not any(is_revocation_list(certificate) for certificate in [*signed, *look_alikes(2), b"", body[:20]])
