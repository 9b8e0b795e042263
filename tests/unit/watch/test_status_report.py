"""How everything stands at an instant, from facts that are made up."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from smki.gate.model import Verdict
from smki.obligations.catalogue import UserGuide
from smki.settings import PROJECT
from smki.watch.due_status import State
from smki.watch.facts import Facts, GateVerdict, Offered
from smki.watch.findings import Finding, Kind
from smki.watch.findings_ledger import KnownFinding
from smki.watch.status_report import Chain, StatusReport, report_of

SUNDAY = date(2025, 6, 8)
WEDNESDAY = SUNDAY + timedelta(days=3)
NOON = datetime(2025, 6, 11, 12, tzinfo=UTC)
SITES = ("primary", "dr")
FULL, DELTA = f"SMKIKR_FULL_{SUNDAY}.xml.gz", "SMKIKR_DELT_{}.xml.gz"


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


def offered(name: str, published_at: datetime, site: str = "primary") -> Offered:
    return Offered(site, name, 1000, 10, "ab" * 32, "ef" * 32, "smki_daily_delta/run", published_at, None)


def facts(*, without: tuple[str, ...] = (), judged: tuple[GateVerdict, ...] = ()) -> Facts:
    """Sunday's full extract and the deltas of nine days up to Wednesday, on both sites, two hours after midnight."""
    made = Facts(SITES, SUNDAY - timedelta(days=60), {}, full_days=() if FULL in without else (SUNDAY,))
    days = [WEDNESDAY - timedelta(days=number) for number in range(9)]
    for day, name in [(SUNDAY, FULL), *((day, DELTA.format(day)) for day in days)]:
        if name not in without:
            made._offered["", name] = [offered(name, at(day, 2), site) for site in SITES]
    for run in judged:
        made._judged.setdefault(("", run.name), []).append(run)
    return made


def report(user_guide: UserGuide, known: Facts, now: datetime = NOON, findings: tuple[KnownFinding, ...] = ()):
    return report_of(user_guide, known, findings, now, {}, {})


def standing(found: StatusReport, obligation: str):
    return next(one for one in found.standings if one.obligation.name == obligation)


def test_all_is_in_order_when_everything_is_there(user_guide: UserGuide) -> None:
    found = report(user_guide, facts())
    assert found.in_order
    delta = standing(found, "delta")
    assert (delta.state, delta.unmet, delta.last_day) == (State.MET, (), WEDNESDAY)
    assert delta.next.business_date == WEDNESDAY + timedelta(days=1)
    assert standing(found, "crl").state is State.NOTHING


def test_before_its_first_cut_off_a_weekly_extract_is_due_and_not_late(user_guide: UserGuide) -> None:
    full = standing(report(user_guide, Facts(SITES, WEDNESDAY, {})), "full")
    assert (full.state, full.next.business_date) == (State.DUE, SUNDAY + timedelta(days=7))
    assert full.leading is not None
    assert full.leading.due.business_date == SUNDAY + timedelta(days=7)


def test_an_obligation_stands_as_the_worst_of_what_has_to_be_there(user_guide: UserGuide) -> None:
    missed = DELTA.format(SUNDAY - timedelta(days=1))
    found = report(user_guide, facts(without=(missed, DELTA.format(WEDNESDAY))), at(WEDNESDAY, 3, 30))
    delta = standing(found, "delta")
    assert (delta.state, delta.leading and delta.leading.due.name) == (State.MISSED, missed)
    assert [one.state for one in delta.unmet] == [State.MISSED, State.AT_RISK]
    assert delta.next.business_date == WEDNESDAY, "it can still come in time"
    assert found.out_of_order == (delta,)


def test_a_weekly_file_that_never_came_is_out_of_order_after_the_next_cut_off(user_guide: UserGuide) -> None:
    next_cut_off = at(SUNDAY + timedelta(days=7), 0, 10)
    full = standing(report(user_guide, facts(without=(FULL,)), next_cut_off), "full")
    assert (full.state, [one.due.name for one in full.unmet][:1]) == (State.LATE, [FULL])


