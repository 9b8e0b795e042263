"""Taking over what was published before: by others, or by this repository until its database was lost."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text

from builders import (
    XSD,
    change,
    contents_of,
    cut_off,
    day,
    document,
    during,
    in_use,
    lodge_bodies,
    produced,
    record_of,
    records_of,
    state_as_of,
    zipped,
)
from conftest import NewRepository
from smki.certificates.model import Status
from smki.certificates.reading import read_certificate
from smki.errors import TakeOverError
from smki.kinds.revocation.lodging import lodge_revocation_lists, newest_lists, read_list
from smki.obligations.catalogue import UserGuide
from smki.repository.authorities import trust_roots
from smki.repository.database import reading
from smki.repository.lodging import lodge
from smki.repository.offers import Lodgement, RevocationListOffer
from smki.repository.tables import certificate, status_event
from smki.repository.takeover import take_over, take_over_next
from smki.repository.windows import close_windows, find_window, in_use_digest, list_windows
from smki_demo.generator.filling import fill_with_history
from smki_demo.generator.pki import Pki
from smki_demo.generator.revocation import Revoked, issue_lists


@dataclass(frozen=True)
class Published:
    """A repository and its files, oldest first."""

    engine: Engine
    full: Path
    deltas: list[Path]


@pytest.fixture
def published(new_repository: NewRepository, user_guide: UserGuide, signed: list[bytes], tmp_path: Path) -> Published:
    """A FULL of day 7 and the DELTs of days 8 … 10, with every kind of move in them."""
    engine = new_repository()
    lodge_bodies(engine, signed[:30], during(1))
    change(engine, signed[6:8], Status.NOT_IN_USE, during(2))
    close_windows(engine, day(7), cut_off)
    files = [produced(engine, user_guide.full, day(7), tmp_path)[0]]
    lodge_bodies(engine, signed[30:], during(8), Status.PENDING)
    change(engine, signed[8:9], Status.REVOKED, during(8, 13))
    change(engine, signed[6:7], Status.IN_USE, during(8, 14))
    change(engine, signed[34:36], Status.IN_USE, during(9))
    change(engine, signed[9:10], Status.NOT_IN_USE, during(9, 13))
    change(engine, signed[9:10], Status.IN_USE, during(9, 14))  # there and back within one window
    change(engine, signed[10:11], Status.EXPIRED, during(10))
    for window in (8, 9, 10):
        close_windows(engine, day(window), cut_off)
        files.append(produced(engine, user_guide.delta, day(window), tmp_path)[0])
    return Published(engine, files[0], files[1:])


def test_rebuilt_from_its_files_a_repository_has_the_same_state_on_each_day(
    published: Published, repository: Engine, user_guide: UserGuide
) -> None:
    taken_over = list(take_over(repository, user_guide, published.full, published.deltas[::-1]))
    assert [one.window.seq for one in taken_over] == [0, 1, 2, 3]
    assert [one.window.business_date for one in taken_over] == [day(7), day(8), day(9), day(10)]
    for one, seq in zip(taken_over, (7, 8, 9, 10), strict=True):
        assert in_use_digest(repository, one.window.seq) == in_use_digest(published.engine, seq)
    theirs = {window.business_date: window.changed for window in list_windows(published.engine)}
    assert all(one.window.changed == theirs[one.window.business_date] for one in taken_over[1:])
    # What was N before the FULL and has not changed since stands in none of the files.
    before = state_as_of(published.engine, 10)
    after = state_as_of(repository, 3)
    assert after.items() <= before.items()
    assert set(before.values()) == {"I", "N", "P", "R", "E"}
    assert [before[body] for body in before.keys() - after.keys()] == ["N"]


def test_rebuilt_repository_goes_on_the_next_day(
    published: Published, repository: Engine, user_guide: UserGuide, signed: list[bytes], tmp_path: Path
) -> None:
    list(take_over(repository, user_guide, published.full, published.deltas))
    for engine in (published.engine, repository):
        change(engine, signed[11:12], Status.REVOKED, during(11))
        close_windows(engine, day(14), cut_off)
        folder = tmp_path / str(engine.url.database)
        folder.mkdir()
        delta, _ = produced(engine, user_guide.delta, day(11), folder)
        full, _ = produced(engine, user_guide.full, day(14), folder)
        assert contents_of(delta) == {signed[11]: "R"}
        assert set(contents_of(full)) == set(in_use(state_as_of(published.engine, 14)))


def test_take_over_that_was_interrupted_goes_on(
    published: Published, repository: Engine, user_guide: UserGuide
) -> None:
    going = take_over(repository, user_guide, published.full, published.deltas)
    assert next(going).window.seq == 0
    assert next(going).window.seq == 1
    going.close()
    again = list(take_over(repository, user_guide, published.full, published.deltas))
    assert [(one.window.seq, one.lodged) for one in again][:2] == [(0, 0), (1, 0)]
    assert in_use_digest(repository, 3) == in_use_digest(published.engine, 10)


def test_file_whose_certificates_are_refused_closes_no_window_until_they_are_lodged(
    published: Published, repository: Engine, user_guide: UserGuide
) -> None:
    with repository.begin() as connection:
        connection.execute(text("CREATE TABLE kept AS TABLE trusted_root; TRUNCATE trusted_root, unchecked_issuer"))
    with pytest.raises(TakeOverError) as error:
        list(take_over(repository, user_guide, published.full, published.deltas))
    assert error.value.item == published.full.name
    assert list_windows(repository) == []
    with repository.begin() as connection:
        connection.execute(text("INSERT INTO trusted_root SELECT * FROM kept; DROP TABLE kept"))
    list(take_over(repository, user_guide, published.full, published.deltas))
    assert in_use_digest(repository, 3) == in_use_digest(published.engine, 10)


def test_missing_day_is_named(published: Published, repository: Engine, user_guide: UserGuide) -> None:
    with pytest.raises(TakeOverError) as error:
        list(take_over(repository, user_guide, published.full, [published.deltas[0], published.deltas[2]]))
    assert published.deltas[1].name in error.value.rule


@pytest.mark.parametrize("name", ["SMKIKR_FULL_2025-06-08.xml", "other.xml.gz", "SMKIKR_DELT_2025-13-08.xml.gz"])
def test_file_of_another_name_is_refused(
    published: Published, repository: Engine, user_guide: UserGuide, tmp_path: Path, name: str
) -> None:
    other = tmp_path / name
    other.write_bytes(published.full.read_bytes())
    with pytest.raises(TakeOverError) as error:
        list(take_over(repository, user_guide, published.full, [other]))
    assert error.value.item == name


def test_take_over_begins_in_an_empty_repository_only(
    published: Published, repository: Engine, user_guide: UserGuide, signed: list[bytes]
) -> None:
    lodge_bodies(repository, signed[5:6])
    with pytest.raises(TakeOverError):
        list(take_over(repository, user_guide, published.full, published.deltas))


def test_revocation_list_that_comes_in_between_stops_a_take_over(
    published: Published, repository: Engine, user_guide: UserGuide, pki: Pki
) -> None:
    going = take_over(repository, user_guide, published.full, published.deltas)
    next(going)
    going.close()
    assert issue_lists(repository, pki, cut_off(day(8)))
    with pytest.raises(TakeOverError) as error:
        list(take_over(repository, user_guide, published.full, published.deltas))
    assert "2 revocation lists" in error.value.rule
    assert [window.seq for window in list_windows(repository)] == [0]


def test_authority_that_is_in_no_full_extract_is_lodged_before_the_take_over(
    repository: Engine, stranger: Engine, user_guide: UserGuide, pki: Pki, signed: list[bytes], tmp_path: Path
) -> None:
    """Also where one that is in it was lodged with it: windows have the digests of their files."""
    trust_roots(stranger, pki.trusted_roots)
    lodge_bodies(repository, signed, during(1))
    change(repository, signed[1:2], Status.NOT_IN_USE, during(2))
    close_windows(repository, day(7), cut_off)
    full, _ = produced(repository, user_guide.full, day(7), tmp_path)
    lodge_bodies(stranger, signed[:4], during(8))
    (taken,) = take_over(stranger, user_guide, full, [])
    assert taken.window.changed.count == len(signed) - 1
    assert set(in_use(state_as_of(stranger, 0))) == set(signed) - {signed[1]}
    delta = zipped(tmp_path, document([record_of(signed[5], "N")]), f"SMKIKR_DELT_{day(8)}.xml.gz")
    _, taken = take_over(stranger, user_guide, full, [delta])
    assert taken.window.changed.count == 1, "what was lodged by hand is in no file"
    (own,) = close_windows(stranger, day(9), cut_off)
    assert own.changed.count == 4


def test_repository_with_windows_of_its_own_takes_nothing_over(
    published: Published, repository: Engine, user_guide: UserGuide, signed: list[bytes]
) -> None:
    lodge_bodies(repository, signed[:4], during(6))
    close_windows(repository, day(6), cut_off)
    for day_before in (6, 7):
        close_windows(repository, day(day_before), cut_off)
        with pytest.raises(TakeOverError):
            list(take_over(repository, user_guide, published.full, published.deltas))
        assert len(state_as_of(repository, len(list_windows(repository)))) == 4, "nothing of it was lodged"


def test_certificate_on_a_current_list_that_a_file_states_otherwise_is_revoked_with_our_next_window(
    published: Published, repository: Engine, user_guide: UserGuide, pki: Pki, signed: list[bytes], tmp_path: Path
) -> None:
    """As after a restore: the newest list came first, and then the delta in which the certificate was still in use."""
    list(take_over(repository, user_guide, published.full, []))
    issuer, serial = pki.issuing_oca.certificate.subject.public_bytes(), read_certificate(signed[30]).serial_number
    assert read_certificate(signed[30]).issuer == issuer
    issue_lists(repository, pki, during(9), [Revoked(serial, during(9))])
    delta = zipped(tmp_path, document([record_of(signed[30], "I")]), published.deltas[0].name)
    taken = take_over_next(repository, user_guide, delta, day(8))
    assert state_as_of(repository, taken.window.seq)[signed[30]] == "I"
    close_windows(repository, day(9), cut_off)
    with repository.connect() as connection:
        status = select(certificate.c.status).where(certificate.c.body == signed[30])
        assert connection.execute(status).scalar_one() == "R"
        waiting = select(status_event.c.status).where(status_event.c.window_seq.is_(None))
        assert connection.execute(waiting).scalars().all() == ["R"], "it is in the window of today"


def test_what_has_changed_since_a_forgotten_delta_refuses_it_before_anything_is_lodged(
    published: Published, repository: Engine, user_guide: UserGuide, signed: list[bytes]
) -> None:
    list(take_over(repository, user_guide, published.full, []))
    change(repository, signed[8:9], Status.NOT_IN_USE, during(9))  # the delta of day 8 revokes it
    change(repository, signed[9:10], Status.NOT_IN_USE, during(9))  # and says nothing of this one
    with pytest.raises(TakeOverError) as error:
        take_over_next(repository, user_guide, published.deltas[0], day(8))
    assert "1 of its certificates have got another status since" in error.value.rule
    assert "R in the file, N now" in error.value.rule
    assert state_as_of(repository, 1) == state_as_of(repository, 0)
    change(repository, signed[8:9], Status.REVOKED, during(9, 13))  # by its list, too
    assert take_over_next(repository, user_guide, published.deltas[0], day(8)).window.seq == 1


def test_what_is_taken_over_is_checked_by_the_schema_that_is_given(
    published: Published, repository: Engine, user_guide: UserGuide, tmp_path: Path
) -> None:
    other = tmp_path / "other.xsd"
    other.write_bytes(XSD.read_bytes().replace(b'"CertificateStatus"', b'"CertificateState"'))
    with pytest.raises(TakeOverError):
        list(take_over(repository, user_guide, published.full, [], schema=other))
    assert list(take_over(repository, user_guide, published.full, [], schema=XSD))


def test_delta_that_does_not_follow_from_the_state_before_is_refused(
    published: Published, repository: Engine, user_guide: UserGuide, signed: list[bytes], tmp_path: Path
) -> None:
    """A certificate that was revoked on day 8 cannot be in use on day 9."""
    back = zipped(tmp_path, document([record_of(signed[8], "I")]), published.deltas[1].name)
    with pytest.raises(TakeOverError) as error:
        list(take_over(repository, user_guide, published.full, [published.deltas[0], back]))
    assert error.value.item == back.name
    assert [window.seq for window in list_windows(repository)] == [0, 1]


def test_statuses_take_effect_at_the_cut_off_of_their_file(
    published: Published, repository: Engine, user_guide: UserGuide
) -> None:
    list(take_over(repository, user_guide, published.full, published.deltas))
    query = select(status_event.c.window_seq, status_event.c.recorded_at).distinct().order_by(status_event.c.window_seq)
    with repository.connect() as connection:
        assert connection.execute(query).all() == [(seq, cut_off(day(7 + seq))) for seq in range(4)]


@pytest.fixture
def history(new_repository: NewRepository, user_guide: UserGuide, pki: Pki, tmp_path: Path) -> Published:
    """The demo's repository and what it publishes: a FULL, and the deltas up to the end of its history."""
    engine = new_repository()
    fill_with_history(engine, pki, day(19), days=15, certificates=400)
    close_windows(engine, day(19), cut_off)
    full, *deltas = [
        produced(engine, obligation, day(number), tmp_path)[0]
        for obligation, number in [(user_guide.full, 14), *((user_guide.delta, number) for number in range(15, 20))]
    ]
    return Published(engine, full, deltas)


