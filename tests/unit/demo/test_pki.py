from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asn1crypto import parser
from asn1crypto import x509 as lenient_x509
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from smki.certificates.model import CertificateClass, Usage
from smki.certificates.reading import read_certificate
from smki.errors import ConfigurationError
from smki_demo.generator.pki import ORGANISATIONS, Pki, Role, _subject_key_identifier, organisations

REAL = Path(__file__).parents[3].parent / "shared" / "certificates"
VALID_FROM = datetime(2015, 10, 30, tzinfo=UTC)
EUI64 = bytes.fromhex("88738457002F966C")
CONSTRUCTED = 1
DIGITAL_SIGNATURE, KEY_AGREEMENT = b"\x03\x02\x07\x80", b"\x03\x02\x03\x08"  # key usage as BIT STRING

needs_real_certificates = pytest.mark.skipif(
    not REAL.is_dir(), reason="the public test certificates are not beside the project"
)


@pytest.fixture(scope="module")
def pki() -> Pki:
    return Pki.create(VALID_FROM)


@pytest.fixture(scope="module")
def issued(pki: Pki) -> list[x509.Certificate]:
    bodies = [*organisations(pki, VALID_FROM), *pki.device_certificates(EUI64, VALID_FROM)]
    return [x509.load_der_x509_certificate(body) for body in [*pki.ca_certificates(), *bodies]]


def read_real(pattern: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(REAL.glob(pattern))]


def extension_list(body: bytes) -> list[tuple[x509.ObjectIdentifier, bool]]:
    return [(extension.oid, extension.critical) for extension in x509.load_der_x509_certificate(body).extensions]


def structure(value: bytes) -> list[object]:
    """Classes and tags of nested DER, without contents."""
    found: list[object] = []
    while value:
        class_, method, tag, header, content, trailer = parser.parse(value, strict=False)
        found.append((class_, tag, structure(content) if method == CONSTRUCTED else None))
        value = value[len(header) + len(content) + len(trailer) :]
    return found


def structure_of(body: bytes, *parts: str) -> list[object]:
    certificate = lenient_x509.Certificate.load(body)["tbs_certificate"]
    return [structure(certificate[part].dump()) for part in parts]


def serial_bytes(certificate: x509.Certificate) -> bytes:
    tbs = lenient_x509.TbsCertificate.load(certificate.tbs_certificate_bytes)
    return bytes(tbs["serial_number"].contents)


def policies(body: bytes) -> x509.CertificatePolicies:
    return x509.load_der_x509_certificate(body).extensions.get_extension_for_class(x509.CertificatePolicies).value


def key_usage(body: bytes) -> bytes:
    return x509.load_der_x509_certificate(body).extensions.get_extension_for_class(x509.KeyUsage).value.public_bytes()


def test_signatures_verify_up_to_the_roots(pki: Pki, issued: list[x509.Certificate]) -> None:
    authorities = {authority.name: authority.certificate for authority in pki.authorities}
    for certificate in issued:
        certificate.verify_directly_issued_by(authorities[certificate.issuer])
    roots = [certificate for certificate in issued if certificate.issuer == certificate.subject]
    assert roots == [pki.root_oca.certificate, pki.root_dca.certificate]


def test_ca_certificates_come_root_before_issuing_and_oca_before_dca(pki: Pki) -> None:
    read = [read_certificate(body) for body in pki.ca_certificates()]
    assert [fields.common_name for fields in read] == ["OCA0", "OCA1", "DCA0", "DCA1"]
    assert {fields.certificate_class for fields in read} == {None}
    assert [root.certificate_class for root in pki.trusted_roots] == [CertificateClass.OCA, CertificateClass.DCA]


def test_ca_signs_certificates_and_revocation_lists_and_nothing_else(pki: Pki) -> None:
    for authority, role, path_length in zip(pki.authorities, ("00", "07") * 2, (1, 0) * 2, strict=True):
        extensions = authority.certificate.extensions
        usage = extensions.get_extension_for_class(x509.KeyUsage)
        assert usage.critical
        assert usage.value.public_bytes() == b"\x03\x02\x01\x06"  # keyCertSign, cRLSign
        constraints = extensions.get_extension_for_class(x509.BasicConstraints)
        assert constraints.critical
        assert constraints.value == x509.BasicConstraints(ca=True, path_length=path_length)
        units = authority.name.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
        assert [unit.value for unit in units] == [role]


