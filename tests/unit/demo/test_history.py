from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from smki.certificates.model import CertificateClass, CertificateFields, Status
from smki.certificates.reading import read_certificate
from smki_demo.generator.history import Event, HistoryDay, Lodged, StatusChanged, make_history
from smki_demo.generator.pki import ORGANISATIONS, Pki

END = date(2026, 7, 15)
DAYS = 15
CERTIFICATES = 2_000
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)

P, I, N, E, R = Status  # noqa: E741  # the letters on the wire
LEGAL = {P: {I, N, E, R}, I: {N, E, R}, N: {I, E, R}, E: set(), R: set()}

Key = tuple[bytes, bytes]  # issuer, serial number


@pytest.fixture(scope="module")
def windows(pki: Pki) -> list[HistoryDay]:
    return list(make_history(pki, END, DAYS, CERTIFICATES))


@pytest.fixture(scope="module")
def fields(windows: list[HistoryDay]) -> dict[Key, CertificateFields]:
    lodged = (read_certificate(event.body) for event in all_events(windows) if isinstance(event, Lodged))
    return {(read.issuer, read.serial_number): read for read in lodged}


@pytest.fixture(scope="module")
def lives(windows: list[HistoryDay]) -> dict[Key, list[Event]]:
    """Events by certificate, in the order yielded."""
    found: dict[Key, list[Event]] = defaultdict(list)
    for event in all_events(windows):
        if isinstance(event, Lodged):
            read = read_certificate(event.body)
            found[read.issuer, read.serial_number].append(event)
        else:
            found[event.issuer, event.serial_number].append(event)
    return found


def all_events(windows: list[HistoryDay]) -> list[Event]:
    return [event for window in windows for event in window.events]


def test_windows_end_at_consecutive_midnights_and_the_last_at_the_end(windows: list[HistoryDay]) -> None:
    end = datetime(2026, 7, 15, tzinfo=UTC)
    assert [window.cutoff for window in windows] == [end - DAY * back for back in reversed(range(DAYS))]


def test_events_lie_in_their_window_in_time_order(windows: list[HistoryDay]) -> None:
    for window in windows:
        times = [event.at for event in window.events]
        assert times == sorted(times)
        assert all(window.cutoff - DAY < at <= window.cutoff for at in times)
    assert all_events(windows)[-1].at < windows[-1].cutoff


def test_count_of_certificates_is_kept(fields: dict[Key, CertificateFields]) -> None:
    assert CERTIFICATES - 1 <= len(fields) <= CERTIFICATES


def test_every_certificate_is_lodged_once_and_first(lives: dict[Key, list[Event]]) -> None:
    for life in lives.values():
        assert [isinstance(event, Lodged) for event in life] == [True] + [False] * (len(life) - 1)


def test_times_of_a_certificate_strictly_increase(lives: dict[Key, list[Event]]) -> None:
    for life in lives.values():
        assert all(earlier.at < later.at for earlier, later in pairwise(life))


def test_every_transition_is_legal(lives: dict[Key, list[Event]]) -> None:
    for life in lives.values():
        assert all(later.status in LEGAL[earlier.status] for earlier, later in pairwise(life))


def test_only_organisation_certificates_expire(
    lives: dict[Key, list[Event]], fields: dict[Key, CertificateFields]
) -> None:
    ended = {fields[key].certificate_class for key, life in lives.items() if life[-1].status is E}
    assert ended == {CertificateClass.ORGANISATION}


def test_only_an_expired_certificate_gets_status_e_and_only_after_its_end(
    lives: dict[Key, list[Event]], fields: dict[Key, CertificateFields], windows: list[HistoryDay]
) -> None:
    for key, life in lives.items():
        assert (life[-1].status is E) == (fields[key].not_after < windows[-1].cutoff)
        assert life[-1].status is not E or life[-1].at > fields[key].not_after


