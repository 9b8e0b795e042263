import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from sqlalchemy import Engine, Row, func, select

from builders import have_not, lodge_bodies, look_alikes, reference
from made_certificates import name, self_made, with_null_parameters, with_serial
from smki.certificates.model import CertificateClass, Status
from smki.errors import CertificateRefusedError, PrivateKeyRefusedError, RepositoryUnavailableError
from smki.repository.database import open_engine
from smki.repository.lodging import lodge
from smki.repository.offers import Lodgement
from smki.repository.tables import certificate, issuer, rejected_lodgement, status_event


def rows(engine: Engine, table: Any) -> list[Row[Any]]:
    with engine.connect() as connection:
        return list(connection.execute(select(table).order_by(table.c[0])))


def rejected(engine: Engine) -> dict[bytes, str]:
    return {row.body: row.reason for row in rows(engine, rejected_lodgement)}


def test_certificates_are_lodged_in_the_order_offered_with_their_first_event(
    repository: Engine, signed: list[bytes]
) -> None:
    at = datetime(2025, 6, 2, 12, tzinfo=UTC)
    report = lodge_bodies(repository, signed, at)
    assert (report.lodged, report.already_there, report.refused) == (46, 0, 0)
    assert report.classes == {"OCA": 2, "DCA": 2, "ORGANISATION": 30, "DEVICE": 12}
    lodged = rows(repository, certificate)
    roots, issuing = [signed[0], signed[2]], [signed[1], signed[3]]
    assert [row.body for row in lodged] == roots + issuing + signed[4:]  # authorities after those above them
    assert [
        (row.certificate_id, row.status, row.recorded_at, row.window_seq) for row in rows(repository, status_event)
    ] == [(row.id, "I", at, None) for row in lodged]
    assert len(rows(repository, issuer)) == 4


def test_fields_beside_a_body_are_those_of_the_certificate(repository: Engine, signed: list[bytes]) -> None:
    lodge_bodies(repository, signed)
    issuers = {row.id: row.name for row in rows(repository, issuer)}
    for row in rows(repository, certificate):
        expected = reference(row.body)
        assert (row.serial_number, issuers[row.issuer_id]) == (expected.serial_number, expected.issuer)


def test_same_certificates_again_change_nothing(repository: Engine, signed: list[bytes]) -> None:
    lodge_bodies(repository, signed)
    before = [rows(repository, table) for table in (issuer, certificate, status_event, rejected_lodgement)]
    report = lodge_bodies(repository, signed[::-1], status=Status.PENDING)
    assert (report.lodged, report.already_there, report.refused) == (0, 46, 0)
    assert [rows(repository, table) for table in (issuer, certificate, status_event, rejected_lodgement)] == before


def test_certificate_offered_twice_in_one_batch_is_lodged_once(repository: Engine) -> None:
    (body,) = look_alikes(1)
    report = lodge_bodies(repository, [body, body, body])
    assert (report.lodged, report.already_there) == (1, 2)
    assert len(rows(repository, status_event)) == 1


@pytest.mark.parametrize("in_one_batch", [True, False])
def test_other_body_under_the_same_serial_number_is_a_conflict_and_the_lodged_one_stands(
    repository: Engine, in_one_batch: bool
) -> None:
    first, other = look_alikes(2)
    changed = first[:-1] + bytes([first[-1] ^ 1])
    reports = [
        lodge_bodies(repository, batch)
        for batch in ([[first, changed, other]] if in_one_batch else [[first], [changed, other]])
    ]
    assert sum(report.lodged for report in reports) == 2
    assert [row.body for row in rows(repository, certificate)] == [first, other]
    (refusal,) = reports[-1].refusals
    assert isinstance(refusal.error, CertificateRefusedError)
    assert "same issuer and serial number" in rejected(repository)[changed]


def test_same_serial_number_of_another_issuer_is_another_certificate(repository: Engine, signed: list[bytes]) -> None:
    serial = reference(signed[0]).serial_number
    lodge_bodies(repository, [signed[0], with_serial(signed[-1], serial)])
    assert [row.serial_number for row in rows(repository, certificate)] == [serial, serial]


def test_rest_of_a_batch_is_lodged_and_what_is_refused_keeps_bytes_and_reason(repository: Engine) -> None:
    good = look_alikes(6)
    bad = [b"", b"no certificate", good[0][:-1], good[1] + b"\0", b"\x30\x82"]
    report = lodge_bodies(repository, [good[2], *bad, *good])
    assert (report.lodged, report.already_there, report.refused) == (6, 1, 5)
    kept = rows(repository, rejected_lodgement)
    assert {row.body for row in kept} == set(bad)
    assert all(row.sha256 == hashlib.sha256(row.body or b"test").digest() for row in kept)
    assert all("it is no X.509 certificate" in row.reason for row in kept)
    assert {row.origin for row in kept} == {"test"}


def test_what_postgresql_could_not_store_is_refused_alone(repository: Engine, signed: list[bytes]) -> None:
    """And its reason is kept, whatever stands in its name and origin."""
    role = name("02", None, b"\x02SMKI\x02\0\x09")
    bad = [
        *(self_made(role, name("07", text), usages=["digital_signature"], ca=False) for text in ("OCA\0", "O" * 3_500)),
        with_serial(signed[30], b"\1" * 100),
    ]
    offers = [Lodgement(body, "a\0b \udc80") for body in [*signed[:10], *bad, *signed[10:20]]]
    report = lodge(repository, offers)
    assert (report.lodged, report.refused) == (20, 3)
    kept = rows(repository, rejected_lodgement)
    assert {row.body for row in kept} == set(bad)
    assert {row.origin for row in kept} == {r"a\0b \udc80"}


