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