def test_current_organisations_stay_in_use(lives: dict[Key, list[Event]], fields: dict[Key, CertificateFields]) -> None:
    current = {(organisation.role, organisation.eui64) for organisation in ORGANISATIONS}
    last = [life[-1].status for key, life in lives.items() if (fields[key].role, fields[key].eui64) in current]
    assert last == [I] * sum(len(organisation.usages) for organisation in ORGANISATIONS)


def test_all_kinds_of_change_occur(windows: list[HistoryDay]) -> None:
    events = all_events(windows)
    assert {event.status for event in events if isinstance(event, Lodged)} == {P, I}
    assert {event.status for event in events if isinstance(event, StatusChanged)} == {I, N, E}


def test_lists_are_issued_empty_first_then_with_the_revoked_organisation_and_valid_at_the_end(
    windows: list[HistoryDay], fields: dict[Key, CertificateFields]
) -> None:
    issued = [(window.cutoff, lists) for window in windows for lists in window.lists]
    assert [len(lists.revoked) for _, lists in issued] == [0, 2, 0]
    assert all(cutoff - DAY < lists.at < cutoff for cutoff, lists in issued)
    assert windows[-1].cutoff - issued[-1][1].at < DAY
    (revoking,) = (lists for _, lists in issued if lists.revoked)
    by_serial = {serial: read for (_, serial), read in fields.items()}
    for revoked in revoking.revoked:
        assert by_serial[revoked.serial_number].certificate_class is CertificateClass.ORGANISATION
        assert timedelta() < revoking.at - revoked.at < timedelta(hours=1)


def test_base_set_is_most_of_it_and_starts_with_the_cas(pki: Pki, windows: list[HistoryDay]) -> None:
    base = [event for event in windows[0].events if isinstance(event, Lodged)]
    assert [event.body for event in base[:4]] == pki.ca_certificates()
    assert 0.55 < len(base) / CERTIFICATES < 0.65


def test_one_window_has_no_event_and_one_has_far_more(windows: list[HistoryDay]) -> None:
    lodged = [sum(isinstance(event, Lodged) for event in window.events) for window in windows[1:]]
    assert [len(window.events) for window in windows].count(0) == 1
    assert max(lodged) > 2 * sorted(lodged)[-2]


def test_one_event_is_on_a_cut_off_and_one_a_microsecond_after(windows: list[HistoryDay]) -> None:
    cutoffs = {window.cutoff for window in windows}
    times = [event.at for event in all_events(windows)]
    assert sum(at in cutoffs for at in times) == 1
    assert sum(at - MICROSECOND in cutoffs for at in times) == 1


def test_same_seed_gives_the_same_events(pki: Pki, windows: list[HistoryDay]) -> None:
    def outline(days: list[HistoryDay]) -> list[tuple[datetime, str, Status]]:
        return [(event.at, type(event).__name__, event.status) for event in all_events(days)]

    assert outline(list(make_history(pki, END, DAYS, CERTIFICATES))) == outline(windows)


@pytest.mark.parametrize(("days", "certificates"), [(7, 140), (7, 141), (40, 800)])
def test_smallest_histories_still_have_the_quiet_window_and_the_cut_off_events(
    pki: Pki, days: int, certificates: int
) -> None:
    windows = list(make_history(pki, END, days, certificates))
    assert [index - days for index, window in enumerate(windows) if not window.events] == [-4]
    assert windows[-3].events[-1].at == windows[-3].cutoff
    assert windows[-2].events[0].at == windows[-3].cutoff + MICROSECOND


@pytest.mark.parametrize(("days", "certificates"), [(6, 1_000), (15, 299)])
def test_history_that_is_too_small_for_its_story_is_refused(pki: Pki, days: int, certificates: int) -> None:
    with pytest.raises(ValueError, match="at least 7 days and 20 certificates a day"):
        next(make_history(pki, END, days, certificates))


def test_pki_that_is_too_young_for_expired_certificates_is_refused() -> None:
    with pytest.raises(ValueError, match="ten years older"):
        next(make_history(Pki.create(datetime(2020, 1, 1, tzinfo=UTC)), END))
