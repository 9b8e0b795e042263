"""Lists that cannot be lodged, and what becomes of what is offered beside them."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import Engine

from smki.certificates.model import ListKind
from smki.repository.tables import rejected_lodgement
from smki_demo.generator.pki import Authority, Pki
from smki_demo.generator.revocation import CRL_VALIDITY

from .lists import HOUR, NOW, Lister, lodge_one, offer, refuse, rows


def test_list_whose_next_update_has_passed_is_refused(stored: Engine, crls: Lister) -> None:
    body = crls.next()
    refuse(stored, body, "has passed", NOW + CRL_VALIDITY)
    assert not lodge_one(stored, body, NOW + CRL_VALIDITY - timedelta(seconds=1)).already_there


def test_list_from_the_future_is_refused(stored: Engine, crls: Lister) -> None:
    refuse(stored, crls.next(at=NOW + HOUR), "has not come")
    assert lodge_one(stored, crls.next(at=NOW + timedelta(minutes=4), number=1)).lodged.number == 1


@pytest.mark.parametrize("kind", ["ARL", "CRL"])
@pytest.mark.parametrize("only", ["users", "authorities"])
def test_list_that_leaves_out_what_it_is_about_is_refused(stored: Engine, pki: Pki, kind: str, only: str) -> None:
    """A CA may issue a list of end entities and one of CAs: neither is the other."""
    authority = pki.root_oca if kind == "ARL" else pki.issuing_oca
    scope = x509.IssuingDistributionPoint(None, None, only == "users", only == "authorities", None, False, False)
    body = (
        x509.CertificateRevocationListBuilder(authority.name, NOW, NOW + CRL_VALIDITY)
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(scope, critical=True)
        .sign(authority.key, SHA256())
        .public_bytes(Encoding.DER)
    )
    if (kind, only) in (("ARL", "authorities"), ("CRL", "users")):
        assert lodge_one(stored, body).lodged.kind == kind
    else:
        refuse(stored, body, f"leaves out what an {kind} is about")


def of_points(authority: Authority, number: int, *uris: str) -> bytes:
    """A list of the distribution point that has these names; of none where there are none."""
    names = [x509.UniformResourceIdentifier(uri) for uri in uris] or None
    at = NOW + number * timedelta(minutes=1)
    builder = x509.CertificateRevocationListBuilder(authority.name, at, at + CRL_VALIDITY)
    if names:
        scope = x509.IssuingDistributionPoint(names, None, False, False, None, False, False)
        builder = builder.add_extension(scope, critical=True)
    signed = builder.add_extension(x509.CRLNumber(number), critical=False).sign(authority.key, SHA256())
    return signed.public_bytes(Encoding.DER)


def test_list_of_another_distribution_point_than_the_one_before_is_refused(stored: Engine, pki: Pki) -> None:
    later, (old, new, other) = NOW + HOUR, ("http://x/old.crl", "http://x/new.crl", "http://x/other.crl")
    for number, uris in enumerate([(), (old,), (old,), (new, old), (new,)]):
        assert not lodge_one(stored, of_points(pki.issuing_oca, number, *uris), later).already_there
    refuse(stored, of_points(pki.issuing_oca, 5, other), "another distribution point", later)
    assert not lodge_one(stored, of_points(pki.issuing_oca, 6), later).already_there


@pytest.mark.parametrize("garbage", [b"-- no list --", b"\x30\x03\x02\x01\x05", bytes(100)])
def test_garbage_is_refused_and_kept(stored: Engine, garbage: bytes) -> None:
    refuse(stored, garbage, "it is no revocation list")


def test_refused_list_does_not_keep_the_others_out(stored: Engine, arls: Lister, crls: Lister, pki: Pki) -> None:
    unstorable = Lister(Authority.root("OCA\0x", datetime(2020, 1, 1, tzinfo=UTC))).next()
    report = offer(stored, b"garbage", unstorable, Lister(pki.root_dca).next(), arls.next(), crls.next())
    assert [lodgement.lodged.kind for lodgement in report.lodgements] == [ListKind.ARL, ListKind.CRL]
    assert len(report.refusals) == len(rows(stored, rejected_lodgement)) == 3


def test_private_key_in_the_place_of_a_list_is_not_kept(stored: Engine) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert len(offer(stored, key).refusals) == 1
    assert rows(stored, rejected_lodgement) == []
