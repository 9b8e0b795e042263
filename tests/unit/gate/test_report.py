"""The report: what a stranger reads first, that everything is there, that nothing in it runs or is fetched."""

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from lxml import html

from smki.gate.ledger import Decision
from smki.gate.model import INSTANT, CheckResult, Figure, Judgement, Past, Severity, Verdict
from smki.gate.report.page import render_report
from smki.gate.report.wording import hold_summary, summarise

DAY = date(2026, 3, 1)
PASSED = CheckResult("gzip.member", "Why.", Severity.FAIL, True, "one member", "as it should be")
BROKEN = CheckResult(
    "full.set-digest",
    "The right number of wrong certificates is found by their digest.",
    Severity.FAIL,
    False,
    "exactly the certificates in use",
    "36 certificates",
    tuple(f"in the file and not in use: certificate {number:04X} of <Device> & co" for number in range(120)),
)
TRIPPED = CheckResult("full.change", "Leaps.", Severity.HOLD, False, "10 to 20", "36", figure="records")
UNJUDGED = CheckResult("full.count", "Half.", Severity.FAIL, False, "as many", "not judged: 1 of 5", judged=False)
HISTORY = tuple(Past(DAY - timedelta(days=7 * weeks), 10.0 + weeks) for weeks in range(9, 0, -1))
RECORDS = Figure("records", "Certificates", "", 36.0, HISTORY, 10.0, 20.0, "the one before ± some")
RELEASE = Decision(True, "mass <installation>", "ada", datetime(2026, 3, 1, 9, tzinfo=UTC))


def judgement(*results: CheckResult, figures: tuple[Figure, ...] = (RECORDS,)) -> Judgement:
    return Judgement(
        obligation="full",
        name="SMKIKR_FULL_2026-03-01.xml.gz",
        business_date=DAY,
        bytes=7_668,
        sha256="0123456789abcdef" * 4,
        run="smki_full_extract/scheduled__2026-02-22",
        judged_at=datetime(2026, 3, 1, 1, 2, tzinfo=UTC),
        suite_version="1234abcd on Great Expectations",
        results=results,
        figures=figures,
        seconds=0.3,
    )


def text_of(page: str) -> str:
    return " ".join(html.fromstring(page).xpath("//main")[0].text_content().split())


@pytest.mark.parametrize(
    ("results", "verdict", "says"),
    [
        ((PASSED,), Verdict.PASS, "may be published: all 1 checks passed."),
        ((PASSED, TRIPPED), Verdict.HOLD, "may be published only once a person has released it: 1 figure is unusual"),
        ((PASSED, BROKEN), Verdict.FAIL, "may not be published: 1 rule is broken, and nobody may release it."),
        ((TRIPPED, BROKEN), Verdict.FAIL, "nobody may release it. Besides, 1 figure is unusual."),
        ((UNJUDGED, BROKEN), Verdict.FAIL, "1 rule is broken, and nobody may release it. 1 check of the whole file"),
    ],
)
def test_verdict_stands_first_in_words(results: tuple[CheckResult, ...], verdict: Verdict, says: str) -> None:
    page = render_report(judgement(*results))
    (heading,) = html.fromstring(page).xpath("//h1")
    said = " ".join(heading.text_content().split())
    assert said.startswith(f"{verdict} SMKIKR_FULL_2026-03-01.xml.gz")
    assert says in said


def test_what_did_not_pass_comes_first_the_gravest_before_all() -> None:
    said = text_of(render_report(judgement(PASSED, TRIPPED, BROKEN)))
    places = [said.index(words) for words in ("full.set-digest", "full.change", "gzip.member")]
    assert places == sorted(places)
    for part in (BROKEN.observed, BROKEN.expected, BROKEN.protects):
        assert said.index(part) < said.index("full.change")


def test_what_nobody_can_tell_is_no_broken_rule_and_no_pass() -> None:
    page = render_report(judgement(PASSED, UNJUDGED, BROKEN))
    said = text_of(page)
    assert said.index(BROKEN.observed) < said.index("not judged: 1 of 5") < said.index("one member")
    assert "Checks that passed (1)" in said
    assert len(html.fromstring(page).xpath("//section[@id='failed']/article")) == 1