def test_batch_ends_where_its_bodies_grow_large(repository: Engine) -> None:
    heard: list[int] = []
    lodge(
        repository,
        [Lodgement(b"%04d" % number + bytes(1 << 20), "test") for number in range(70)],
        progress=heard.append,
    )
    assert len(heard) > 1
    assert heard[-1] == len(rows(repository, rejected_lodgement)) == 70


def test_each_offer_of_a_refused_certificate_counts(repository: Engine) -> None:
    for _ in range(3):
        assert lodge_bodies(repository, [b"no certificate"] * 2).refused == 2
    (row,) = rows(repository, rejected_lodgement)
    assert row.offers == 6
    assert row.last_offered_at > row.first_offered_at


def test_report_spells_out_a_hundred_refusals_and_counts_all(repository: Engine) -> None:
    report = lodge_bodies(repository, [b"%d" % number for number in range(250)])
    assert (report.refused, len(report.refusals), report.offered) == (250, 100, 250)
    assert len(rows(repository, rejected_lodgement)) == 250


def private_keys() -> dict[str, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    secret = BestAvailableEncryption(b"secret")
    return {
        "pkcs8": key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        "sec1": key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        "encrypted": key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, secret),
        "PEM": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "PEM of OpenSSH": key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
    }


@pytest.mark.parametrize("kind", ["pkcs8", "sec1", "encrypted", "PEM", "PEM of OpenSSH"])
@pytest.mark.parametrize("damage", ["none", "a newline after it", "its end is missing"])
def test_private_key_is_refused_and_its_bytes_are_kept_nowhere(repository: Engine, kind: str, damage: str) -> None:
    key = private_keys()[kind]
    key = {"none": key, "a newline after it": key + b"\n", "its end is missing": key[:-20]}[damage]
    report = lodge_bodies(repository, [key, *look_alikes(2)])
    assert (report.lodged, report.refused) == (2, 1)
    assert isinstance(report.refusals[0].error, PrivateKeyRefusedError)
    assert report.refusals[0].body == b""
    assert rejected(repository) == {}


def test_certificate_that_a_strict_parser_refuses_is_lodged_byte_for_byte_with_a_note(
    repository: Engine, signed: list[bytes]
) -> None:
    body = with_null_parameters(signed[-1])
    assert lodge_bodies(repository, [body]).lodged == 1
    (row,) = rows(repository, certificate)
    assert row.body == body
    assert row.note.startswith("cryptography refuses it")


@pytest.mark.parametrize(
    "authority",
    [name("07", "OCÁ <&> OCA"), name("07", "OCA2", b"\x90\xb3\xd5\x1f\x30\x00\x00\x02"), name("07")],
    ids=["non-ASCII", "EUI-64", "unit only"],
)
def test_issuer_of_any_name_is_kept(repository: Engine, authority: Any) -> None:
    body = self_made(name("02", eui64=b"\x02SMKI\x02\0\1"), authority, usages=["digital_signature"], ca=False)
    have_not(repository, CertificateClass.OCA, authority)
    assert lodge_bodies(repository, [body]).lodged == 1
    (row,) = rows(repository, issuer)
    assert row.name == authority.public_bytes()
    assert row.display


def test_device_certificate_is_not_lodged_as_revoked(repository: Engine, signed: list[bytes]) -> None:
    report = lodge_bodies(repository, [signed[-1], signed[10]], status=Status.REVOKED)
    assert (report.lodged, report.refused) == (1, 1)
    assert "not revocable" in rejected(repository)[signed[-1]]


def test_progress_hears_of_every_batch(repository: Engine) -> None:
    heard: list[int] = []
    lodge(repository, [Lodgement(body, "test") for body in look_alikes(20_001)], progress=heard.append)
    assert heard == [20_000, 20_001]


def test_error_of_the_source_loses_nothing_that_was_lodged_before(repository: Engine) -> None:
    def source() -> Any:
        for body in look_alikes(20_000):
            yield Lodgement(body, "test")
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        lodge(repository, source())
    assert lodge_bodies(repository, look_alikes(20_000)).offered == 20_000
    with repository.connect() as connection:
        assert connection.execute(select(func.count()).select_from(certificate)).scalar_one() == 20_000


def test_several_processes_lodge_the_same_at_once(repository: Engine) -> None:
    bodies = look_alikes(2_000)
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: lodge_bodies(repository, bodies), range(4)))
    assert sum(report.lodged for report in reports) == 2_000
    assert sum(report.already_there for report in reports) == 6_000
    assert len(rows(repository, status_event)) == 2_000


def test_server_that_is_not_there_is_a_transport_error(tmp_path: Path) -> None:
    engine = open_engine(f"postgresql://postgres@/smki?host={tmp_path}")
    with pytest.raises(RepositoryUnavailableError, match="SMKI_DATABASE_URL"):
        lodge_bodies(engine, look_alikes(1))
