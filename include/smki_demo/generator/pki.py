"""A made-up SMKI PKI that is really signed: Root and Issuing OCA, Root and Issuing DCA, and what they issue.

The profiles are those of the public test certificates (P-256, ecdsa-with-SHA256, one critical policy):

* CA: subject OU is the role (00 root, 07 issuing); CN has at most 4 characters and names the class (OCA0, OCA1, DCA0,
  DCA1); 50 and 25 years.
* Organisation: subject OU is the remote party role as two upper-case hex digits, x500UniqueIdentifier is the EUI-64,
  CN is optional; ten years.
* Device: empty subject, critical hardwareModuleName with the EUI-64, no end of validity (9999-12-31 23:59:59).

A key identifier is made by RFC 5280's second method: 0100 and the low 60 bits of the key's SHA-1. A serial number has
16 bytes. Keys of Organisations and Devices are thrown away once the certificate is signed: nobody needs them here.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.name import _ASN1Type  # the only way to say BIT STRING in a Name
from cryptography.x509.oid import NameOID

from smki.certificates.model import CertificateClass, Role, Usage
from smki.errors import ConfigurationError
from smki.repository.authorities import TrustedRoot


@dataclass(frozen=True, slots=True)
class Organisation:
    """One Organisation in one role."""

    role: Role
    eui64: bytes  # 8 bytes
    usages: tuple[Usage, ...]  # a certificate each
    common_name: str | None = None


ORGANISATION_VALIDITY = timedelta(days=3653, seconds=-1)  # ten years, to 23:59:59 of the last day
_ROOT_VALIDITY = timedelta(days=18_262)  # 50 years
_ISSUING_VALIDITY = timedelta(days=9_131)  # 25 years
_NO_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280, 4.1.2.5: no well-defined expiration date

_STEMS = ("root-oca", "issuing-oca", "root-dca", "issuing-dca")  # of the files, in the order of Pki's fields

_CURVE = ec.SECP256R1()
_HASH = SHA256()
_NOBODY = x509.Name([])
_HARDWARE_MODULE_NAME = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4")
# maker, model and hardware version under the arc for examples (2.999); as long as makes a body as long as a real one
_HARDWARE_TYPE = "2.999.8641679.3000000001.20260101.1"
_POLICY = x509.CertificatePolicies(
    [x509.PolicyInformation(x509.ObjectIdentifier("1.2.826.0.1.8641679.1.2.1.4"), None)]  # as the public test PKI
)


def _key_usage(*usages: str) -> x509.KeyUsage:
    known = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{usage: usage in usages for usage in known.split()})


_CA_KEY_USAGE = _key_usage("key_cert_sign", "crl_sign")
_KEY_USAGE = {
    Usage.DIGITAL_SIGNATURE: _key_usage("digital_signature"),
    Usage.KEY_AGREEMENT: _key_usage("key_agreement"),
}

_DS, _KA = Usage.DIGITAL_SIGNATURE, Usage.KEY_AGREEMENT


def _eui64(role: Role, number: int) -> bytes:
    """A locally administered EUI-64 that no maker owns: 02, "SMKI", the role, a number."""
    return b"\x02SMKI" + bytes([role]) + number.to_bytes(2)


_SUPPLIERS = [(_eui64(Role.SUPPLIER, number), f"SUPPLIER {letter}") for number, letter in enumerate("ABC", 1)]
_NETWORK_OPERATORS = [_eui64(Role.NETWORK_OPERATOR, number) for number in (1, 2)]
_BROKER = _eui64(Role.ACCESS_CONTROL_BROKER, 1)
_OTHER_USER = _eui64(Role.OTHER, 1)

# Every role that is not a CA. A supplier's second key agreement certificate is for pre-payment top-up.
ORGANISATIONS = (
    Organisation(Role.RECOVERY, _eui64(Role.RECOVERY, 1), (_DS,)),
    *(Organisation(Role.SUPPLIER, eui64, (_DS, _KA, _KA), name) for eui64, name in _SUPPLIERS),
    *(Organisation(Role.NETWORK_OPERATOR, eui64, (_DS, _KA)) for eui64 in _NETWORK_OPERATORS),
    Organisation(Role.ACCESS_CONTROL_BROKER, _BROKER, (_DS, _KA)),
    Organisation(Role.TRANSITIONAL_CHANGE_OF_SUPPLIER, _eui64(Role.TRANSITIONAL_CHANGE_OF_SUPPLIER, 1), (_DS,)),
    Organisation(Role.WAN_PROVIDER, _eui64(Role.WAN_PROVIDER, 1), (_DS,), "WAN NORTH"),
    Organisation(Role.WAN_PROVIDER, _eui64(Role.WAN_PROVIDER, 2), (_DS,), "WAN SOUTH"),
    Organisation(Role.LOAD_CONTROLLER, _eui64(Role.LOAD_CONTROLLER, 1), (_DS, _KA)),
    Organisation(Role.OTHER, _OTHER_USER, (_DS, _KA), "OTHER USER"),
    *(Organisation(Role.XML_SIGNING, eui64, (_DS,)) for eui64, _ in _SUPPLIERS),
    *(Organisation(Role.XML_SIGNING, eui64, (_DS,)) for eui64 in (*_NETWORK_OPERATORS, _OTHER_USER)),
    Organisation(Role.DSP_XML_SIGNING, _BROKER, (_DS,)),
)


@dataclass(frozen=True)
class Authority:
    """A certification authority: its certificate and the key that signs certificates and revocation lists for it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @cached_property
    def name(self) -> x509.Name:
        """The issuer's Name in what it signs."""
        return self.certificate.subject

    @cached_property
    def key_identifier(self) -> bytes:
        """8 bytes."""
        return self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest

    @cached_property
    def der(self) -> bytes:
        """Its certificate."""
        return self.certificate.public_bytes(Encoding.DER)

    @classmethod
    def root(cls, common_name: str, valid_from: datetime) -> "Authority":
        """A self-signed authority, for 50 years."""
        key = ec.generate_private_key(_CURVE)
        subject = _ca_name(Role.ROOT, common_name)
        builder = _ca_builder(subject, subject, key.public_key(), valid_from, valid_from + _ROOT_VALIDITY)
        return cls(_with_constraint(builder, path_length=1).sign(key, _HASH), key)

    def issuing(self, common_name: str, valid_from: datetime) -> "Authority":
        """An issuing authority under this root, for 25 years."""
        key = ec.generate_private_key(_CURVE)
        subject = _ca_name(Role.ISSUING_AUTHORITY, common_name)
        builder = _ca_builder(self.name, subject, key.public_key(), valid_from, valid_from + _ISSUING_VALIDITY)
        builder = builder.add_extension(_authority(self.key_identifier), critical=False)
        return Authority(_with_constraint(builder, path_length=0).sign(self.key, _HASH), key)

    def sign(self, builder: x509.CertificateBuilder) -> bytes:
        """The certificate, DER."""
        return builder.sign(self.key, _HASH).public_bytes(Encoding.DER)