def test_every_certificate_has_the_common_profile(issued: list[x509.Certificate]) -> None:
    for certificate in issued:
        assert certificate.serial_number > 0
        assert len(serial_bytes(certificate)) == 16
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert isinstance(key.curve, ec.SECP256R1)
        assert certificate.signature_algorithm_oid == x509.SignatureAlgorithmOID.ECDSA_WITH_SHA256
        assert certificate.extensions.get_extension_for_class(x509.CertificatePolicies).critical
    assert len({certificate.serial_number for certificate in issued}) == len(issued)


def test_key_identifiers_have_8_bytes_and_lead_to_the_issuer(pki: Pki, issued: list[x509.Certificate]) -> None:
    identifiers = {authority.name: authority.key_identifier for authority in pki.authorities}
    assert {len(identifier) for identifier in identifiers.values()} == {8}
    for certificate in issued:
        if certificate.issuer != certificate.subject:
            authority = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
            assert authority.value.key_identifier == identifiers[certificate.issuer]
            assert not authority.critical


def test_every_role_but_the_ca_roles_has_its_organisations(pki: Pki) -> None:
    read = [read_certificate(body) for body in organisations(pki, VALID_FROM)]
    assert {fields.role for fields in read} == set(Role) - {Role.ROOT, Role.ISSUING_AUTHORITY}
    assert {fields.certificate_class for fields in read} == {CertificateClass.ORGANISATION}
    count = Counter(organisation.role for organisation in ORGANISATIONS)
    assert (count[Role.WAN_PROVIDER], count[Role.SUPPLIER]) == (2, 3)


def test_supplier_has_a_second_key_agreement_certificate_for_top_up(pki: Pki) -> None:
    read = [read_certificate(body) for body in organisations(pki, VALID_FROM)]
    usages = Counter((fields.eui64, fields.usage) for fields in read if fields.role == Role.SUPPLIER)
    assert sorted(usages.values()) == [1, 1, 1, 2, 2, 2]
    assert {usage for (_, usage), count in usages.items() if count == 2} == {Usage.KEY_AGREEMENT}


def test_organisation_role_is_two_upper_case_hex_digits(pki: Pki) -> None:
    body = pki.organisation_certificate(Role.OTHER, Usage.DIGITAL_SIGNATURE, EUI64, VALID_FROM)
    subject = x509.load_der_x509_certificate(body).subject
    assert subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)[0].value == "7F"


def test_organisation_identifier_is_a_bit_string_of_the_eui64(pki: Pki) -> None:
    body = pki.organisation_certificate(Role.SUPPLIER, Usage.KEY_AGREEMENT, EUI64, VALID_FROM, "SOMEBODY")
    assert bytes.fromhex("0603 55042D 0309 00") + EUI64 in body
    assert read_certificate(body).common_name == "SOMEBODY"


def test_organisation_certificate_is_valid_for_ten_years(pki: Pki) -> None:
    body = pki.organisation_certificate(Role.SUPPLIER, Usage.DIGITAL_SIGNATURE, EUI64, VALID_FROM)
    assert read_certificate(body).not_after == datetime(2025, 10, 29, 23, 59, 59, tzinfo=UTC)


def test_device_subject_is_empty(pki: Pki) -> None:
    for body in pki.device_certificates(EUI64, VALID_FROM):
        assert not list(x509.load_der_x509_certificate(body).subject)


def test_device_has_a_certificate_for_each_usage_with_its_eui64(pki: Pki) -> None:
    signature, agreement = (read_certificate(body) for body in pki.device_certificates(EUI64, VALID_FROM))
    assert (signature.usage, agreement.usage) == (Usage.DIGITAL_SIGNATURE, Usage.KEY_AGREEMENT)
    assert signature.eui64 == agreement.eui64 == EUI64


def test_device_certificate_never_ends(pki: Pki) -> None:
    for body in pki.device_certificates(EUI64, VALID_FROM):
        assert body.count(b"\x18\x0f99991231235959Z") == 1


