"""Each kind of finding from a small sight; and that nothing else is one."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from builders import made_judgement
from smki.gate.ledger import GateRun
from smki.gate.model import CheckResult, Severity, Verdict
from smki.obligations.catalogue import KeepForDays
from smki.publish.unknown_files import NOT_ASKED, KnownNames
from smki.retention.rules import SeenFile
from smki.watch.due_status import DueStatus, due_status
from smki.watch.facts import Clocks
from smki.watch.findings import Finding, Kind
from smki.watch.repository_findings import find_held, find_late_or_at_risk, find_wrong_clocks
from smki.watch.site_findings import find_wrong

from .conftest import DAY, HOUR, MONDAY, SUNDAY, Ledger, published, seen

NOW = datetime(2026, 3, 2, 0, 20, tzinfo=UTC)
DELTA, FULL, CRL = "delta", "full", "crl"


def kinds(findings: list[Finding]) -> dict[str, Kind]:
    return {finding.item: finding.kind for finding in findings}


def stand(ledger: Ledger, now, expected_at=None) -> DueStatus:
    return due_status(ledger.due(DELTA), ledger.facts(), now, expected_at)


def test_site_that_offers_what_the_ledger_says_has_no_finding(ledger: Ledger):
    due = ledger.due(DELTA)
    assert find_wrong(ledger.guide, seen((due.name, 100, "aa")), [published(due)], [], due.publish_by) == []


def test_paths_may_differ_between_publisher_and_party(ledger: Ledger):
    due = ledger.due(DELTA)
    sight = seen((due.name, 100, "aa"))
    assert sight.files[0].path != published(due).path
    assert find_wrong(ledger.guide, sight, [published(due)], [], due.publish_by) == []


def test_file_that_is_late_is_at_risk_first_and_missing_from_publish_by_on(ledger: Ledger):
    due = ledger.due(DELTA)
    for at, expected in (
        (due.warn_at - HOUR, []),
        (due.warn_at, [Kind.AT_RISK]),
        (due.publish_by - timedelta(seconds=1), [Kind.AT_RISK]),
        (due.publish_by, [Kind.MISSING]),
        (due.missed_at + 9 * DAY, [Kind.MISSING]),
    ):
        found = list(find_late_or_at_risk("primary", [stand(ledger, at)]))
        assert [finding.kind for finding in found] == expected
        assert all((finding.item, finding.business_date) == (due.label, MONDAY) for finding in found)


def test_forecast_beyond_publish_by_is_at_risk_and_says_when_the_file_is_expected(ledger: Ledger):
    due = ledger.due(DELTA)
    (finding,) = find_late_or_at_risk("primary", [stand(ledger, due.cut_off, due.publish_by + HOUR)])
    assert finding.kind is Kind.AT_RISK
    assert finding.rule.endswith("it is expected at 05:00 UTC.")


def test_file_that_the_gate_holds_is_told_as_waiting_for_a_person(ledger: Ledger):
    due = ledger.due(DELTA)
    ledger.judge(due, due.cut_off + HOUR, Verdict.HOLD)
    assert list(find_late_or_at_risk("primary", [stand(ledger, due.cut_off + HOUR)])) == []
    for at, kind in ((due.warn_at, Kind.AT_RISK), (due.publish_by, Kind.MISSING)):
        (finding,) = find_late_or_at_risk("primary", [stand(ledger, at)])
        assert finding.kind is kind
        assert finding.rule.endswith("The gate holds it: a person has to decide.")


def test_what_is_wrong_with_a_file_that_is_replaced_in_place_is_of_no_day(ledger: Ledger):
    due = ledger.due(CRL, MONDAY - 5 * DAY)  # the day that its list begins on
    standing = published(due)
    standing = replace(standing, artefact=replace(standing.artefact, version=1))
    held = GateRun(7, made_judgement(CRL, due.name, due.business_date, "aa", judged_at=NOW), None)
    for finding in (
        *find_wrong(ledger.guide, seen(), [standing], [], NOW),
        *find_wrong(ledger.guide, seen((due.name, 99, "aa")), [standing], [], NOW),
        *find_held(ledger.guide, [held]),
    ):
        assert (finding.obligation, finding.business_date) == (CRL, None)
        assert finding.item.startswith(due.name)


def test_what_waits_for_a_person_is_a_finding_of_no_single_site_and_says_what_tripped(ledger: Ledger):
    volume = CheckResult("delta.volume", "a day", Severity.HOLD, False, "at most 20", "36 records", (), "records")
    judgement = made_judgement(DELTA, "a.xml.gz", MONDAY, "aa", judged_at=NOW, results=(volume,))
    (finding,) = find_held(ledger.guide, [GateRun(7, judgement, None)])
    assert (finding.kind, finding.site, finding.item) == (Kind.HELD, "", "a.xml.gz (gate run 7)")
    assert finding.gate_run == 7
    assert (finding.obligation, finding.business_date) == (DELTA, MONDAY)
    assert finding.rule == "gate run 7 holds it since 2026-03-02 00:20 UTC: 36 records (expected: at most 20)."
    assert "Approve or Reject" in finding.next_step


def test_a_site_that_has_the_file_is_not_blamed_for_one_that_lacks_it(ledger: Ledger):
    ledger.sites = ("primary", "dr")
    due = ledger.due(DELTA)
    ledger.publish(due, due.cut_off + HOUR)
    late = stand(ledger, due.publish_by)
    assert list(find_late_or_at_risk("primary", [late])) == []
    assert [finding.site for finding in find_late_or_at_risk("dr", [late])] == ["dr"]


def test_published_file_that_is_gone_is_lost(ledger: Ledger):
    due = ledger.due(DELTA)
    (finding,) = find_wrong(ledger.guide, seen(), [published(due)], [], due.publish_by)
    assert (finding.kind, finding.item) == (Kind.LOST, due.name)
    assert "is there no more" in finding.rule


def test_file_that_a_person_removed_after_its_obligation_was_given_up_is_not_lost(ledger: Ledger):
    due = ledger.due(CRL)
    guide = replace(ledger.guide, all=tuple(one for one in ledger.guide.all if one.name != CRL))
    assert find_wrong(guide, seen(), [published(due)], [], due.publish_by) == []


@pytest.mark.parametrize(
    ("size", "sha256", "kind"),
    [(99, "aa", Kind.TRUNCATED), (101, "aa", Kind.ALTERED), (100, "bb", Kind.ALTERED), (0, "", Kind.TRUNCATED)],
)
def test_other_octets_are_truncated_or_altered(ledger: Ledger, size: int, sha256: str, kind: Kind):
    due = ledger.due(DELTA)
    found = find_wrong(ledger.guide, seen((due.name, size, sha256)), [published(due)], [], due.publish_by)
    assert kinds(found) == {due.name: kind}


def test_files_that_are_newer_than_the_ledger_are_one_finding(ledger: Ledger):
    due, tomorrow = ledger.due(DELTA), ledger.due(DELTA, MONDAY + DAY)
    full = ledger.due(FULL, MONDAY)
    known = KnownNames(frozenset({due.name}), {ledger.guide.delta.key: MONDAY}, MONDAY - 7 * DAY)
    sight = seen(*((name, 1, "aa") for name in (due.name, tomorrow.name, full.name, "notes.txt")))
    (behind, *others) = find_wrong(ledger.guide, sight, [], [], tomorrow.publish_by, known)
    assert (behind.kind, behind.item) == (Kind.LEDGER_BEHIND, "ledger")
    assert full.name in behind.rule
    assert tomorrow.name in behind.rule
    assert kinds(others) | {"recovery chain": None} == {
        due.name: Kind.UNEXPECTED,
        "notes.txt": Kind.UNEXPECTED,
        "recovery chain": None,
    }
    lost_whole = KnownNames(frozenset(), {}, date.min)
    assert Kind.LEDGER_BEHIND in kinds(find_wrong(ledger.guide, sight, [], [], NOW, lost_whole)).values()
    for older in (NOT_ASKED, replace(known, names=frozenset({tomorrow.name, full.name}))):
        assert Kind.LEDGER_BEHIND not in kinds(find_wrong(ledger.guide, sight, [], [], NOW, older)).values()


def test_foreign_files_are_unexpected_early_ones_early_and_parts_of_uploads_neither(ledger: Ledger):
    tomorrow = ledger.due(DELTA, MONDAY + DAY)
    crl = ledger.guide.obligation(CRL).file
    names = ["notes.txt", tomorrow.name, crl, f".{tomorrow.name}.part", "SMKIKR_DELT_2026-02-30.xml.gz"]
    sight = seen(*((name, 1, "aa") for name in names))
    assert kinds(find_wrong(ledger.guide, sight, [], [], tomorrow.cut_off - HOUR)) == {
        "notes.txt": Kind.UNEXPECTED,
        tomorrow.name: Kind.EARLY,
        crl: Kind.UNEXPECTED,
        "SMKIKR_DELT_2026-02-30.xml.gz": Kind.UNEXPECTED,
    }


@pytest.mark.parametrize("first", [True, False])
def test_file_of_a_name_that_another_folder_has_too_is_unexpected_and_hides_nothing(ledger: Ledger, first: bool):
    due = ledger.due(DELTA)
    sight = seen((due.name, 99, "aa"))
    old = SeenFile(f"/party/old/{due.name}", 100, due.cut_off)
    sight = replace(sight, files=(old, *sight.files) if first else (*sight.files, old))
    found = find_wrong(ledger.guide, sight, [published(due)], [], due.publish_by)
    assert kinds(found) == {due.name: Kind.TRUNCATED, old.path: Kind.UNEXPECTED}


def test_delta_past_its_days_is_expired_a_day_after_retention_looked(ledger: Ledger):
    full, due = ledger.due(FULL, SUNDAY), ledger.due(DELTA, SUNDAY)
    offered = [published(due), published(full)]
    sight = seen((due.name, 100, "aa"), (full.name, 100, "aa"))
    retirement = ledger.guide.delta.kind.retirement
    assert isinstance(retirement, KeepForDays)
    retained_until = offered[0].published_at + retirement.stays
    at = {hours: find_wrong(ledger.guide, sight, offered, [], retained_until + hours * HOUR) for hours in (1, 25, 27)}
    assert [Kind.EXPIRED in kinds(found).values() for found in at.values()] == [False, False, True]


def test_full_extract_is_expired_a_day_after_the_second_newer_one_came(ledger: Ledger):
    fulls = [ledger.due(FULL, SUNDAY + weeks * 7 * DAY) for weeks in (-2, -1, 0)]
    offered = [published(one) for one in fulls]
    sight = seen(*((one.name, 100, "aa") for one in fulls))
    since = offered[-1].published_at
    expired = {
        hours: [
            one.item
            for one in find_wrong(ledger.guide, sight, offered, [], since + hours * HOUR)
            if one.kind is Kind.EXPIRED
        ]
        for hours in (1, 25, 27)
    }
    assert expired == {1: [], 25: [], 27: [fulls[0].name]}


def test_chain_is_broken_by_a_delta_that_is_not_there_once_it_is_due(ledger: Ledger):
    full = ledger.due(FULL, SUNDAY)
    deltas = [ledger.due(DELTA, SUNDAY + n * DAY) for n in (1, 2, 3)]
    offered = [published(one) for one in (full, deltas[0], deltas[2])]
    sight = seen(*((one.name, 100, "aa") for one in (full, deltas[0], deltas[2])))
    before, after = (find_wrong(ledger.guide, sight, offered, [], deltas[1].publish_by - n * HOUR) for n in (1, 0))
    assert kinds(before).get("recovery chain") is None
    (finding,) = [one for one in after if one.kind is Kind.CHAIN_BROKEN]
    assert str(deltas[1].business_date) in finding.rule
    assert str(deltas[0].business_date) not in finding.rule


def test_chain_is_not_mended_by_a_file_that_a_party_cannot_load_or_that_is_nobodys(ledger: Ledger):
    full, second = ledger.due(FULL, SUNDAY), ledger.due(FULL, SUNDAY + 2 * DAY)
    deltas = [ledger.due(DELTA, SUNDAY + n * DAY) for n in (1, 2, 3)]
    now = deltas[-1].publish_by
    early, foreign = ledger.due(FULL, SUNDAY + 7 * DAY), ledger.due(FULL, SUNDAY + 3 * DAY)
    of_deltas = [(one.name, 100, "bb") for one in deltas]

    def is_broken(offered, *files: tuple[str, int, str], **more) -> bool:
        found = find_wrong(ledger.guide, seen((full.name, 100, "aa"), *files, **more), offered, [], now)
        return Kind.CHAIN_BROKEN in {one.kind for one in found}

    assert is_broken([published(full)])
    for name in (early.name, foreign.name):
        assert is_broken([published(full)], (name, 5, "xx"))
    assert is_broken([published(full)], *of_deltas), "the ledger offers none of them"
    assert not is_broken([published(full), *(published(one, sha256="bb") for one in deltas)], *of_deltas)
    assert is_broken([published(full), *(published(one) for one in deltas)], *of_deltas), "they are altered"
    newest = [published(full), published(second), published(deltas[-1], sha256="bb")]
    assert not is_broken(newest, (second.name, 100, "aa"), of_deltas[-1])
    assert is_broken(newest, (second.name, 50, "aa"), of_deltas[-1]), "the newest full extract is cut off"


def test_page_table_of_a_removed_full_extract_is_nobodys_only_once_the_index_had_time_to_follow(ledger: Ledger):
    gone, kept = ledger.due(FULL, SUNDAY), ledger.due(FULL, SUNDAY + 7 * DAY)
    assert ledger.guide.index is not None
    table = ledger.guide.index.page_table(gone.name)
    sight = seen((kept.name, 100, "aa"), (table, 10, "t"))
    now = kept.publish_by
    assert find_wrong(ledger.guide, sight, [published(kept)], [], now, ended={gone.name}) == []
    assert kinds(find_wrong(ledger.guide, sight, [published(kept)], [], now)) == {table: Kind.UNEXPECTED}


def test_list_that_nears_its_next_update_is_a_finding_from_the_warning_on(ledger: Ledger):
    obligation, now = ledger.guide.obligation(CRL), ledger.due(CRL).publish_by
    for left, expected in ((DAY + HOUR, False), (DAY - HOUR, True), (-HOUR, True)):
        found = find_wrong(ledger.guide, seen(next_updates={obligation.file: now + left}), [], [], now)
        assert (kinds(found) == {obligation.file: Kind.NEXT_UPDATE}) == expected
        assert not expected or ("passed" in found[0].rule) == (left < timedelta())


def test_regions_that_differ_where_they_may_not_are_a_finding(ledger: Ledger):
    now = ledger.due(CRL).publish_by
    assert kinds(find_wrong(ledger.guide, seen(unequal_anchors="2 differ."), [], [], now)) == {
        "anchor files": Kind.ANCHORS_UNEQUAL
    }


def test_set_that_is_being_replaced_is_not_unequal_yet(ledger: Ledger):
    now = ledger.due(CRL).publish_by
    regions = [ledger.due(obligation) for obligation in ("anchor_north", "anchor_central_south")]
    sight = seen(*((one.name, 100, "aa") for one in regions), unequal_anchors="2 differ.")
    for ago, expected in ((timedelta(minutes=1), []), (ledger.guide.audit_every, [Kind.ANCHORS_UNEQUAL])):
        offered = [published(regions[0], now - DAY), published(regions[1], now - ago)]
        assert [finding.kind for finding in find_wrong(ledger.guide, sight, offered, [], now)] == expected


def test_hash_that_is_not_known_yet_is_no_finding(ledger: Ledger):
    due = ledger.due(DELTA)
    sight = seen((due.name, 100, "aa"))
    unread = type(sight)(sight.site, (SeenFile(f"/party/{due.name}", 100, due.cut_off),), {}, {})
    assert find_wrong(ledger.guide, unread, [published(due)], [], due.publish_by) == []


def test_each_kind_says_what_to_do_and_where_to_read_more():
    for kind in Kind:
        finding = Finding(kind, "primary", "item", "rule.")
        assert finding.next_step.endswith(f"(docs/runbook.md#{kind.value.replace(' ', '-')})")


@pytest.mark.parametrize(
    ("seconds", "items"), [(30, []), (-30, []), (90, ["database clock"]), (-90, ["database clock"])]
)
def test_clocks_that_differ_are_a_finding(seconds: int, items: list[str]) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    found = find_wrong_clocks(Clocks(now + timedelta(seconds=seconds), 0, None), now, "worker-1")
    assert [finding.item for finding in found] == items
    assert all("worker-1" in finding.rule for finding in found)
