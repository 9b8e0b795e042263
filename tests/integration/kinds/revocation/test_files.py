"""The published files of the revocation lists: what they are, and what is checked before they go out."""

import gzip
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import crl as crl_structure
from cryptography import x509
from sqlalchemy import Engine, text

from builders import XSD, lodge_bodies, reference
from smki.certificates.model import ListKind
from smki.certificates.set_digest import SetDigest
from smki.errors import ObligationError, PublicationRefusedError
from smki.gate.bounds import load_quality
from smki.gate.judging import judge
from smki.gate.ledger import Decision, find_gate_run, record_decision, record_judgement
from smki.gate.model import Verdict
from smki.kinds import Source
from smki.kinds.revocation.evidence import examine_list, file_evidence
from smki.kinds.revocation.file import (
    lists_without_obligation,
    lists_without_successor,
    newest_list,
    refuse_ended,
    unpublished_lists,
    write_revocation_file,
)
from smki.kinds.revocation.lodging import LodgedList, lodge_revocation_lists
from smki.kinds.revocation.reading import read_revocation_list
from smki.obligations.catalogue import Obligation, RevocationList, UserGuide
from smki.publish.artefact import Artefact
from smki.publish.ledger import record_artefact, record_publication
from smki.publish.recipe import PublishedFile
from smki.repository.offers import RevocationListOffer
from smki.settings import INCLUDE
from smki.store.content import SmallFile
from smki.store.gzip_writer import write_single
from smki.verify.faults import Fault
from smki_demo.generator.pki import Authority, Pki
from smki_demo.generator.revocation import CRL_VALIDITY, Revoked, issue_lists, revocation_list

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
LISTS = ("arl", "crl")
SITES = ("primary", "dr")
HOUR = timedelta(hours=1)


@pytest.fixture
def stored(repository: Engine, pki: Pki, signed: list[bytes]) -> Engine:
    """A repository with an ARL and a CRL that has one entry."""
    lodge_bodies(repository, signed)
    issue_lists(repository, pki, NOW, [Revoked(reference(signed[4]).serial_number, NOW)])
    return repository


def newest(engine: Engine, terms: Obligation) -> LodgedList:
    lodged = newest_list(engine, terms)
    assert lodged is not None
    return lodged


def produce(engine: Engine, terms: Obligation, folder: Path, now: datetime = NOW) -> Artefact:
    return write_revocation_file(terms, newest(engine, terms), folder, now, "test")


def faults(engine: Engine, terms: Obligation, folder: Path, now: datetime = NOW) -> set[Fault]:
    """What is wrong with the file that is made of the newest list."""
    artefact = produce(engine, terms, folder, now)
    return {one.fault for one in examine_list(engine, folder / artefact.name, newest(engine, terms), now).faults}


def publish(engine: Engine, artefact: Artefact, site: str) -> None:
    """As the ledger records it."""
    with engine.begin() as connection:
        record_artefact(connection, artefact)
        done = PublishedFile(f"/{artefact.name}", artefact.bytes, artefact.sha256, already_there=False)
        record_publication(connection, site, artefact.name, done, "test")


def check_file(engine: Engine, terms: Obligation, folder: Path) -> None:
    artefact, lodged = produce(engine, terms, folder), newest(engine, terms)
    file = folder / terms.file
    with gzip.open(file) as stream:
        content = stream.read()
        assert stream.mtime == lodged.this_update.timestamp()
    assert content == lodged.body
    assert x509.load_der_x509_crl(content).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 1
    assert file.read_bytes()[10:].startswith(terms.file.removesuffix(".gz").encode() + b"\0")
    assert (artefact.obligation, artefact.name, artefact.version) == (terms.name, terms.file, lodged.id)
    assert (artefact.business_date, artefact.window_seq) == (lodged.this_update.date(), None)
    assert (artefact.records, artefact.set_digest) == (lodged.entries, SetDigest.of([lodged.body]))
    assert artefact.content_digest == hashlib.sha256(lodged.body).hexdigest()


def test_clause_2_3_3_c_file_is_the_latest_arl_as_gz(stored: Engine, user_guide: UserGuide, tmp_path: Path) -> None:
    check_file(stored, user_guide.obligation("arl"), tmp_path)


def test_clause_2_3_3_d_file_is_the_latest_crl_as_gz(stored: Engine, user_guide: UserGuide, tmp_path: Path) -> None:
    check_file(stored, user_guide.obligation("crl"), tmp_path)


