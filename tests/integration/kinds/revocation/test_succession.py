"""Which list follows which: ages, numbers, and entries that are gone."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from builders import lodge_bodies, reference
from made_certificates import name, self_made
from smki.certificates.model import ListKind
from smki.kinds.revocation.lodging import (
    all_lists,
    latest_list,
    newest_lists,
)
from smki.repository.status import expire
from smki.repository.tables import rejected_lodgement, status_event
from smki.repository.tables import revocation_list as lists_table
from smki_demo.generator.pki import Pki
from smki_demo.generator.revocation import CRL_VALIDITY

from .lists import HOUR, NOW, ORGANISATION, OTHER, Lister, lodge_one, offer, refuse, rows, status_of


def test_same_list_again_changes_nothing_even_when_it_is_old(stored: Engine, signed: list[bytes], crls: Lister) -> None:
    first, second = crls.next(signed[ORGANISATION]), crls.next(signed[ORGANISATION])
    offer(stored, first, second)
    before = [rows(stored, table) for table in (status_event, lists_table, rejected_lodgement)]
    for body in (first, second):
        again = lodge_one(stored, body, NOW + 10 * CRL_VALIDITY)
        assert (again.already_there, again.revoked) == (True, 0)
    assert [rows(stored, table) for table in (status_event, lists_table, rejected_lodgement)] == before


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
    first = lodge_one(stored, crls.next(signed[ORGANISATION], number=100))
    later = NOW + HOUR
    second = lodge_one(stored, crls.next(signed[ORGANISATION], signed[OTHER], at=later, number=number), later)
    assert (second.lodged.number, second.before, second.revoked) == (number, first.lodged, 1)
    assert (len(first.steps_back), len(second.steps_back)) == (0, 1)
    third = lodge_one(stored, crls.next(signed[ORGANISATION], signed[OTHER], at=later + HOUR), later + HOUR)
    assert third.steps_back == ()


def test_list_that_ends_before_the_one_it_follows_is_lodged(stored: Engine, crls: Lister) -> None:
    lodge_one(stored, crls.next())
    crls.validity = CRL_VALIDITY / 2
    assert len(lodge_one(stored, crls.next()).steps_back) == 1


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


@pytest.mark.parametrize("number", [4, 5])
def test_list_of_the_same_instant_whose_number_does_not_rise_is_refused(
    stored: Engine, signed: list[bytes], crls: Lister, number: int
) -> None:
    lodge_one(stored, crls.next(number=5))
    refuse(stored, crls.next(signed[ORGANISATION], number=number), "do not follow those of the lodged list 5")


def test_list_whose_this_update_goes_back_is_refused(stored: Engine, crls: Lister) -> None:
    lodge_one(stored, crls.next())
    refuse(stored, crls.next(at=NOW - timedelta(seconds=1)), "do not follow those of the lodged list 1")


def test_list_of_a_restored_issuer_that_forgot_revocations_is_lodged_and_takes_none_back(
    stored: Engine, signed: list[bytes], crls: Lister
) -> None:
    later, body = NOW + HOUR, signed[OTHER + 1]
    lodge_one(stored, crls.next(signed[ORGANISATION], signed[OTHER], number=100))
    restored = lodge_one(stored, crls.next(signed[ORGANISATION], body, at=later, number=51), later)
    assert (restored.forgotten, restored.dropped) == ((reference(signed[OTHER]).serial_number,), ())
    assert (restored.revoked, len(restored.steps_back)) == (1, 2)
    assert [status_of(stored, one) for one in (signed[ORGANISATION], signed[OTHER], body)] == ["R", "R", "R"]


def test_list_may_drop_a_certificate_once_its_not_after_has_passed(stored: Engine, pki: Pki, crls: Lister) -> None:
    organisation = name("02", eui64=b"\x02SMKI\x02\xfe\x01")
    short = self_made(organisation, pki.issuing_oca.name, usages=["digital_signature"], ca=False, not_after=NOW + HOUR)
    lodge_bodies(stored, [short])
    assert lodge_one(stored, crls.next(short)).revoked == 1
    later = NOW + HOUR + timedelta(seconds=1)
    lodgement = lodge_one(stored, crls.next(at=later), later)
    assert (lodgement.dropped, lodgement.forgotten) == ((reference(short).serial_number,), ())
    assert expire(stored, later) == 0, "R is final"
    assert status_of(stored, short) == "R"