@dataclass(frozen=True)
class Pki:
    """The four authorities."""

    root_oca: Authority
    issuing_oca: Authority
    root_dca: Authority
    issuing_dca: Authority

    @classmethod
    def create(cls, valid_from: datetime) -> "Pki":
        """New keys; every CA certificate is valid from `valid_from` (aware, whole seconds count)."""
        root_oca = Authority.root("OCA0", valid_from)
        root_dca = Authority.root("DCA0", valid_from)
        return cls(root_oca, root_oca.issuing("OCA1", valid_from), root_dca, root_dca.issuing("DCA1", valid_from))

    @classmethod
    def load(cls, folder: Path) -> "Pki":
        """What `save` wrote.

        Raises FileNotFoundError when a file is missing, ConfigurationError when a key does not fit its certificate.
        """
        return cls(*(_load(folder, stem) for stem in _STEMS))

    def save(self, folder: Path) -> None:
        """Writes certificates and unencrypted keys (mode 0600) as PEM; the folder is made when absent.

        Raises FileExistsError when the folder holds a PKI: a lost CA key cannot be made again.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for stem, authority in zip(_STEMS, self.authorities, strict=True):
            key_file = folder / f"{stem}.key.pem"
            key_file.touch(mode=0o600, exist_ok=False)  # before the key is in it
            key_file.write_bytes(authority.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            (folder / f"{stem}.pem").write_bytes(authority.certificate.public_bytes(Encoding.PEM))

    @property
    def authorities(self) -> tuple[Authority, Authority, Authority, Authority]:
        """Root OCA, Issuing OCA, Root DCA, Issuing DCA."""
        return self.root_oca, self.issuing_oca, self.root_dca, self.issuing_dca

    @property
    def trusted_roots(self) -> list[TrustedRoot]:
        """Root OCA and Root DCA, as an operator states them."""
        classes = {CertificateClass.OCA: self.root_oca, CertificateClass.DCA: self.root_dca}
        return [TrustedRoot(sha256(root.der).digest(), of_class) for of_class, root in classes.items()]

    def ca_certificates(self) -> list[bytes]:
        """Root OCA, Issuing OCA, Root DCA, Issuing DCA, as DER."""
        return [authority.der for authority in self.authorities]

    def organisation_certificate(
        self, role: int, usage: Usage, eui64: bytes, valid_from: datetime, common_name: str | None = None
    ) -> bytes:
        """One Organisation Certificate (DER) for a new key, valid for ten years."""
        public_key = ec.generate_private_key(_CURVE).public_key()
        subject: list[x509.NameAttribute[str | bytes]] = []
        if common_name is not None:
            subject.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
        subject.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"{role:02X}"))
        identifier = b"\0" + eui64  # no unused bits
        subject.append(x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, identifier, _ASN1Type.BitString))
        issuer = self.issuing_oca
        return issuer.sign(
            x509.CertificateBuilder(
                issuer.name, x509.Name(subject), public_key, _serial(), valid_from, valid_from + ORGANISATION_VALIDITY
            )
            .add_extension(_KEY_USAGE[usage], critical=True)
            .add_extension(_subject_key_identifier(public_key), critical=False)
            .add_extension(_POLICY, critical=True)
            .add_extension(_authority(issuer.key_identifier), critical=False)
        )

    def device_certificates(self, eui64: bytes, valid_from: datetime) -> tuple[bytes, bytes]:
        """A Device's digital signature and key agreement certificates (DER), each for a new key."""
        issuer = self.issuing_dca
        signature, agreement = (
            issuer.sign(
                device_builder(
                    issuer.name,
                    issuer.key_identifier,
                    ec.generate_private_key(_CURVE).public_key(),
                    usage,
                    hardware_module_name(_HARDWARE_TYPE, eui64),
                    valid_from,
                ).serial_number(_serial())
            )
            for usage in (_DS, _KA)
        )
        return signature, agreement


