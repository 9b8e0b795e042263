"""What may be lodged, by whom it is signed."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, select, text

from builders import Nameless, have_not, have_not_issuers, lodge_bodies, look_alikes, trust
from made_certificates import name, self_made, with_serial
from smki.certificates.model import CertificateClass, Status, Usage
from smki.certificates.reading import read_certificate
from smki.errors import CertificateRefusedError, StatementRefusedError, UnknownIssuerError
from smki.repository.authorities import (
    issuer_faults,
    list_trusted_roots,
    list_unchecked_issuers,
    trust_roots,
)
from smki.repository.lodging import LodgingReport, lodge
from smki.repository.offers import Lodgement
from smki.repository.tables import certificate, rejected_lodgement, status_event
from smki_demo.generator.pki import Authority, Pki, organisations
from smki_demo.generator.revocation import Revoked, issue_lists
from smki_demo.generator.volume import ISSUER

VALID_FROM = datetime(2025, 1, 1, tzinfo=UTC)
OCA, DCA = CertificateClass.OCA, CertificateClass.DCA


def classes(engine: Engine) -> dict[bytes, str]:
    with engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(select(certificate.c.body, certificate.c["class"]))}


def refused(report: LodgingReport) -> list[type[Exception]]:
    return [type(refusal.error) for refusal in report.refusals]


def test_class_of_an_authority_is_that_of_its_root_whatever_names_say(stranger: Engine, nameless: Nameless) -> None:
    trust(stranger, OCA, nameless.root_oca.der)
    trust(stranger, DCA, nameless.root_dca.der)
    report = lodge_bodies(stranger, nameless.authorities)
    assert (report.lodged, report.refused) == (5, 0)
    expected = dict.fromkeys((one.der for one in (nameless.root_oca, nameless.first, nameless.second)), "OCA")
    assert classes(stranger) == expected | dict.fromkeys((nameless.root_dca.der, nameless.device.der), "DCA")


def test_several_keys_that_sign_under_one_name_are_each_found(stranger: Engine, nameless: Nameless) -> None:
    trust(stranger, OCA, nameless.root_oca.der)
    trust(stranger, DCA, nameless.root_dca.der)
    bodies = [*nameless.issued_by(nameless.first), *nameless.issued_by(nameless.second)]
    report = lodge_bodies(stranger, [*nameless.authorities, *bodies])
    assert (report.lodged, report.refused) == (len(bodies) + 5, 0)


@pytest.mark.parametrize(
    "order", [lambda bodies: bodies, lambda bodies: bodies[::-1]], ids=["above first", "below first"]
)
def test_authorities_and_what_they_signed_are_offered_in_any_order(
    stranger: Engine, pki: Pki, signed: list[bytes], order: Callable[[list[bytes]], list[bytes]]
) -> None:
    trust(stranger, OCA, pki.root_oca.der)
    trust(stranger, DCA, pki.root_dca.der)
    report = lodge_bodies(stranger, order(signed))
    assert (report.lodged, report.refused, report.offered) == (46, 0, 46)
    assert report.classes == {"OCA": 2, "DCA": 2, "ORGANISATION": 30, "DEVICE": 12}


def test_authority_in_a_later_batch_lodges_what_waited_for_it(
    stranger: Engine, pki: Pki, signed: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smki.repository.lodging._BATCH", 3)
    monkeypatch.setattr("smki.repository.offers._IN_MEMORY", 1)
    trust(stranger, OCA, pki.root_oca.der)
    trust(stranger, DCA, pki.root_dca.der)
    heard: list[int] = []
    offers = [Lodgement(body, "test") for body in signed[::-1]]
    report = lodge(stranger, offers, progress=heard.append)
    assert (report.lodged, report.refused) == (46, 0)
    assert heard == sorted(heard)
    assert heard[-1] == 46


def test_root_that_nobody_trusts_is_refused_with_all_below_it(stranger: Engine, pki: Pki, signed: list[bytes]) -> None:
    trust(stranger, OCA, pki.root_oca.der)
    report = lodge_bodies(stranger, signed)
    assert report.classes == {"OCA": 2, "ORGANISATION": 30}
    assert (report.refused, set(refused(report))) == (14, {UnknownIssuerError})
    with stranger.connect() as connection:
        kept = set(connection.execute(select(rejected_lodgement.c.body)).scalars())
    assert kept == set(signed) - classes(stranger).keys()


def test_refused_for_its_issuer_is_lodged_once_the_issuer_is(stranger: Engine, pki: Pki, signed: list[bytes]) -> None:
    assert lodge_bodies(stranger, signed[4:]).refused == 42
    trust(stranger, OCA, pki.root_oca.der)
    trust(stranger, DCA, pki.root_dca.der)
    lodge_bodies(stranger, signed[:4])
    assert lodge_bodies(stranger, signed[4:]).lodged == 42


def forgeries(pki: Pki) -> Iterator[tuple[str, bytes]]:
    identifier = name("02", eui64=b"\x02SMKI\x02\0\1")
    yield (
        "self-made under the issuer's name",
        self_made(identifier, pki.issuing_oca.name, usages=["digital_signature"], ca=False),
    )
    device, _ = pki.device_certificates(b"\x02DEV\0\0\0\1", VALID_FROM)
    yield "changed after it was signed", with_serial(device, b"\x01\x02\x03")
    yield "look-alike", look_alikes(1)[0]
    yield "self-made CA", self_made(name("07", "OCA1"))
    yield "self-made CA under the root's name", self_made(name("07", "OCA2"), pki.root_oca.name)
    impostor = Authority.root("OCA0", VALID_FROM)  # the root's name and another key
    yield "CA of an impostor", impostor.issuing("OCA1", VALID_FROM).der


@pytest.mark.parametrize("number", range(6))
def test_forgery_is_refused(stranger: Engine, pki: Pki, signed: list[bytes], number: int) -> None:
    trust(stranger, OCA, pki.root_oca.der)
    trust(stranger, DCA, pki.root_dca.der)
    lodge_bodies(stranger, signed)
    _, forged = list(forgeries(pki))[number]
    report = lodge_bodies(stranger, [forged])
    assert (report.lodged, report.refused) == (0, 1)
    assert isinstance(report.refusals[0].error, CertificateRefusedError)
    assert forged not in classes(stranger)


def test_statement_that_an_issuer_cannot_be_had_admits_no_forgery_of_a_lodged_key(
    repository: Engine, pki: Pki, signed: list[bytes]
) -> None:
    lodge_bodies(repository, signed)  # every issuer is stated as one that cannot be had, too
    device, _ = pki.device_certificates(b"\x02DEV\0\0\0\1", VALID_FROM)
    assert lodge_bodies(repository, [with_serial(device, b"\x01\x02\x03")]).refused == 1


def test_issuer_that_cannot_be_had_is_stated_once_and_its_certificates_are_lodged(stranger: Engine) -> None:
    bodies = look_alikes(3)
    assert lodge_bodies(stranger, bodies).refused == 3
    have_not(stranger, DCA, ISSUER)
    have_not(stranger, DCA, ISSUER)
    assert lodge_bodies(stranger, bodies).lodged == 3
    assert [(one.name, one.certificate_class) for one in list_unchecked_issuers(stranger)] == [
        (ISSUER.public_bytes(), DCA)
    ]


def test_issuing_authority_whose_root_cannot_be_had_verifies_what_it_signed(
    stranger: Engine, nameless: Nameless
) -> None:
    have_not(stranger, OCA, nameless.root_oca.name)
    have_not(stranger, DCA, nameless.root_dca.name)
    bodies = nameless.issued_by(nameless.first)
    report = lodge_bodies(stranger, [*bodies, nameless.first.der, nameless.device.der])
    assert (report.lodged, report.refused) == (len(bodies) + 2, 0)
    assert classes(stranger)[nameless.first.der] == "OCA"
    assert list_trusted_roots(stranger) == []


@pytest.mark.parametrize(
    ("lodged", "offered", "becomes", "refused"),
    [
        ("I", "R", "R", 0),
        ("I", "N", "N", 0),
        ("P", "I", "I", 0),
        ("N", "E", "E", 0),
        ("R", "I", "R", 0),
        ("E", "R", "E", 0),
        ("I", "P", "I", 0),
        ("N", "I", "N", 1),
    ],
)
def test_status_of_a_lodged_certificate_goes_forward_only(
    repository: Engine, signed: list[bytes], lodged: str, offered: str, becomes: str, refused: int
) -> None:
    body = signed[5]
    lodge_bodies(repository, [body], status=Status(lodged))
    report = lodge(repository, [Lodgement(body, "test", Status(offered))])
    assert (report.offered, report.refused, report.changed) == (1, refused, int(becomes != lodged))
    with repository.connect() as connection:
        statuses = connection.execute(text("SELECT status FROM status_event ORDER BY id")).scalars().all()
        assert connection.execute(select(certificate.c.status)).scalars().all() == [becomes]
    assert statuses == [lodged] + [becomes] * (becomes != lodged)


def test_several_statuses_in_one_batch_end_with_the_last(repository: Engine, signed: list[bytes]) -> None:
    offers = [Lodgement(signed[5], "test", Status(letter)) for letter in "PIR"]
    report = lodge(repository, offers)
    assert (report.lodged, report.already_there, report.refused) == (1, 2, 0)
    with repository.connect() as connection:
        assert connection.execute(select(certificate.c.status)).scalars().all() == ["R"]


def test_of_several_statuses_in_one_batch_each_counts_after_the_one_before_it(
    repository: Engine, signed: list[bytes]
) -> None:
    """As of a folder, in which deltas come before full extracts: the newer file says R, the older one I."""
    lodge_bodies(repository, signed[5:7])
    for first, second, body in (("R", "I", signed[5]), ("N", "E", signed[6])):
        report = lodge(repository, [Lodgement(body, "newer", Status(first)), Lodgement(body, "older", Status(second))])
        kept = int(first == "R")
        assert (report.already_there, report.changed, report.kept_status, report.refused) == (2, 2 - kept, kept, 0)
    with repository.connect() as connection:
        events = select(status_event.c.status).order_by(status_event.c.id)
        assert "".join(connection.execute(events).scalars()) == "IIRNE"
        statuses = select(certificate.c.status).order_by(certificate.c.id)
        assert "".join(connection.execute(statuses).scalars()) == "RE"


def test_listed_certificate_that_is_offered_several_times_is_lodged_once_and_expired_stays_expired(
    repository: Engine, pki: Pki, signed: list[bytes]
) -> None:
    lodge_bodies(repository, signed[:4])
    serials = [read_certificate(body).serial_number for body in signed[5:7]]
    issue_lists(repository, pki, VALID_FROM, [Revoked(serial, VALID_FROM) for serial in serials])
    many = [Lodgement(signed[5], "test", Status.IN_USE)] * 3
    report = lodge(repository, [*many, *(Lodgement(signed[6], "test", Status(letter)) for letter in "EI")])
    assert (report.lodged, report.already_there, report.changed, report.kept_status) == (2, 3, 0, 3)
    with repository.connect() as connection:
        events = select(status_event.c.status).order_by(status_event.c.id).offset(4)
        assert "".join(connection.execute(events).scalars()) == "RE"


def test_authorities_of_one_name_with_another_key_may_come_with_what_they_signed(
    stranger: Engine, pki: Pki, signed: list[bytes]
) -> None:
    renewed = Pki.create(VALID_FROM)
    trust_roots(stranger, pki.trusted_roots + renewed.trusted_roots)
    lodge_bodies(stranger, signed)
    theirs = [*list(organisations(renewed, VALID_FROM))[:3], *renewed.ca_certificates()]
    assert lodge_bodies(stranger, theirs).lodged == len(theirs)


@pytest.mark.parametrize("order", [1, -1])
def test_status_is_not_lost_where_another_certificate_has_the_same_serial_number(stranger: Engine, order: int) -> None:
    body, other = look_alikes(1)[0], look_alikes(2, seed=9)[1]
    other = with_serial(other, read_certificate(body).serial_number)
    have_not_issuers(stranger, [body])
    lodge_bodies(stranger, [body])
    offers = [Lodgement(one, "test", Status.NOT_IN_USE) for one in (body, other)]
    report = lodge(stranger, offers[::order])
    assert (report.already_there, report.changed, report.refused) == (1, 1, 1)


def test_manufacturing_flag_is_what_it_was_lodged_with_and_another_one_is_refused(
    repository: Engine, signed: list[bytes]
) -> None:
    lodge(repository, [Lodgement(signed[5], "Annex B", Status.IN_USE, manufacturing=True)])
    assert lodge(repository, [Lodgement(signed[5], "DER, which states none")]).already_there == 1
    report = lodge(repository, [Lodgement(signed[5], "Annex B", Status.REVOKED, manufacturing=False)])
    assert (report.already_there, report.changed, report.refused) == (0, 0, 1)
    assert "ManufacturingFlag" in report.refusals[0].error.rule


def test_status_that_nobody_states_changes_nothing(repository: Engine, signed: list[bytes]) -> None:
    lodge_bodies(repository, [signed[5]], status=Status.NOT_IN_USE)
    report = lodge(repository, [Lodgement(signed[5], "test")])
    assert (report.already_there, report.changed, report.kept_status, report.refused) == (1, 0, 0, 0)


def test_authority_that_is_offered_again_and_again_counts_once(
    repository: Engine, pki: Pki, signed: list[bytes]
) -> None:
    lodge_bodies(repository, signed[:4] * 3)
    device, _ = pki.device_certificates(b"\x02DEV\0\0\0\1", VALID_FROM)
    (refusal,) = lodge_bodies(repository, [*signed[:4] * 2, with_serial(device, b"\x01\x02\x03")]).refusals
    assert "none of 1 lodged certificates" in refusal.error.rule


def test_spellings_of_one_name_are_one_issuer(stranger: Engine) -> None:
    counts = {name("07", "Z1").public_bytes(): 2, name("07", " z1 ").public_bytes(): 3}
    unknown, remarks = issuer_faults(stranger, counts)
    assert (len(unknown), unknown[0].startswith("5 "), remarks) == (1, True, [])
    have_not(stranger, OCA, name("07", "Z1"))
    unknown, remarks = issuer_faults(stranger, counts)
    assert (unknown, len(remarks), remarks[0].startswith("5 ")) == ([], 1, True)


@pytest.mark.parametrize("unchecked", [False, True])
def test_organisations_are_signed_under_an_oca_and_devices_under_a_dca(
    stranger: Engine, nameless: Nameless, unchecked: bool
) -> None:
    if unchecked:
        have_not(stranger, OCA, nameless.first.name)
        have_not(stranger, DCA, nameless.device.name)
    else:
        trust(stranger, OCA, nameless.root_oca.der)
        trust(stranger, DCA, nameless.root_dca.der)
        lodge_bodies(stranger, nameless.authorities)
    before = classes(stranger)
    exchanged = Pki(nameless.root_oca, nameless.device, nameless.root_dca, nameless.first)
    organisation = exchanged.organisation_certificate(2, Usage.DIGITAL_SIGNATURE, b"\x02SMKI\x02\0\x09", VALID_FROM)
    devices = exchanged.device_certificates(b"\x02DEV\0\0\0\2", VALID_FROM)
    report = lodge_bodies(stranger, [organisation, *devices])
    assert refused(report) == [CertificateRefusedError] * 3
    assert classes(stranger) == before
    with stranger.connect() as connection:
        assert set(connection.execute(select(rejected_lodgement.c.body)).scalars()) == {organisation, *devices}


def test_one_name_of_authorities_of_both_classes_is_told_apart_by_what_it_signed(
    stranger: Engine, nameless: Nameless
) -> None:
    trust(stranger, OCA, nameless.root_oca.der)
    trust(stranger, DCA, nameless.root_dca.der)
    same = nameless.root_dca.issuing("Z1", VALID_FROM)
    pki = Pki(nameless.root_oca, nameless.first, nameless.root_dca, same)
    devices = pki.device_certificates(b"\x02DEV\0\0\0\2", VALID_FROM)
    report = lodge_bodies(
        stranger, [*nameless.issued_by(nameless.first)[:4], *devices, *nameless.authorities, same.der]
    )
    assert (report.refused, report.classes) == (0, {"OCA": 3, "DCA": 3, "ORGANISATION": 4, "DEVICE": 2})


def test_class_is_stated_anew_until_something_is_lodged_by_it(stranger: Engine, nameless: Nameless) -> None:
    root, name_of_first = nameless.root_oca.der, nameless.first.name
    for of_class in (DCA, OCA):
        trust(stranger, of_class, root)
        have_not(stranger, of_class, name_of_first)
    assert [one.certificate_class for one in list_trusted_roots(stranger)] == [OCA]
    assert [one.certificate_class for one in list_unchecked_issuers(stranger)] == [OCA]
    assert lodge_bodies(stranger, [root, nameless.issued_by(nameless.first)[0]]).lodged == 2
    for state in (lambda: trust(stranger, DCA, root), lambda: have_not(stranger, DCA, name_of_first)):
        with pytest.raises(StatementRefusedError):
            state()
    trust(stranger, OCA, root)
    have_not(stranger, OCA, name_of_first)