def test_history_of_the_demo_is_rebuilt_from_its_files_and_goes_on(
    history: Published, stranger: Engine, user_guide: UserGuide, pki: Pki, tmp_path: Path
) -> None:
    trust_roots(stranger, pki.trusted_roots)
    *_, last = take_over(stranger, user_guide, history.full, history.deltas)
    assert last.window.business_date == day(19)
    ours, theirs = find_window(stranger, day(19)).seq, find_window(history.engine, day(19)).seq
    assert in_use_digest(stranger, ours) == in_use_digest(history.engine, theirs)
    before, after = state_as_of(history.engine, theirs), state_as_of(stranger, ours)
    assert after.items() <= before.items()
    assert set(after.values()) == {"I", "P", "N", "E", "R"}
    assert {before[body] for body in before.keys() - after.keys()} <= {"N"}  # before the FULL; in none of the files

    with reading(history.engine) as connection:
        lists = [RevocationListOffer(read_list(connection, one).body, "test") for one in newest_lists(connection)]
    lodgements = lodge_revocation_lists(stranger, lists, cut_off(day(19))).lodgements
    assert [(one.revoked, one.unknown) for one in lodgements] == [(0, ())] * 2

    ended, waiting = in_use(after)[-2:], [body for body, status in before.items() if status == "P"]
    assert waiting
    deltas = []
    for engine in (history.engine, stranger):
        change(engine, ended, Status.NOT_IN_USE, during(20))
        offers = [Lodgement(body, "test", Status.IN_USE, recorded_at=during(20)) for body in waiting]
        assert lodge(engine, offers).refused == 0
        close_windows(engine, day(20), cut_off)
        folder = tmp_path / str(engine.url.database)
        folder.mkdir()
        deltas.append(sorted(map(str, records_of(produced(engine, user_guide.delta, day(20), folder)[0]))))
    assert deltas[0] == deltas[1]
    assert len(deltas[0]) == len(ended) + len(waiting)