def organisations(pki: Pki, valid_from: datetime) -> Iterator[bytes]:
    """The Organisation Certificates (DER) of ORGANISATIONS, in its order."""
    for organisation in ORGANISATIONS:
        yield from organisation_certificates(pki, organisation, valid_from)


def organisation_certificates(pki: Pki, organisation: Organisation, valid_from: datetime) -> Iterator[bytes]:
    """The certificates (DER) of one Organisation in one role, in the order of its usages."""
    for usage in organisation.usages:
        yield pki.organisation_certificate(
            organisation.role, usage, organisation.eui64, valid_from, organisation.common_name
        )


def hardware_module_name(hardware_type: str, eui64: bytes) -> bytes:
    """RFC 4108's HardwareModuleName (DER): hwType, a dotted OID, and hwSerialNum, the EUI-64."""
    content: bytes = core.ObjectIdentifier(hardware_type).dump() + core.OctetString(eui64).dump()
    return bytes([0x30, len(content)]) + content


def device_builder(
    issuer: x509.Name,
    issuer_key_identifier: bytes,
    public_key: ec.EllipticCurvePublicKey,
    usage: Usage,
    hardware_module_name: bytes,
    valid_from: datetime,
) -> x509.CertificateBuilder:
    """The profile of a Device Certificate; the serial number is still to be set."""
    name = x509.OtherName(_HARDWARE_MODULE_NAME, hardware_module_name)
    return (
        x509.CertificateBuilder(issuer, _NOBODY, public_key, None, valid_from, _NO_END)
        .add_extension(_KEY_USAGE[usage], critical=True)
        .add_extension(x509.SubjectAlternativeName([name]), critical=True)
        .add_extension(_POLICY, critical=True)
        .add_extension(_authority(issuer_key_identifier), critical=False)
    )


def _load(folder: Path, stem: str) -> Authority:
    key_file = folder / f"{stem}.key.pem"
    certificate = x509.load_pem_x509_certificate((folder / f"{stem}.pem").read_bytes())
    key = load_pem_private_key(key_file.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ConfigurationError(
            str(key_file),
            "a CA's key fits the certificate beside it.",
            "Nothing that it signs would verify.",
            "restore the folder as it was saved, or create a new PKI in an empty one.",
        )
    return Authority(certificate, key)


def _ca_name(role: Role, common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"{role:02X}"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _ca_builder(
    issuer: x509.Name,
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    valid_from: datetime,
    valid_to: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(issuer, subject, public_key, _serial(), valid_from, valid_to)
        .add_extension(_CA_KEY_USAGE, critical=True)
        .add_extension(_subject_key_identifier(public_key), critical=False)
        .add_extension(_POLICY, critical=True)
    )


def _with_constraint(builder: x509.CertificateBuilder, path_length: int) -> x509.CertificateBuilder:
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)


def _serial() -> int:
    return secrets.randbits(126) | 1 << 126  # exactly 16 bytes, and positive


def _subject_key_identifier(public_key: ec.EllipticCurvePublicKey) -> x509.SubjectKeyIdentifier:
    sha1 = x509.SubjectKeyIdentifier.from_public_key(public_key).digest
    return x509.SubjectKeyIdentifier(bytes([0x40 | sha1[-8] & 0x0F]) + sha1[-7:])


def _authority(key_identifier: bytes) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier(key_identifier, None, None)
