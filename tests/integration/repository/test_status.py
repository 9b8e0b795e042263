from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, select

from builders import change, lodge_bodies, look_alikes, reference, trust
from made_certificates import name, self_made, with_serial
from smki.certificates.model import CertificateClass, Status
from smki.errors import TransitionRefusedError, UnknownCertificateError
from smki.repository.status import CertificateReference, StatusChange, expire, set_statuses
from smki.repository.tables import certificate, status_event

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def statuses(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(select(certificate.c.status).order_by(certificate.c.id)).scalars())


def events(engine: Engine) -> list[tuple[int, str, str]]:
    with engine.connect() as connection:
        columns = status_event.c.certificate_id, status_event.c.status, status_event.c.reason
        return [(row[0], row[1], row[2]) for row in connection.execute(select(*columns).order_by(status_event.c.id))]


def test_change_is_an_event_and_the_certificates_latest_status(repository: Engine) -> None:
    bodies = look_alikes(2)
    lodge_bodies(repository, bodies, status=Status.PENDING)
    at = datetime(2025, 6, 2, 12, tzinfo=UTC)
    assert set_statuses(repository, [StatusChange(reference(bodies[1]), Status.IN_USE, "installed", at)]) == 1
    assert statuses(repository) == ["P", "I"]
    assert events(repository)[2:] == [(2, "I", "installed")]


def test_certificate_that_has_the_status_already_is_left_alone(repository: Engine) -> None:
    bodies = look_alikes(2)
    lodge_bodies(repository, bodies)
    change(repository, bodies[:1], Status.NOT_IN_USE)
    assert change(repository, bodies, Status.NOT_IN_USE) == 1
    assert len(events(repository)) == 4


def test_one_refused_change_refuses_all(repository: Engine, signed: list[bytes]) -> None:
    lodge_bodies(repository, signed)
    before = events(repository)
    with pytest.raises(TransitionRefusedError, match="Device"):
        change(repository, signed, Status.REVOKED)
    assert (statuses(repository), events(repository)) == (["I"] * len(signed), before)


def test_changes_of_one_certificate_apply_in_order(repository: Engine) -> None:
    (body,) = look_alikes(1)
    lodge_bodies(repository, [body], status=Status.PENDING)
    steps = [Status.IN_USE, Status.NOT_IN_USE, Status.IN_USE, Status.EXPIRED]
    assert set_statuses(repository, [StatusChange(reference(body), step, "test") for step in steps]) == 4
    assert [status for _, status, _ in events(repository)] == list("PINIE")
    with pytest.raises(TransitionRefusedError, match="status E"):
        change(repository, [body], Status.IN_USE)


def test_unknown_serial_number_is_refused_by_name(repository: Engine) -> None:
    with pytest.raises(UnknownCertificateError, match="certificate 0102"):
        set_statuses(repository, [StatusChange(CertificateReference(b"\1\2"), Status.REVOKED, "test")])


def test_serial_number_of_two_issuers_wants_the_issuer_too(repository: Engine, signed: list[bytes]) -> None:
    first = signed[0]
    serial = reference(first).serial_number
    second = with_serial(signed[10], serial)
    lodge_bodies(repository, [first, second])
    with pytest.raises(UnknownCertificateError, match="2 issuers"):
        set_statuses(repository, [StatusChange(CertificateReference(serial), Status.REVOKED, "test")])
    assert change(repository, [second], Status.REVOKED) == 1
    assert statuses(repository) == ["I", "R"]


def test_no_change_at_all_is_no_error(repository: Engine) -> None:
    assert set_statuses(repository, []) == 0


def test_certificates_whose_end_has_passed_expire_and_the_others_do_not(repository: Engine) -> None:
    ends = [NOW - timedelta(seconds=1), NOW, NOW + timedelta(days=1), NOW - timedelta(days=1), NOW - timedelta(days=9)]
    bodies = [
        self_made(name("00", f"OCA{number}"), serial=0x5E1F_3ADE_0000_0001 + number, not_after=end)
        for number, end in enumerate(ends)
    ]
    trust(repository, CertificateClass.OCA, *bodies)
    lodge_bodies(repository, bodies)
    change(repository, bodies[3:4], Status.REVOKED)
    assert expire(repository, NOW) == 2
    assert statuses(repository) == ["E", "I", "I", "R", "E"]
    assert events(repository)[-2:] == [(1, "E", "notAfter has passed"), (5, "E", "notAfter has passed")]
    assert expire(repository, NOW) == 0


def test_more_certificates_than_a_batch_expire(repository: Engine) -> None:
    lodge_bodies(repository, look_alikes(10_001))
    with repository.begin() as connection:
        connection.exec_driver_sql("UPDATE certificate SET not_after = '2020-01-01'")
    assert expire(repository, NOW) == 10_001
    assert set(statuses(repository)) == {"E"}