def test_a_file_that_is_lost_from_a_site_is_not_met_any_more(user_guide: UserGuide) -> None:
    """A state says what is on the servers now, and not that something was there once."""
    name = DELTA.format(WEDNESDAY)
    lost = KnownFinding(1, Finding(Kind.LOST, "dr", name, "gone"), NOON, NOON, None)
    found = report(user_guide, facts(), findings=(lost,))
    delta = standing(found, "delta")
    assert (delta.state, delta.words) == (State.UNUSABLE, "not usable on dr: was due 2025-06-11 04:00 UTC")
    assert [one.missing_sites for one in delta.unmet] == [("dr",)]
    assert found.out_of_order == (delta,)
    assert not found.in_order
    assert standing(report(user_guide, facts(), findings=(replace(lost, closed_at=NOON),)), "delta").state is State.MET


def test_findings_of_a_site_that_nothing_is_published_to_any_more_say_nothing_of_today(user_guide: UserGuide) -> None:
    left = [
        KnownFinding(1, Finding(Kind.LOST, "old", DELTA.format(WEDNESDAY), "gone"), NOON, NOON, None),
        KnownFinding(2, Finding(Kind.UNREACHABLE, "old", "site", "no answer"), NOON, NOON, None),
    ]
    found = report(user_guide, facts(), findings=tuple(left))
    assert found.in_order
    assert (found.findings, found.chain.complete) == ((), True)
    assert standing(found, "delta").state is State.MET


def test_a_file_that_came_late_is_in_order_and_said(user_guide: UserGuide) -> None:
    known = facts()
    known._offered["", DELTA.format(WEDNESDAY)] = [offered(DELTA.format(WEDNESDAY), at(WEDNESDAY, 5), s) for s in SITES]
    found = report(user_guide, known)
    assert found.in_order
    assert standing(found, "delta").words == "met, late by 1 h"


def test_what_the_gate_holds_is_out_of_order_before_publish_by(user_guide: UserGuide) -> None:
    name = DELTA.format(WEDNESDAY)
    held = GateVerdict(7, name, "cd" * 32, None, Verdict.HOLD, at(WEDNESDAY, 1), None, None, None)
    found = report(user_guide, facts(without=(name,), judged=(held,)), at(WEDNESDAY, 1, 30))
    assert standing(found, "delta").state is State.HELD
    assert not found.in_order


def test_what_is_due_or_at_risk_is_in_order(user_guide: UserGuide) -> None:
    without = facts(without=(DELTA.format(WEDNESDAY),))
    assert report(user_guide, without, at(WEDNESDAY, 1)).in_order
    assert report(user_guide, without, at(WEDNESDAY, 3, 30)).in_order
    assert not report(user_guide, without, at(WEDNESDAY, 4)).in_order


def test_an_open_finding_is_out_of_order(user_guide: UserGuide) -> None:
    finding = Finding(Kind.ALTERED, "dr", FULL, "other octets are there.", "full", SUNDAY)
    known = KnownFinding(3, finding, NOON - timedelta(hours=1), NOON, None)
    assert not report(user_guide, facts(), findings=(known,)).in_order


def test_the_chain_goes_from_the_newest_full_on_every_site_to_now(user_guide: UserGuide) -> None:
    chain = report(user_guide, facts()).chain
    assert (chain.full_day, chain.complete) == (SUNDAY, True)
    assert [link.status.due.business_date.day for link in chain.links] == [9, 10, 11]

    known = facts()
    newer = f"SMKIKR_FULL_{SUNDAY + timedelta(days=1)}.xml.gz"
    known._offered["", newer] = [offered(newer, at(SUNDAY, 23))]
    assert report(user_guide, known).chain.full_day == SUNDAY, "one site lacks the newer one"


