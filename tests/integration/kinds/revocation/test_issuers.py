"""Whose list it is: by name, key and signature."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from subprocess import run

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from sqlalchemy import Engine, insert

from builders import lodge_bodies
from conftest import Program
from smki.certificates.model import ListKind, Usage
from smki.repository.tables import certificate, issuer
from smki_demo.generator.pki import Authority, Pki
from smki_demo.generator.revocation import CRL_VALIDITY

from .lists import HOUR, NOW, ORGANISATION, Lister, lodge_one, refuse, rows, status_of


def test_clause_2_3_3_d_list_of_an_issuing_oca_is_the_crl(stored: Engine, crls: Lister) -> None:
    body = crls.next()
    lodged = lodge_one(stored, body).lodged
    assert (lodged.kind, lodged.number, lodged.body) == (ListKind.CRL, 1, body)
    assert (lodged.this_update, lodged.next_update, lodged.entries) == (NOW, NOW + CRL_VALIDITY, 0)


def test_clause_2_3_3_c_list_of_the_root_oca_is_the_arl(stored: Engine, arls: Lister) -> None:
    assert lodge_one(stored, arls.next()).lodged.kind is ListKind.ARL


def test_new_key_of_an_issuer_verifies_its_lists(stored: Engine, pki: Pki, crls: Lister) -> None:
    lodge_one(stored, crls.next())
    renewed = pki.root_oca.issuing("OCA1", datetime(2026, 1, 1, tzinfo=UTC))
    lodge_bodies(stored, [renewed.der])
    assert lodge_one(stored, Lister(renewed).next(number=2)).lodged.number == 2


class Respelled(Authority):
    """An authority that writes its name in other letters: small ones of another string type, with blanks around."""

    @property
    def name(self) -> x509.Name:  # type: ignore[override]
        return x509.Name(
            [
                x509.NameAttribute(attribute.oid, f" {str(attribute.value).lower()}  ", _ASN1Type.PrintableString)
                for attribute in self.certificate.subject
            ]
        )


def respelled(authority: Authority) -> Authority:
    return Respelled(authority.certificate, authority.key)


def test_list_whose_issuer_spells_its_name_otherwise_revokes_and_is_one_issuer(
    stored: Engine, pki: Pki, signed: list[bytes], crls: Lister
) -> None:
    lodge_one(stored, crls.next())
    issuers = rows(stored, issuer)
    assert lodge_one(stored, Lister(respelled(pki.issuing_oca), number=1).next(signed[ORGANISATION])).revoked == 1
    assert status_of(stored, signed[ORGANISATION]) == "R"
    assert rows(stored, issuer) == issuers


def test_list_reaches_a_certificate_that_spells_its_issuers_name_otherwise(
    stored: Engine, pki: Pki, crls: Lister
) -> None:
    other = replace(pki, issuing_oca=respelled(pki.issuing_oca))
    body = other.organisation_certificate(2, Usage.DIGITAL_SIGNATURE, b"\x02SMKI\x02\0\x09", NOW - HOUR)
    lodge_bodies(stored, [body])
    assert lodge_one(stored, crls.next(body)).revoked == 1
    assert status_of(stored, body) == "R"


@pytest.fixture
def odd_authority(tmp_path: Path, program: Program) -> bytes:
    """A CA certificate under the Issuing OCA's name, with a key on a curve that `cryptography` does not know."""
    openssl, key = program("openssl"), tmp_path / "odd.key"
    run([openssl, "ecparam", "-name", "secp160r1", "-genkey", "-noout", "-out", key], check=True, capture_output=True)
    usage = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    request = [openssl, "req", "-x509", "-new", "-key", key, "-subj", "/OU=07/CN=OCA1", "-days", "9", "-outform", "DER"]
    return run([*request, *usage], check=True, capture_output=True).stdout


def without_key(authority: Authority) -> bytes:
    """A list that does not state which key signed it."""
    builder = x509.CertificateRevocationListBuilder(authority.name, NOW, NOW + CRL_VALIDITY)
    builder = builder.add_extension(x509.CRLNumber(1), critical=False)
    return builder.sign(authority.key, SHA256()).public_bytes(Encoding.DER)


def test_authority_whose_key_cannot_be_read_does_not_keep_the_next_of_its_name_from_verifying(
    stored: Engine, odd_authority: bytes, pki: Pki, crls: Lister
) -> None:
    with stored.begin() as connection:  # whatever is asked of an authority today, earlier ones are there
        columns = {"class": "OCA", "issuer_id": 1, "serial_number": b"\1", "not_after": NOW, "body": odd_authority}
        connection.execute(insert(certificate).values(columns | {"status": "I"}))
    assert lodge_one(stored, without_key(pki.issuing_oca)).lodged.number == 1
    assert lodge_one(stored, crls.next(number=2)).lodged.number == 2


def test_list_that_states_no_key_is_verified_by_each_authority_of_its_issuers_name(stored: Engine, pki: Pki) -> None:
    lodge_bodies(stored, [pki.root_oca.issuing("OCA1", datetime(2026, 1, 1, tzinfo=UTC)).der])
    assert lodge_one(stored, without_key(pki.issuing_oca)).lodged.number == 1


def test_list_of_an_unknown_issuer_is_refused(repository: Engine, crls: Lister) -> None:
    refuse(repository, crls.next(), "no lodged CA certificate, unless revoked, has its issuer's name")


def test_list_of_a_revoked_issuer_is_refused(stored: Engine, pki: Pki, arls: Lister, crls: Lister) -> None:
    lodge_one(stored, arls.next(pki.issuing_oca.der))
    refuse(stored, crls.next(), "unless revoked")


def test_list_of_a_dca_is_refused(stored: Engine, pki: Pki) -> None:
    refuse(stored, Lister(pki.issuing_dca).next(), "its issuer is of class DCA")


def test_list_with_a_broken_signature_is_refused(stored: Engine, crls: Lister) -> None:
    body = crls.next()
    refuse(stored, body[:-1] + bytes([body[-1] ^ 1]), "signature verifies under none")


def test_list_signed_by_an_impostor_is_refused(stored: Engine) -> None:
    impostor = Pki.create(datetime(2015, 1, 1, tzinfo=UTC)).issuing_oca
    refuse(stored, Lister(impostor).next(), "signature verifies under none of its issuer's 1 lodged certificates")
