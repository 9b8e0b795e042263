"""Lodging revocation lists: what they have to be, what they do to certificates, what becomes of what is refused."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
from asn1crypto import pem
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.name import _ASN1Type
from sqlalchemy import Engine, Row, func, insert, select, text, update
from typer.testing import CliRunner

from builders import change, contents_of, cut_off, day, during, lodge_bodies, name, produced, reference, self_made
from conftest import Program
from smki.certificates.model import ListKind, Status, Usage
from smki.cli.application import app
from smki.errors import RevocationListRefusedError
from smki.kinds.revocation.lodging import (
    ListLodgement,
    ListLodgingReport,
    all_lists,
    latest_list,
    lodge_revocation_lists,
    newest_lists,
)
from smki.obligations.catalogue import UserGuide
from smki.repository.database import libpq_url
from smki.repository.offers import RevocationListOffer
from smki.repository.status import expire
from smki.repository.tables import certificate, issuer, listed_certificate, rejected_lodgement, status_event
from smki.repository.tables import revocation_list as lists_table
from smki.repository.windows import close_windows
from smki_demo.generator.pki import Authority, Pki
from smki_demo.generator.revocation import ARL_VALIDITY, CRL_VALIDITY, Revoked, issue_lists, revocation_list

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ORGANISATION, OTHER = 4, 5  # among `signed`: the first Organisations after the CAs


@dataclass
class Lister:
    """An authority that issues lists, one number after the other."""

    authority: Authority
    validity: timedelta = CRL_VALIDITY
    number: int = 0

    def next(self, *revoked: bytes, at: datetime = NOW, number: int | None = None) -> bytes:
        """Its next list, with the certificates given as DER."""
        self.number = number if number is not None else self.number + 1
        entries = [
            Revoked(reference(body).serial_number, at - HOUR, x509.ReasonFlags.key_compromise) for body in revoked
        ]
        return revocation_list(self.authority, self.number, at, at + self.validity, entries)


@pytest.fixture
def crls(pki: Pki) -> Lister:
    return Lister(pki.issuing_oca)


@pytest.fixture
def arls(pki: Pki) -> Lister:
    return Lister(pki.root_oca, ARL_VALIDITY)


@pytest.fixture
def stored(repository: Engine, signed: list[bytes]) -> Engine:
    """A repository with all kinds of certificates, in use."""
    lodge_bodies(repository, signed)
    return repository


def offer(engine: Engine, *bodies: bytes, now: datetime = NOW) -> ListLodgingReport:
    return lodge_revocation_lists(engine, [RevocationListOffer(body, "test") for body in bodies], now)


def lodge_one(engine: Engine, body: bytes, now: datetime = NOW) -> ListLodgement:
    report = offer(engine, body, now=now)
    assert not report.refusals, str(report.refusals[0].error)
    return report.lodgements[0]


def rows(engine: Engine, table: Any) -> list[Row[Any]]:
    with engine.connect() as connection:
        return list(connection.execute(select(table).order_by(table.c.id)))


def status_of(engine: Engine, body: bytes) -> str:
    with engine.connect() as connection:
        status: str = connection.execute(select(certificate.c.status).where(certificate.c.body == body)).scalar_one()
    return status


def refuse(engine: Engine, body: bytes, says: str, now: datetime = NOW) -> None:
    """The list is refused by name and kept, and nothing else changes."""
    before = [rows(engine, table) for table in (issuer, certificate, status_event, lists_table)]
    report = offer(engine, body, now=now)
    assert report.lodgements == []
    (refusal,) = report.refusals
    assert isinstance(refusal.error, RevocationListRefusedError)
    assert says in refusal.error.rule, refusal.error.rule
    assert refusal.error.consequence == "It is not lodged and not published; its bytes and this reason are kept."
    assert [rows(engine, table) for table in (issuer, certificate, status_event, lists_table)] == before
    kept = {row.body: row.reason for row in rows(engine, rejected_lodgement)}
    assert kept[body] == str(refusal.error)


# What a list does


def test_clause_2_3_3_d_list_of_an_issuing_oca_is_the_crl(stored: Engine, crls: Lister) -> None:
    body = crls.next()
    lodged = lodge_one(stored, body).lodged
    assert (lodged.kind, lodged.number, lodged.body) == (ListKind.CRL, 1, body)
    assert (lodged.this_update, lodged.next_update, lodged.entries) == (NOW, NOW + CRL_VALIDITY, 0)


def test_clause_2_3_3_c_list_of_the_root_oca_is_the_arl(stored: Engine, arls: Lister) -> None:
    assert lodge_one(stored, arls.next()).lodged.kind is ListKind.ARL


def test_clause_2_3_3_c_arl_revokes_a_certificate_of_an_authority(stored: Engine, pki: Pki, arls: Lister) -> None:
    assert lodge_one(stored, arls.next(pki.issuing_oca.der)).revoked == 1
    assert status_of(stored, pki.issuing_oca.der) == "R"


def test_clause_2_3_3_d_listed_certificate_gets_status_r_with_reason_and_date(
    stored: Engine, signed: list[bytes], crls: Lister
) -> None:
    with stored.connect() as connection:
        begun = connection.execute(select(func.clock_timestamp())).scalar_one()
    lodgement = lodge_one(stored, crls.next(signed[ORGANISATION]))
    assert (lodgement.revoked, lodgement.revoked_before, lodgement.unknown) == (1, 0, ())
    assert status_of(stored, signed[ORGANISATION]) == "R"
    event = rows(stored, status_event)[-1]
    assert (event.status, event.window_seq) == ("R", None)
    assert "CRL 1 of Common Name: OCA1" in event.reason
    assert "key compromise, revoked at 2026-07-01 11:00:00 UTC" in event.reason
    assert event.recorded_at > begun, "the database's clock"


def test_clause_2_3_3_b_next_delta_carries_the_revocation(
    repository: Engine, user_guide: UserGuide, signed: list[bytes], crls: Lister, tmp_path: Path
) -> None:
    lodge_bodies(repository, signed, at=during(1))
    close_windows(repository, day(1), cut_off)
    at = during(2)
    revoking = RevocationListOffer(crls.next(signed[ORGANISATION], at=at), "test")
    lodge_revocation_lists(repository, [revoking], at, recorded_at=at)
    close_windows(repository, day(2), cut_off)
    delta, _ = produced(repository, user_guide.delta, day(2), tmp_path)
    assert contents_of(delta) == {signed[ORGANISATION]: "R"}


def test_same_list_again_changes_nothing_even_when_it_is_old(stored: Engine, signed: list[bytes], crls: Lister) -> None:
    first, second = crls.next(signed[ORGANISATION]), crls.next(signed[ORGANISATION])
    offer(stored, first, second)
    before = [rows(stored, table) for table in (status_event, lists_table, rejected_lodgement)]
    for body in (first, second):
        again = lodge_one(stored, body, NOW + 10 * CRL_VALIDITY)
        assert (again.already_there, again.revoked) == (True, 0)
    assert [rows(stored, table) for table in (status_event, lists_table, rejected_lodgement)] == before


@pytest.mark.parametrize("status", [Status.PENDING, Status.IN_USE, Status.NOT_IN_USE, Status.REVOKED])
def test_certificate_that_is_lodged_after_its_issuers_list_named_it_is_lodged_as_revoked(
    repository: Engine, pki: Pki, signed: list[bytes], crls: Lister, status: Status
) -> None:
    lodge_bodies(repository, pki.ca_certificates())
    lodgement = lodge_one(repository, crls.next(signed[ORGANISATION]))
    assert lodgement.unknown == (reference(signed[ORGANISATION]).serial_number,)
    assert lodge_bodies(repository, signed[ORGANISATION : OTHER + 1], status=status).lodged == 2
    listed, other = rows(repository, status_event)[-2:]
    assert (status_of(repository, signed[ORGANISATION]), listed.status) == ("R", "R")
    assert listed.reason.startswith("lodged, on CRL 1 of ")
    assert listed.reason.endswith(": key compromise, revoked at 2026-07-01 11:00:00 UTC")
    assert (status_of(repository, signed[OTHER]), other.status, other.reason) == (status, status, "lodged")


def test_listed_certificate_that_is_offered_as_expired_is_lodged_as_expired(
    repository: Engine, pki: Pki, signed: list[bytes], crls: Lister
) -> None:
    lodge_bodies(repository, pki.ca_certificates())
    lodge_one(repository, crls.next(signed[ORGANISATION]))
    lodge_bodies(repository, [signed[ORGANISATION]], status=Status.EXPIRED)
    assert (status_of(repository, signed[ORGANISATION]), rows(repository, status_event)[-1].reason) == ("E", "lodged")


def test_only_the_current_list_of_its_own_issuer_revokes_what_is_lodged_later(
    repository: Engine, pki: Pki, signed: list[bytes], crls: Lister, arls: Lister
) -> None:
    lodge_bodies(repository, pki.ca_certificates())
    lodge_one(repository, crls.next(signed[ORGANISATION]))
    lodge_one(repository, crls.next(signed[OTHER]))  # what is not lodged may leave a list
    lodge_one(repository, arls.next(signed[ORGANISATION]))
    lodge_bodies(repository, signed)
    assert [status_of(repository, signed[one]) for one in (ORGANISATION, OTHER)] == ["I", "R"]


def test_list_does_not_revoke_a_device_certificate_that_is_lodged_later(
    repository: Engine, signed: list[bytes], crls: Lister
) -> None:
    lodge_bodies(repository, signed[:-1])
    lodge_one(repository, crls.next(signed[-1]))
    of_devices = select(certificate.c.issuer_id).where(certificate.c["class"] == "DEVICE").distinct().scalar_subquery()
    with repository.begin() as connection:  # no DCA has a list that could be lodged
        connection.execute(update(listed_certificate).values(issuer_id=of_devices))
    lodge_bodies(repository, [signed[-1]])
    assert status_of(repository, signed[-1]) == "I"


def test_list_and_certificates_that_are_lodged_at_once_see_each_other(
    repository: Engine, pki: Pki, signed: list[bytes], crls: Lister
) -> None:
    lodge_bodies(repository, pki.ca_certificates())
    organisations = signed[ORGANISATION : ORGANISATION + 30]
    lists = [crls.next(*organisations[: number + 1]) for number in range(30)]
    with ThreadPoolExecutor(2) as pool:
        offered = pool.submit(lambda: [lodge_one(repository, body) for body in lists])
        for body in organisations:
            lodge_bodies(repository, [body])
        offered.result()
    assert {status_of(repository, body) for body in organisations} == {"R"}


def test_serial_number_of_another_issuer_is_left_alone(stored: Engine, signed: list[bytes], arls: Lister) -> None:
    lodgement = lodge_one(stored, arls.next(signed[ORGANISATION]))
    assert (lodgement.revoked, len(lodgement.unknown)) == (0, 1)
    assert status_of(stored, signed[ORGANISATION]) == "I"


def test_expired_certificate_keeps_its_status_and_is_reported(
    stored: Engine, signed: list[bytes], crls: Lister
) -> None:
    change(stored, [signed[ORGANISATION]], Status.EXPIRED)
    lodgement = lodge_one(stored, crls.next(signed[ORGANISATION], signed[OTHER]))
    assert (lodgement.revoked, lodgement.expired) == (1, (reference(signed[ORGANISATION]).serial_number,))
    assert (status_of(stored, signed[ORGANISATION]), status_of(stored, signed[OTHER])) == ("E", "R")


def test_certificate_that_was_revoked_by_hand_is_left_alone(stored: Engine, signed: list[bytes], crls: Lister) -> None:
    change(stored, [signed[ORGANISATION]], Status.REVOKED)
    lodgement = lodge_one(stored, crls.next(signed[ORGANISATION]))
    assert (lodgement.revoked, lodgement.revoked_before) == (0, 1)
    assert len([row for row in rows(stored, status_event) if row.status == "R"]) == 1


def test_lists_are_lodged_by_number_whatever_order_they_come_in(stored: Engine, crls: Lister) -> None:
    bodies = [crls.next(at=NOW + number * HOUR) for number in range(12)]
    report = offer(stored, *reversed(bodies), now=NOW + 12 * HOUR)
    assert [lodgement.lodged.number for lodgement in report.lodgements] == list(range(1, 13))


def test_newest_list_is_the_one_lodged_last_of_its_kind(stored: Engine, arls: Lister, crls: Lister) -> None:
    offer(stored, crls.next(), crls.next())
    offer(stored, arls.next())
    with stored.connect() as connection:
        newest = [(lodged.kind, lodged.number) for lodged in newest_lists(connection)]
        assert newest == [(ListKind.ARL, 1), (ListKind.CRL, 2)]
        assert [lodged.number for lodged in all_lists(connection)] == [1, 2, 1]
        crl = latest_list(connection, ListKind.CRL)
        assert crl is not None
        assert crl.number == 2


@pytest.mark.parametrize("number", [51, 100])
def test_younger_list_whose_number_does_not_rise_is_lodged_and_revokes(
    stored: Engine, signed: list[bytes], crls: Lister, number: int
) -> None:
    lodge_one(stored, crls.next(signed[ORGANISATION], number=100))
    later = NOW + HOUR
    lodgement = lodge_one(stored, crls.next(signed[ORGANISATION], signed[OTHER], at=later, number=number), later)
    assert (lodgement.lodged.number, lodgement.back_from, lodgement.revoked) == (number, 100, 1)
    assert (
        lodge_one(stored, crls.next(signed[ORGANISATION], signed[OTHER], at=later + HOUR), later + HOUR).back_from
        is None
    )


def test_restored_issuers_lists_are_lodged_by_age_whatever_order_they_come_in(stored: Engine, crls: Lister) -> None:
    bodies = [crls.next(at=NOW, number=100), crls.next(at=NOW + HOUR, number=51), crls.next(at=NOW + 2 * HOUR)]
    report = offer(stored, *reversed(bodies), now=NOW + 2 * HOUR)
    assert [lodgement.lodged.number for lodgement in report.lodgements] == [100, 51, 52]
    assert not report.refusals


def test_crl_number_of_twenty_octets_is_kept(stored: Engine, crls: Lister) -> None:
    number = (1 << 159) - 1
    assert lodge_one(stored, crls.next(number=number)).lodged.number == number


def test_numbers_of_different_issuers_are_independent(stored: Engine, arls: Lister, crls: Lister) -> None:
    offer(stored, crls.next(number=900))
    assert lodge_one(stored, arls.next()).lodged.number == 1


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


def without_key(authority: Authority, number: int = 1) -> bytes:
    """A list that does not state which key signed it."""
    builder = x509.CertificateRevocationListBuilder(authority.name, NOW, NOW + CRL_VALIDITY)
    builder = builder.add_extension(x509.CRLNumber(number), critical=False)
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


# What is refused


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


@pytest.mark.parametrize("number", [4, 5])
def test_list_of_the_same_instant_whose_number_does_not_rise_is_refused(
    stored: Engine, signed: list[bytes], crls: Lister, number: int
) -> None:
    lodge_one(stored, crls.next(number=5))
    refuse(stored, crls.next(signed[ORGANISATION], number=number), "do not follow those of the lodged list 5")


def test_list_whose_this_update_goes_back_is_refused(stored: Engine, crls: Lister) -> None:
    lodge_one(stored, crls.next())
    refuse(stored, crls.next(at=NOW - timedelta(seconds=1)), "do not follow those of the lodged list 1")


def test_list_whose_next_update_has_passed_is_refused(stored: Engine, crls: Lister) -> None:
    body = crls.next()
    refuse(stored, body, "has passed", NOW + CRL_VALIDITY)
    assert not lodge_one(stored, body, NOW + CRL_VALIDITY - timedelta(seconds=1)).already_there


def test_list_from_the_future_is_refused(stored: Engine, crls: Lister) -> None:
    refuse(stored, crls.next(at=NOW + HOUR), "has not come")
    assert lodge_one(stored, crls.next(at=NOW + timedelta(minutes=4), number=1)).lodged.number == 1


@pytest.mark.parametrize("garbage", [b"-- no list --", b"\x30\x03\x02\x01\x05", bytes(100)])
def test_garbage_is_refused_and_kept(stored: Engine, garbage: bytes) -> None:
    refuse(stored, garbage, "it is no revocation list")


def test_device_certificate_on_a_list_refuses_the_list(
    repository: Engine, pki: Pki, signed: list[bytes], crls: Lister
) -> None:
    device = self_made(x509.Name([]), pki.issuing_oca.name, usages=["digital_signature"], ca=False, serial=0x5E1F_0001)
    lodge_bodies(repository, [*signed, device])
    with (
        repository.begin() as connection
    ):  # no reader takes a certificate for a Device's that has no hardwareModuleName
        connection.execute(text("UPDATE certificate SET class = 'DEVICE' WHERE id = :id"), {"id": ORGANISATION + 1})
    refuse(repository, crls.next(signed[ORGANISATION], signed[OTHER]), "a Device Certificate is not revocable")


def test_list_that_drops_a_certificate_before_its_end_is_refused(
    stored: Engine, signed: list[bytes], crls: Lister
) -> None:
    lodge_one(stored, crls.next(signed[ORGANISATION], signed[OTHER]))
    serial = reference(signed[OTHER]).serial_number.hex().upper()
    refuse(
        stored,
        crls.next(signed[ORGANISATION]),
        f"no longer holds 1 certificates that list 1 held and whose notAfter has not passed ({serial})",
    )
    assert status_of(stored, signed[OTHER]) == "R"


def test_list_may_drop_a_certificate_once_its_not_after_has_passed(stored: Engine, pki: Pki, crls: Lister) -> None:
    organisation = name("02", eui64=b"\x02SMKI\x02\xfe\x01")
    short = self_made(organisation, pki.issuing_oca.name, usages=["digital_signature"], ca=False, not_after=NOW + HOUR)
    lodge_bodies(stored, [short])
    assert lodge_one(stored, crls.next(short)).revoked == 1
    refuse(stored, crls.next(at=NOW + HOUR), "no longer holds 1 certificates", NOW + HOUR)
    later = NOW + HOUR + timedelta(seconds=1)
    lodgement = lodge_one(stored, crls.next(at=later), later)
    assert lodgement.dropped == (reference(short).serial_number,)
    assert expire(stored, later) == 0, "R is final"
    assert status_of(stored, short) == "R"


def test_refused_list_does_not_keep_the_others_out(stored: Engine, arls: Lister, crls: Lister, pki: Pki) -> None:
    report = offer(stored, b"garbage", Lister(pki.root_dca).next(), arls.next(), crls.next())
    assert [lodgement.lodged.kind for lodgement in report.lodgements] == [ListKind.ARL, ListKind.CRL]
    assert len(report.refusals) == len(rows(stored, rejected_lodgement)) == 2


def test_private_key_in_the_place_of_a_list_is_not_kept(stored: Engine) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert len(offer(stored, key).refusals) == 1
    assert rows(stored, rejected_lodgement) == []


# The command line


@pytest.fixture
def smki(stored: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    monkeypatch.setenv("SMKI_DATABASE_URL", libpq_url(stored))
    monkeypatch.setenv("SMKI_VAR", str(tmp_path / "var"))

    def run(*arguments: str, exit_code: int = 0) -> Any:
        result = CliRunner().invoke(app, [*arguments, "--json"])
        assert result.exit_code == exit_code, result.output
        return json.loads(result.stdout)

    return run


def test_lodge_takes_lists_beside_certificates_as_der_and_pem(
    smki: Callable[..., Any], stored: Engine, pki: Pki, signed: list[bytes], tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    arls, crls = Lister(pki.root_oca, ARL_VALIDITY), Lister(pki.issuing_oca)
    folder = tmp_path / "to lodge"
    folder.mkdir()
    (folder / "a.crl").write_bytes(crls.next(signed[ORGANISATION], at=now))
    (folder / "b.pem").write_bytes(pem.armor("CERTIFICATE", signed[OTHER]) + pem.armor("X509 CRL", arls.next(at=now)))
    (folder / "c.crl").write_bytes(crls.next(signed[ORGANISATION], at=now))
    result = smki("lodge", str(folder))
    assert (result["lodged"], result["already_there"], result["refused"]) == (0, 1, 0)
    outline = [(entry["list"][:5], entry["revoked"], entry["revoked before"]) for entry in result["revocation_lists"]]
    assert outline == [("CRL 1", 1, 0), ("ARL 1", 0, 0), ("CRL 2", 0, 1)]
    assert status_of(stored, signed[ORGANISATION]) == "R"
    assert [entry["already there"] for entry in smki("lodge", str(folder))["revocation_lists"]] == [True] * 3


def test_list_of_more_than_a_mebibyte_is_lodged_as_der(
    smki: Callable[..., Any], pki: Pki, signed: list[bytes], tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    entries = [Revoked(number.to_bytes(20), now) for number in range(1 << 158, (1 << 158) + 28_000)]
    entries.append(Revoked(reference(signed[ORGANISATION]).serial_number, now))
    body = revocation_list(pki.issuing_oca, 1, now, now + CRL_VALIDITY, entries)
    assert len(body) > 1 << 20
    (tmp_path / "large.crl").write_bytes(body)
    result = smki("lodge", str(tmp_path / "large.crl"))["revocation_lists"]
    assert [(one["entries"], one["revoked"], len(one["not lodged"])) for one in result] == [(28_001, 1, 28_000)]
    (tmp_path / "cut.crl").write_bytes(body[:-1])
    assert smki("lodge", str(tmp_path / "cut.crl"), exit_code=1)["refusals"][0]["error"] == "RevocationListRefusedError"


def test_lodge_of_a_refused_list_ends_with_exit_code_1(smki: Callable[..., Any], pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "old.crl").write_bytes(Lister(pki.issuing_oca).next(at=datetime(2025, 1, 1, tzinfo=UTC)))
    result = smki("lodge", str(tmp_path / "old.crl"), exit_code=1)
    assert result["refusals"][0]["error"] == "RevocationListRefusedError"
    assert "nextUpdate" in smki("rejected")[0]["reason"]


def test_revocation_list_says_which_list_has_no_successor(smki: Callable[..., Any], stored: Engine, pki: Pki) -> None:
    now = datetime.now(UTC)
    issue_lists(stored, pki, now)
    assert [entry["successor_missing"] for entry in smki("revocation", "list")] == [False, False]
    short = revocation_list(pki.issuing_oca, 2, now, now + HOUR)
    offer(stored, short, now=now)
    listed = {entry["kind"]: entry["successor_missing"] for entry in smki("revocation", "list")}
    assert listed == {"ARL": False, "CRL": True}
    assert len(smki("revocation", "list", "--all")) == 3
    shown = CliRunner().invoke(app, ["revocation", "list"])
    assert "warning" in shown.stderr
    assert "CRL 2 of" in shown.stderr


def test_revocation_produce_writes_both_files(
    smki: Callable[..., Any], stored: Engine, pki: Pki, tmp_path: Path
) -> None:
    assert smki("revocation", "produce", "--out", str(tmp_path), exit_code=1)["error"] == "PlanError"
    issue_lists(stored, pki, datetime.now(UTC))
    files = [entry["file"] for entry in smki("revocation", "produce", "--out", str(tmp_path))]
    assert files == ["SMKIKR_ORGANISATION_ARL.crl.gz", "SMKIKR_ORGANISATION_CRL.crl.gz"]
    assert all((tmp_path / file).exists() for file in files)
