"""What people read: pure text out of what is known."""

import re
from dataclasses import replace
from datetime import timedelta

from builders import made_judgement
from smki.gate.ledger import Decision, GateRun
from smki.watch.due_status import due_status
from smki.watch.findings import Finding, Kind
from smki.watch.findings_ledger import Failure, KnownFinding
from smki.watch.links import Links
from smki.watch.telling import write_message

from .conftest import HOUR, MONDAY, Ledger

LINKS = Links("https://airflow.example.org/sub/", "https://docs.example.org/runbook")


def test_opening_in_full(ledger: Ledger):
    due = ledger.due("delta")
    now = due.publish_by + timedelta(minutes=12)
    ledger.judge(due, due.cut_off + HOUR)
    finding = Finding(Kind.MISSING, "primary", due.label, "it was due.", "delta", MONDAY)
    known = KnownFinding(1, finding, due.publish_by, now, None)
    cause = Failure(
        "smki_daily_delta/scheduled__2026-03-01T00:00:00+00:00",
        "publish",
        MONDAY,
        "SiteFullError: no room.\nNext: make some.",
        due.cut_off + HOUR,
    )
    said = write_message(known, ledger.guide, due_status(due, ledger.facts(), now), cause, None, LINKS)
    assert said.to == said.mail_addresses == ("smki-oncall@example.org",)
    assert said.subject == "[SMKI] missing: SMKIKR_DELT_2026-03-02.xml.gz on site primary"
    assert said.text == (
        "missing: SMKIKR_DELT_2026-03-02.xml.gz on site primary\n"
        "it was due.\n"
        "\n"
        "obligation    delta, SEC Appendix O 2.3.3 (b)\n"
        "day           2026-03-02\n"
        "state         late by 12 min\n"
        "seen first    2026-03-02 04:00 UTC\n"
        "likely cause  task publish failed at 2026-03-02 01:00 UTC: SiteFullError: no room. Next: make some.\n"
        f"what to do    {finding.next_step}\n"
        "run           https://airflow.example.org/sub/dags/smki_daily_delta/runs/"
        "scheduled__2026-03-01T00%3A00%3A00%2B00%3A00\n"
        "report        https://airflow.example.org/sub/smki/gate/1\n"
        "runbook       https://docs.example.org/runbook#missing\n"
    )


def test_closing_says_how_long_it_was_open_and_no_cause(ledger: Ledger):
    opened = ledger.due("delta").publish_by
    finding = Finding(Kind.UNREACHABLE, "dr", "site", "it is down.")
    said = write_message(
        KnownFinding(1, finding, opened, opened + HOUR, opened + HOUR), ledger.guide, None, None, None, Links()
    )
    assert said.subject == "[SMKI] closed: unreachable: site on site dr"
    assert "after 1 h" in said.text
    assert "what to do" not in said.text
    assert "https" not in said.text
    assert "docs/runbook.md#unreachable" in said.text


def test_contacts_of_all_are_told_of_what_concerns_all_each_once(ledger: Ledger):
    obligation = tuple(
        replace(one, contact="+44 20 7946 0000") if one.name == "full" else one for one in ledger.guide.all
    )
    guide = replace(ledger.guide, all=obligation)
    known = KnownFinding(1, Finding(Kind.UNREACHABLE, "dr", "site", "down."), *2 * (ledger.due("full").cut_off,), None)
    said = write_message(known, guide, None, None, None, Links())
    assert said.to == ("+44 20 7946 0000", "smki-oncall@example.org")
    assert said.mail_addresses == ("smki-oncall@example.org",)


def test_what_is_held_leads_to_the_run_and_the_report_and_its_closing_says_who_decided(ledger: Ledger):
    at = ledger.due("delta").cut_off
    judgement = made_judgement("delta", "a", MONDAY, "aa", run="smki_daily_delta/manual__1", judged_at=at)
    finding = Finding(Kind.HELD, "", "a", "gate run 7 holds it.", "delta", MONDAY)
    opening = write_message(
        KnownFinding(1, finding, at, at, None), ledger.guide, None, None, GateRun(7, judgement, None), LINKS
    )
    assert opening.subject == "[SMKI] held: a"
    assert "https://airflow.example.org/sub/dags/smki_daily_delta/runs/manual__1\n" in opening.text
    assert "https://airflow.example.org/sub/smki/gate/7\n" in opening.text
    assert "runbook#held" in opening.text
    released = GateRun(7, judgement, Decision(True, "a mass installation", "ada", at))
    known = KnownFinding(1, finding, at, at + HOUR, at + HOUR)
    closing = write_message(known, ledger.guide, None, None, released, LINKS).text
    assert re.search(r"released +by ada: a mass installation\n", closing)


def test_without_an_error_the_link_leads_to_the_dag(ledger: Ledger):
    finding = Finding(Kind.AT_RISK, "primary", "a", "it is due.", "crl", MONDAY)
    known = KnownFinding(1, finding, ledger.due("crl").warn_at, ledger.due("crl").warn_at, None)
    said = write_message(known, ledger.guide, None, None, None, LINKS)
    assert "https://airflow.example.org/sub/dags/smki_revocation_lists\n" in said.text