def with_issuers(guide: UserGuide, *issuers: str) -> UserGuide:
    """The guide with a CRL section an issuer, the first one called as the shipped one is."""
    crl = guide.obligation("crl")
    assert isinstance(crl.kind, RevocationList)
    sections = [
        replace(crl, name=f"crl{number or ''}", file=f"{number}_{crl.file}", kind=replace(crl.kind, issuer=issuer))
        for number, issuer in enumerate(issuers)
    ]
    return replace(guide, all=(*(one for one in guide.all if one.name != "crl"), *sections))


@pytest.fixture
def second(stored: Engine, pki: Pki) -> Authority:
    """An issuing OCA beside the first one; its list is the newest that is lodged."""
    authority = pki.root_oca.issuing("OCA2", datetime(2020, 1, 1, tzinfo=UTC))
    lodge_bodies(stored, [authority.der])
    body = revocation_list(authority, 1, NOW, NOW + CRL_VALIDITY)
    assert not lodge_revocation_lists(stored, [RevocationListOffer(body, "test")], NOW).refusals
    return authority


@pytest.mark.usefixtures("second")
def test_each_issuers_list_is_its_obligations_file(stored: Engine, user_guide: UserGuide, tmp_path: Path) -> None:
    guide = with_issuers(user_guide, "CN=OCA1,OU=07", "CN=OCA2,OU=07")
    files = {}
    for name in ("crl", "crl1"):
        artefact = produce(stored, guide.obligation(name), tmp_path)
        files[artefact.name] = newest(stored, guide.obligation(name)).issuer_display.split(",")[0]
        publish(stored, artefact, "primary")
    assert list(files.values()) == ["Common Name: OCA1", "Common Name: OCA2"]
    assert len(files) == 2
    assert [entry.partition(" of ")[0] for entry in unpublished_lists(stored, guide, ["primary"])] == ["ARL 1"]
    assert lists_without_obligation(stored, guide) == []


@pytest.mark.usefixtures("second")
def test_list_of_a_second_issuer_never_takes_the_place_of_the_firsts(stored: Engine, user_guide: UserGuide) -> None:
    with pytest.raises(ObligationError, match=r"\[crl\] issuer: 2 issuers have CRLs .*OCA2.*OCA1"):
        newest_list(stored, user_guide.obligation("crl"))
    assert [entry[:3] for entry in unpublished_lists(stored, user_guide, ["primary"])] == ["ARL"]
    assert [lodged.kind for lodged in lists_without_obligation(stored, user_guide)] == [ListKind.CRL] * 2


@pytest.mark.usefixtures("second")
def test_list_of_an_issuer_that_no_obligation_states_is_told(stored: Engine, user_guide: UserGuide) -> None:
    guide = with_issuers(user_guide, "OCA1")
    assert newest(stored, guide.obligation("crl")).issuer_display.startswith("Common Name: OCA1")
    (unclaimed,) = lists_without_obligation(stored, guide)
    assert unclaimed.issuer_display.startswith("Common Name: OCA2")


@pytest.mark.parametrize("forgets", [False, True])
def test_list_of_a_restored_issuer_is_published_once_a_person_releases_it(
    stored: Engine, pki: Pki, user_guide: UserGuide, tmp_path: Path, forgets: bool
) -> None:
    terms = user_guide.obligation("crl")
    source = Source(stored, user_guide, load_quality(INCLUDE / "config"), XSD, tmp_path / "no anchor slots")

    def judged(body: bytes, now: datetime) -> tuple[Artefact, int, Verdict]:
        assert not lodge_revocation_lists(stored, [RevocationListOffer(body, "test")], now).refusals
        artefact = produce(stored, terms, tmp_path, now)
        judgement = judge(file_evidence(source, terms, tmp_path / artefact.name, now), "test", now)
        return artefact, record_judgement(stored, judgement), judgement.verdict

    def issued(number: int, at: datetime, *, without_entries: bool = False) -> bytes:
        entries = [] if without_entries else [Revoked(one.serial_number, one.revoked_at) for one in listed.entries]
        return revocation_list(pki.issuing_oca, number, at, at + CRL_VALIDITY, entries)

    listed = read_revocation_list(newest(stored, terms).body)
    first, _, verdict = judged(issued(100, NOW + HOUR), NOW + HOUR)
    assert verdict is Verdict.PASS
    publish(stored, first, "primary")

    restored, gate_run, verdict = judged(issued(51, NOW + 2 * HOUR, without_entries=forgets), NOW + 2 * HOUR)
    assert (verdict, find_gate_run(stored, gate_run).is_cleared) == (Verdict.HOLD, False)
    record_decision(stored, gate_run, Decision(True, "restored from a backup", "on-call", NOW + 2 * HOUR))
    assert find_gate_run(stored, gate_run).is_cleared
    publish(stored, restored, "primary")

    assert judged(issued(52, NOW + 3 * HOUR), NOW + 3 * HOUR)[2] is Verdict.PASS