def test_device_certificate_is_as_long_as_a_real_one(pki: Pki) -> None:
    lengths = {len(body) for _ in range(50) for body in pki.device_certificates(EUI64, VALID_FROM)}
    assert lengths <= set(range(413, 422))  # 413 and 414 only where r or s begins with a zero byte


@needs_real_certificates
@pytest.mark.parametrize("usage", [DIGITAL_SIGNATURE, KEY_AGREEMENT], ids=["signature", "agreement"])
def test_device_certificate_has_the_structure_of_a_real_one(pki: Pki, usage: bytes) -> None:
    (real,) = (body for body in read_real("device-*.der") if key_usage(body) == usage)
    (made,) = (body for body in pki.device_certificates(EUI64, VALID_FROM) if key_usage(body) == usage)
    assert extension_list(made) == extension_list(real)
    assert policies(made) == policies(real)
    parts = ("version", "signature", "validity", "subject", "subject_public_key_info", "extensions")
    assert structure_of(made, *parts) == structure_of(real, *parts)
    assert hardware_module_name(made) == hardware_module_name(real)


def hardware_module_name(body: bytes) -> tuple[x509.ObjectIdentifier, list[object]]:
    names = x509.load_der_x509_certificate(body).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    (name,) = names
    assert isinstance(name, x509.OtherName)
    assert name.value.endswith(EUI64)
    return name.type_id, structure(name.value)


@needs_real_certificates
@pytest.mark.parametrize("common_name", [None, "GITTESTSUPPLIER"])
def test_organisation_certificate_has_the_structure_of_a_real_one(pki: Pki, common_name: str | None) -> None:
    (real,) = (body for body in read_real("Z1-supplier-*.der") if read_certificate(body).common_name == common_name)
    fields = read_certificate(real)
    assert fields.usage is not None
    assert fields.eui64 is not None
    made = pki.organisation_certificate(Role.SUPPLIER, fields.usage, fields.eui64, VALID_FROM, common_name)
    assert extension_list(made) == extension_list(real)
    assert policies(made) == policies(real)
    assert key_usage(made) == key_usage(real)
    assert lenient_x509.Certificate.load(made).subject.dump() == lenient_x509.Certificate.load(real).subject.dump()
    assert read_certificate(made).not_after == fields.not_after
    parts = ("version", "signature", "validity", "subject", "subject_public_key_info", "extensions")
    assert structure_of(made, *parts) == structure_of(real, *parts)


@needs_real_certificates
def test_key_identifiers_are_made_as_in_real_certificates() -> None:
    real = [x509.load_der_x509_certificate(body) for body in read_real("Z1-*.der")]
    assert real
    for certificate in real:
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        assert _subject_key_identifier(key) == identifier


def test_saved_pki_signs_on_after_loading(pki: Pki, tmp_path: Path) -> None:
    pki.save(tmp_path / "pki")
    loaded = Pki.load(tmp_path / "pki")
    assert loaded.ca_certificates() == pki.ca_certificates()
    body, _ = loaded.device_certificates(EUI64, VALID_FROM)
    x509.load_der_x509_certificate(body).verify_directly_issued_by(pki.issuing_dca.certificate)


def test_saved_keys_are_the_owners_alone(pki: Pki, tmp_path: Path) -> None:
    pki.save(tmp_path)
    modes = [path.stat().st_mode & 0o777 for path in tmp_path.glob("*.key.pem")]
    assert modes == [0o600] * 4


def test_saved_pki_is_not_overwritten(pki: Pki, tmp_path: Path) -> None:
    pki.save(tmp_path)
    with pytest.raises(FileExistsError):
        Pki.create(VALID_FROM).save(tmp_path)
    assert Pki.load(tmp_path).ca_certificates() == pki.ca_certificates()


def test_key_of_another_ca_is_refused(pki: Pki, tmp_path: Path) -> None:
    pki.save(tmp_path)
    (tmp_path / "issuing-oca.key.pem").write_bytes((tmp_path / "root-oca.key.pem").read_bytes())
    with pytest.raises(ConfigurationError, match=r"issuing-oca\.key\.pem"):
        Pki.load(tmp_path)