def test_every_certificate_that_is_concerned_is_named_once_and_escaped() -> None:
    page = render_report(judgement(BROKEN))
    items = [item.text_content() for item in html.fromstring(page).xpath("//li")]
    assert items == list(BROKEN.details)
    assert "<Device>" not in page


def test_figure_is_drawn_with_its_history_and_says_so_in_words() -> None:
    document = html.fromstring(render_report(judgement(TRIPPED)))
    assert len(document.xpath("//svg/circle")) == len(HISTORY)
    (described,) = document.xpath("//svg/desc")
    assert "9 before, from 2025-12-28 to 2026-02-22: 11 to 19. It may be 10 to 20. This file: 36." in described.text


def test_figure_without_a_history_is_no_drawing() -> None:
    page = render_report(judgement(PASSED, figures=(replace(RECORDS, history=(), low=None, high=None),)))
    assert "no earlier publication has this figure" in page
    assert "<svg" not in page


def test_time_is_shown_as_a_time_and_a_difference_from_nothing_not_at_all() -> None:
    ends = Figure("next_update", "nextUpdate", INSTANT, 1_795_802_400.0, (Past(DAY, 1_795_716_000.0),))
    since = Figure("days_since_previous", "Since the publication before", "days", 0, compared=False)
    said = text_of(render_report(judgement(PASSED, figures=(ends, since))))
    assert "2026-11-27 18:00 UTC" in said
    assert "2026-11-26 18:00 UTC" in said
    assert "1,795," not in said
    assert "Since the publication before" not in said


@pytest.mark.parametrize(("released", "word"), [(True, "HOLD, released"), (False, "HOLD, rejected")])
def test_decision_says_who_when_and_why(released: bool, word: str) -> None:
    said = text_of(render_report(judgement(TRIPPED), replace(RELEASE, released=released)))
    assert word in said
    assert "mass <installation>" in said
    assert "ada, 2026-03-01 09:00 UTC" in said


def test_page_fetches_and_runs_nothing() -> None:
    page = render_report(judgement(PASSED, TRIPPED, BROKEN), RELEASE, {"Airflow run": "/dags/x?a=1&b=2"})
    document = html.fromstring(page)
    assert document.xpath("//script | //link | //img | //iframe | //@src | //@onclick") == []
    assert set(re.findall(r"""url\(|@import|https?://""", page)) == set()
    assert [link for link in document.xpath("//a/@href") if link[0] != "#"] == ["/dags/x?a=1&b=2"]


def test_every_link_within_the_page_leads_somewhere() -> None:
    document = html.fromstring(render_report(judgement(PASSED, TRIPPED, BROKEN)))
    targets = {f"#{name}" for name in document.xpath("//@id")}
    assert {link for link in document.xpath("//a/@href") if link[0] == "#"} <= targets


def test_approval_page_shows_the_breaker_with_its_newest_values() -> None:
    said = hold_summary(judgement(PASSED, TRIPPED))
    assert "Certificates: 36" in said
    assert "| 2026-02-22 | 11 |" in said
    assert "| **this file, 2026-03-01** | **36** |" in said
    assert judgement().sha256 in said


def test_approval_page_names_the_first_few_that_it_is_about() -> None:
    many = replace(TRIPPED, details=tuple(f"serial_{number}" for number in range(7)))
    said = hold_summary(judgement(many))
    assert "serial\\_0" in said
    assert "serial\\_5" not in said
    assert "and 2 more in the report" in said
    assert "What it is about" not in hold_summary(judgement(TRIPPED))


def test_summary_is_a_few_lines() -> None:
    lines = summarise(judgement(PASSED, *[BROKEN] * 9)).splitlines()
    assert len(lines) == 7
    assert lines[0].startswith("FAIL: SMKIKR_FULL_2026-03-01.xml.gz may not be published: 9 rules are broken")
    assert lines[-1] == "… and 4 more."


def test_judgement_comes_back_from_json_as_it_was() -> None:
    before = judgement(PASSED, TRIPPED, BROKEN)
    assert Judgement.from_json(json.loads(json.dumps(before.as_json()))) == before