def test_newer_list_is_the_next_version_and_the_same_one_the_same_file(
    stored: Engine, pki: Pki, user_guide: UserGuide, tmp_path: Path
) -> None:
    crl = user_guide.obligation("crl")
    first, again = produce(stored, crl, tmp_path), produce(stored, crl, tmp_path)
    assert (again.sha256, again.version) == (first.sha256, first.version)
    issue_lists(stored, pki, NOW + timedelta(hours=12))
    later = produce(stored, crl, tmp_path, NOW + timedelta(hours=12))
    assert (later.version or 0) > (first.version or 0)
    assert later.content_digest != first.content_digest


@pytest.mark.parametrize("step", [1, 5, -1])
def test_large_crl_number_is_compared_digit_by_digit(
    stored: Engine, pki: Pki, user_guide: UserGuide, tmp_path: Path, step: int
) -> None:
    """RFC 5280, 5.2.3 allows 20 bytes; a float holds 53 bits."""
    terms, number = user_guide.obligation("crl"), (1 << 158) + 1
    source = Source(stored, user_guide, load_quality(INCLUDE / "config"), XSD, tmp_path / "no anchor slots")
    listed = read_revocation_list(newest(stored, terms).body).entries
    revoked = [Revoked(one.serial_number, one.revoked_at) for one in listed]
    verdicts = []
    for hours, of in ((1, number), (2, number + step)):
        at = NOW + hours * HOUR
        offered = RevocationListOffer(revocation_list(pki.issuing_oca, of, at, at + CRL_VALIDITY, revoked), "test")
        assert not lodge_revocation_lists(stored, [offered], at).refusals
        artefact = produce(stored, terms, tmp_path, at)
        judgement = judge(file_evidence(source, terms, tmp_path / artefact.name, at), "test", at)
        verdicts.append(judgement.verdict)
        record_judgement(stored, judgement)
        if hours == 1:
            publish(stored, artefact, "primary")
    assert verdicts == [Verdict.PASS, Verdict.PASS if step > 0 else Verdict.HOLD]


def test_list_that_ran_out_while_it_was_held_is_not_published(
    stored: Engine, user_guide: UserGuide, tmp_path: Path
) -> None:
    artefact = produce(stored, user_guide.obligation("crl"), tmp_path)
    content = SmallFile(artefact.name, (tmp_path / artefact.name).read_bytes())
    refuse_ended(content, NOW + CRL_VALIDITY - timedelta(seconds=1))
    with pytest.raises(PublicationRefusedError, match=r"nextUpdate of .* passed at"):
        refuse_ended(content, NOW + CRL_VALIDITY)


def test_list_of_the_first_year_is_judged_by_name(
    stored: Engine, pki: Pki, user_guide: UserGuide, tmp_path: Path
) -> None:
    crl = newest(stored, user_guide.obligation("crl"))
    body = revocation_list(pki.issuing_oca, 1, datetime(1951, 1, 1, tzinfo=UTC), NOW + CRL_VALIDITY)
    stated = crl_structure.CertificateList.load(body)
    stated["tbs_cert_list"]["this_update"] = crl_structure.Time({"general_time": NOW})
    of_now = stated.dump(force=True)
    stamp = f"{NOW:%Y%m%d%H%M%S}Z".encode()
    assert of_now.count(stamp) == 1
    file = tmp_path / "SMKIKR_ORGANISATION_CRL.crl.gz"
    write_single(file, of_now.replace(stamp, b"00010101000000Z"), NOW)
    assert {one.fault for one in examine_list(stored, file, crl, NOW).faults} == {Fault.CONTENT, Fault.SIGNATURE}


