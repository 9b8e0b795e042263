"""What lodging a list does to certificates, lodged before it or after it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from sqlalchemy import Engine, func, select, text, update

from builders import change, contents_of, cut_off, day, during, lodge_bodies, produced, reference
from made_certificates import self_made
from smki.certificates.model import Status
from smki.kinds.revocation.lodging import (
    lodge_revocation_lists,
)
from smki.obligations.catalogue import UserGuide
from smki.repository.offers import RevocationListOffer
from smki.repository.tables import certificate, listed_certificate, status_event
from smki.repository.windows import close_windows
from smki_demo.generator.pki import Pki

from .lists import HOUR, NOW, ORGANISATION, OTHER, Lister, lodge_one, refuse, rows, status_of


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


def test_list_of_another_issuer_does_not_revoke_what_is_lodged_later(
    repository: Engine, pki: Pki, signed: list[bytes], arls: Lister
) -> None:
    lodge_bodies(repository, pki.ca_certificates())
    lodge_one(repository, arls.next(signed[ORGANISATION]))
    lodge_bodies(repository, signed)
    assert status_of(repository, signed[ORGANISATION]) == "I"


@pytest.mark.parametrize("number", [51, 101])
def test_entry_that_the_next_list_no_longer_has_revokes_what_is_lodged_later(
    repository: Engine, pki: Pki, signed: list[bytes], crls: Lister, number: int
) -> None:
    lodge_bodies(repository, pki.ca_certificates())
    lodge_one(repository, crls.next(signed[ORGANISATION], signed[OTHER], number=100))
    later = NOW + HOUR
    forgetful = lodge_one(repository, crls.next(signed[OTHER], at=later, number=number), later)
    assert (forgetful.dropped, forgetful.forgotten) == ((), ())
    assert forgetful.dropped_unknown == (reference(signed[ORGANISATION]).serial_number,)
    lodge_bodies(repository, signed[ORGANISATION : OTHER + 1])
    events = rows(repository, status_event)[-2:]
    assert [event.status for event in events] == ["R", "R"]
    assert all(event.reason.startswith("lodged, on CRL 100 of ") for event in events), "the first list that had it"


def test_entry_of_an_authoritys_former_key_revokes_what_is_lodged_after_the_list_of_the_new_one(
    repository: Engine, pki: Pki, signed: list[bytes], crls: Lister
) -> None:
    renewed = pki.root_oca.issuing("OCA1", datetime(2026, 1, 1, tzinfo=UTC))
    lodge_bodies(repository, [*pki.ca_certificates(), renewed.der])
    lodge_one(repository, crls.next(signed[ORGANISATION]))
    lodge_one(repository, Lister(renewed).next(at=NOW + HOUR), NOW + HOUR)
    lodge_bodies(repository, [signed[ORGANISATION]])
    assert status_of(repository, signed[ORGANISATION]) == "R"


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