def test_a_delta_that_is_gone_from_one_site_is_a_hole_and_one_to_come_is_none(user_guide: UserGuide) -> None:
    known = facts(without=(DELTA.format(WEDNESDAY),))
    tuesday = DELTA.format(WEDNESDAY - timedelta(days=1))
    first, second = known._offered["", tuesday]
    known._offered["", tuesday] = [first, replace(second, ended_at=NOON)]
    chain = report(user_guide, known, at(WEDNESDAY, 3)).chain
    assert [link.is_hole for link in chain.links] == [False, True, False]
    assert chain.links[1].missing_sites == ("dr",)
    assert not chain.complete
    assert len(report(user_guide, known, at(WEDNESDAY, 4)).chain.holes) == 2


def test_what_the_auditor_finds_lost_or_wrong_on_a_site_is_not_offered_there(user_guide: UserGuide) -> None:
    known = facts()

    def chain(kind: Kind, name: str) -> Chain:
        finding = Finding(kind, known.sites[0], name, "")
        return report(user_guide, known, findings=(KnownFinding(1, finding, NOON, NOON, None),)).chain

    tuesday = DELTA.format(WEDNESDAY - timedelta(days=1))
    for kind in (Kind.ALTERED, Kind.MISCOPIED):
        assert [link.is_hole for link in chain(kind, tuesday).links] == [False, True, False]
    assert (chain(Kind.LOST, FULL).full, chain(Kind.LOST, FULL).complete) == (None, False)
    assert chain(Kind.EXPIRED, tuesday).complete, "it can be loaded"


def test_a_site_that_nobody_has_looked_at_for_three_looks_is_overdue(user_guide: UserGuide) -> None:
    often = user_guide.audit_every
    for ago, overdue in ((often, False), (3 * often, False), (3 * often + timedelta(seconds=1), True)):
        found = report_of(user_guide, facts(), (), NOON, {}, {"primary": NOON - ago})
        assert [(look.site, look.is_overdue) for look in found.looks] == [("primary", overdue), ("dr", True)]
        assert [look.looked_at for look in found.looks] == [NOON - ago, None]


def test_without_a_full_extract_there_is_no_chain(user_guide: UserGuide) -> None:
    chain = report(user_guide, facts(without=(FULL,))).chain
    assert (chain.full, chain.links, chain.complete) == (None, (), False)


def test_the_json_is_versioned_and_its_instants_are_utc(user_guide: UserGuide) -> None:
    stated = json.loads(json.dumps(report(user_guide, facts()).as_json()))
    assert (stated["version"], stated["at"], stated["in_order"]) == (1, "2025-06-11T12:00:00Z", True)
    delta = next(entry for entry in stated["obligations"] if entry["obligation"] == "delta")
    assert delta["due"]["margin_s"] == 2 * 3600
    assert delta["last_file"] == {
        "name": DELTA.format(WEDNESDAY),
        "bytes": 1000,
        "records": 10,
        "sha256": "ab" * 32,
        "published_at": "2025-06-11T02:00:00Z",
    }
    assert delta["next"]["publish_by"] == "2025-06-12T04:00:00Z"
    assert stated["recovery_chain"]["complete"]


def test_every_field_of_the_json_is_documented(user_guide: UserGuide) -> None:
    documented = (PROJECT / "docs" / "status-api.md").read_text(encoding="utf-8")
    finding = Finding(Kind.ALTERED, "dr", FULL, "other octets are there.", "full", SUNDAY)
    known = KnownFinding(3, finding, NOON - timedelta(hours=1), NOON, None)
    stated = report(user_guide, facts(without=(DELTA.format(WEDNESDAY),)), findings=(known,)).as_json()

    def names(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value) | {name for part in value.values() for name in names(part)}
        return {name for part in value for name in names(part)} if isinstance(value, list) else set()

    assert {name for name in names(stated) if f"`{name}`" not in documented} == set()