def test_stale_list_is_not_published(stored: Engine, user_guide: UserGuide, tmp_path: Path) -> None:
    assert faults(stored, user_guide.obligation("crl"), tmp_path, NOW + CRL_VALIDITY) == {Fault.FRESHNESS}
    assert faults(stored, user_guide.obligation("arl"), tmp_path, NOW + CRL_VALIDITY) == set()


def test_file_that_does_not_hold_the_lodged_list_is_not_published(
    stored: Engine, user_guide: UserGuide, tmp_path: Path
) -> None:
    arl, crl = (newest(stored, user_guide.obligation(obligation)) for obligation in LISTS)
    file = tmp_path / "SMKIKR_ORGANISATION_CRL.crl.gz"
    write_single(file, arl.body, NOW)
    found = {one.fault for one in examine_list(stored, file, crl, NOW).faults}
    assert found == {Fault.CONTENT, Fault.SIGNATURE}
    file.write_bytes(file.read_bytes()[:-9])
    assert [one.fault for one in examine_list(stored, file, crl, NOW).faults] == [Fault.GZIP]


def test_list_that_was_changed_in_the_repository_is_not_published(
    stored: Engine, user_guide: UserGuide, tmp_path: Path
) -> None:
    with stored.begin() as connection:
        connection.execute(
            text(
                "UPDATE revocation_list "
                "SET body = set_byte(body, length(body) - 1, get_byte(body, length(body) - 1) # 1) WHERE kind = 'CRL'"
            )
        )
    assert faults(stored, user_guide.obligation("crl"), tmp_path) == {Fault.SIGNATURE}


def test_list_under_the_other_ones_name_is_not_published(stored: Engine, user_guide: UserGuide, tmp_path: Path) -> None:
    with stored.begin() as connection:
        connection.execute(
            text(
                "UPDATE revocation_list SET kind = 'ARL', "
                "issuer_id = (SELECT issuer_id FROM revocation_list WHERE kind = 'ARL') WHERE kind = 'CRL'"
            )
        )
    assert faults(stored, user_guide.obligation("arl"), tmp_path) == {Fault.SIGNATURE}


def test_list_of_an_authority_that_was_revoked_since_is_not_published(
    stored: Engine, pki: Pki, user_guide: UserGuide, tmp_path: Path
) -> None:
    with stored.begin() as connection:
        connection.execute(
            text("UPDATE certificate SET status = 'R' WHERE body = :body"), {"body": pki.issuing_oca.der}
        )
    assert faults(stored, user_guide.obligation("crl"), tmp_path) == {Fault.SIGNATURE}


def test_nothing_waits_while_nothing_is_lodged(repository: Engine, user_guide: UserGuide) -> None:
    assert unpublished_lists(repository, user_guide, SITES) == []
    assert newest_list(repository, user_guide.obligation("arl")) is None


def test_newest_lists_wait_until_every_site_offers_them(
    stored: Engine, pki: Pki, user_guide: UserGuide, tmp_path: Path
) -> None:
    arl, crl = (produce(stored, user_guide.obligation(obligation), tmp_path) for obligation in LISTS)

    def waiting() -> list[str]:
        return [f"{entry[:5]} {entry.rpartition(' ')[2]}" for entry in unpublished_lists(stored, user_guide, SITES)]

    assert waiting() == ["ARL 1 primary", "ARL 1 dr", "CRL 1 primary", "CRL 1 dr"]
    publish(stored, arl, "primary")
    publish(stored, arl, "dr")
    publish(stored, crl, "dr")
    assert waiting() == ["CRL 1 primary"]
    publish(stored, crl, "primary")
    assert waiting() == []
    issue_lists(stored, pki, NOW + timedelta(hours=1))
    assert waiting() == ["ARL 2 primary", "ARL 2 dr", "CRL 2 primary", "CRL 2 dr"]


@pytest.mark.parametrize(("hours", "kinds"), [(23, []), (25, [ListKind.CRL]), (49, [ListKind.CRL])])
def test_list_that_nears_its_next_update_without_a_successor_is_named(
    stored: Engine, user_guide: UserGuide, hours: int, kinds: list[ListKind]
) -> None:
    ending = lists_without_successor(stored, user_guide, NOW + timedelta(hours=hours))
    assert [lodged.kind for lodged in ending] == kinds


def test_successor_ends_the_warning(stored: Engine, pki: Pki, user_guide: UserGuide) -> None:
    later = NOW + timedelta(hours=40)
    issue_lists(stored, pki, later)
    assert lists_without_successor(stored, user_guide, later) == []
