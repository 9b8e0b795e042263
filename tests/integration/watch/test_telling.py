"""People are told of each opening and closing once; what could not be told is told at the next look."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from builders import made_judgement
from smki.errors import ConfigurationError, NotificationError
from smki.gate.ledger import Decision, record_decision, record_judgement
from smki.gate.model import CheckResult, Severity
from smki.watch.due import Due
from smki.watch.findings import Finding, Kind
from smki.watch.findings_ledger import (
    Failure,
    last_failure,
    list_open_findings,
    list_untold,
    open_finding,
    record_failure,
    record_look,
)
from smki.watch.links import Links
from smki.watch.mail import Mailer
from smki.watch.telling import Message, tell
from smki_airflow.signals import telling
from smki_airflow.signals.telling import tell_of_held
from smki_demo.mail_server import read_messages, text_of

from .conftest import DAY, NOON, TODAY, World, in_the_background

Mailbox = tuple[Path, int]
LINKS = Links("https://airflow.example.org", "https://git.example.org/docs/runbook.md")
TOMORROW = TODAY + DAY


def mailer(mailbox: Mailbox) -> Mailer:
    return Mailer("127.0.0.1", mailbox[1], "smki@example.org")


def subjects(mailbox: Mailbox) -> list[str]:
    return [mail["Subject"] for mail in read_messages(mailbox[0])]


def missed(world: World) -> datetime:
    """Opens the finding of tomorrow's delta, ten minutes late; the time."""
    now = world.guide.delta.publish_by(TOMORROW) + timedelta(minutes=10)
    due = Finding(
        Kind.MISSING,
        "primary",
        world.guide.delta.file_name(TOMORROW),
        "it was due and is not there.",
        "delta",
        TOMORROW,
    )
    open_finding(world.engine, due, now)
    return now


def test_a_miss_is_told_once_with_lateness_cause_next_step_and_links(world: World, mailbox: Mailbox):
    run = "smki_daily_delta/scheduled__1"
    error = "SiteFullError: no room. Next: make room."
    cut_off = world.guide.delta.cut_off.at(TOMORROW)
    record_failure(world.engine, Failure(run, "publish", TOMORROW, error, cut_off + timedelta(hours=1)))
    now = missed(world)
    for _ in range(2):
        tell(world.engine, world.guide, mailer(mailbox).send, now, LINKS)
    (mail,) = read_messages(mailbox[0])
    assert mail["To"] == "smki-oncall@example.org"
    assert mail["Subject"] == f"[SMKI] missing: {world.guide.delta.file_name(TOMORROW)} on site primary"
    text = text_of(mail)
    for said in (
        "delta, SEC Appendix O 2.3.3 (b)",
        str(TOMORROW),
        "late by 10 min",
        f"task publish failed at {cut_off + timedelta(hours=1):%Y-%m-%d %H:%M} UTC: {error}",
        "clear what failed, or backfill the day",
        "https://airflow.example.org/dags/smki_daily_delta/runs/scheduled__1",
        "https://git.example.org/docs/runbook.md#missing",
    ):
        assert said in text


def test_a_closing_is_told_once_with_how_late_it_was(world: World, mailbox: Mailbox):
    now = missed(world)
    tell(world.engine, world.guide, mailer(mailbox).send, now, LINKS)
    world.publish("delta", TOMORROW, at=now + timedelta(minutes=62))
    record_look(world.engine, "primary", [], now + timedelta(minutes=70))
    for _ in range(2):
        tell(world.engine, world.guide, mailer(mailbox).send, now + timedelta(minutes=70), LINKS)
    _, closing = read_messages(mailbox[0])
    assert closing["Subject"].startswith("[SMKI] closed: missing: SMKIKR_DELT_")
    assert "met, late by 1 h 12 min" in text_of(closing)
    assert "/smki/gate/" in text_of(closing), "the gate's report"


def test_what_could_not_be_sent_is_logged_and_sent_at_the_next_look(
    world: World, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
):
    now = missed(world)
    nobody = Mailer("127.0.0.1", 1, "smki@example.org")
    assert tell(world.engine, world.guide, nobody.send, now, LINKS) == 0
    assert "message not sent" in caplog.text
    assert len(list_untold(world.engine, NOON + DAY)) == 1
    assert tell(world.engine, world.guide, mailer(mailbox).send, now, LINKS) == 1
    assert list_untold(world.engine, NOON + DAY) == []


def test_two_that_tell_at_once_tell_once(world: World):
    now = missed(world)
    both, sent = threading.Barrier(2, timeout=5), []

    def send(message: Message) -> None:
        sent.append(message.subject)
        threading.Event().wait(0.3)  # the other one comes meanwhile

    def one() -> None:
        both.wait()
        tell(world.engine, world.guide, send, now, LINKS)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sent) == 1


def test_a_miss_after_a_risk_is_one_opening_more_and_the_risk_closes_silently(world: World, mailbox: Mailbox):
    name = world.guide.delta.file_name(TOMORROW)
    warn_at = world.guide.delta.warn_at(TOMORROW)
    risk = Finding(Kind.AT_RISK, "primary", name, "it is due.", "delta", TOMORROW)
    open_finding(world.engine, risk, warn_at)
    tell(world.engine, world.guide, mailer(mailbox).send, warn_at, LINKS)
    tell(world.engine, world.guide, mailer(mailbox).send, missed(world), LINKS)
    assert subjects(mailbox) == [f"[SMKI] {kind}: {name} on site primary" for kind in ("at risk", "missing")]
    assert "at risk: due in 1 h" in text_of(read_messages(mailbox[0])[0])
    assert list_untold(world.engine, NOON + DAY) == []


def test_a_miss_that_goes_on_as_that_of_the_next_file_closes_silently(world: World):
    sent = list[Message]()
    crl = world.guide.obligation("crl")
    for day in (TODAY, TOMORROW):
        due, now = Due(crl, day), crl.publish_by(day)
        miss = Finding(Kind.MISSING, "primary", due.label, "it was due and is not there.", "crl", day)
        record_look(world.engine, "primary", [miss], now)
        tell(world.engine, world.guide, sent.append, now, LINKS)
    record_look(world.engine, "primary", [], now + timedelta(minutes=10))
    tell(world.engine, world.guide, sent.append, now + timedelta(minutes=10), LINKS)
    last = f"missing: {Due(crl, TOMORROW).label} on site primary"
    assert [message.subject for message in sent[1:]] == [f"[SMKI] {last}", f"[SMKI] closed: {last}"]


def test_a_hold_is_told_once_and_its_closing_says_who_decided(world: World, mailbox: Mailbox):
    name = world.guide.delta.file_name(TOMORROW)
    volume = CheckResult("delta.volume", "a day", Severity.HOLD, False, "at most 20", "36 records", (), "records")
    judgement = made_judgement(
        "delta", name, TOMORROW, "aa", run="smki_daily_delta/r", judged_at=NOON, results=(volume,)
    )
    held = record_judgement(world.engine, judgement)
    item = f"{name} (gate run {held})"
    for _ in range(2):
        assert (Kind.HELD, item) in world.kinds(NOON)
        tell(world.engine, world.guide, mailer(mailbox).send, NOON, LINKS)
    (opening,) = read_messages(mailbox[0])
    assert opening["Subject"] == f"[SMKI] held: {item}"
    assert "36 records (expected: at most 20)" in text_of(opening)
    assert f"https://airflow.example.org/smki/gate/{held}" in text_of(opening)
    record_decision(world.engine, held, Decision(True, "a mass installation", "ada", NOON))
    assert (Kind.HELD, item) not in world.kinds(NOON)
    tell(world.engine, world.guide, mailer(mailbox).send, NOON, LINKS)
    _, closing = read_messages(mailbox[0])
    assert closing["Subject"] == f"[SMKI] closed: held: {item}"
    assert "by ada: a mass installation" in text_of(closing)


def test_what_another_run_holds_under_the_same_name_is_told_and_each_closing_speaks_of_its_own(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    name, at = world.guide.obligation("crl").file, [NOON]
    sent = list[Message]()

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return at[0].astimezone(tz)

    def tell_now(*_: Any) -> None:
        tell(world.engine, world.guide, sent.append, at[0], LINKS)

    def hold(sha256: str) -> int:
        lost = CheckResult("list.lost", "a", Severity.HOLD, False, "at most 10", f"{sha256} lost", (), "entries")
        judgement = made_judgement("crl", name, TODAY, sha256, run=f"lists/{sha256}", judged_at=at[0], results=(lost,))
        held = record_judgement(world.engine, judgement)
        tell_of_held(world.engine, world.guide, [held])
        return held

    monkeypatch.setattr(telling, "datetime", Clock)
    monkeypatch.setattr(telling, "tell_people", tell_now)
    first = hold("aa")
    at[0] += timedelta(minutes=3)
    record_decision(world.engine, first, Decision(False, "forged", "ada", at[0]))
    at[0] += timedelta(minutes=3)
    second = hold("bb")
    at[0] += timedelta(minutes=4)
    world.audit(at[0])
    tell_now()
    held = [f"{name} (gate run {number})" for number in (first, second)]
    told = [message for message in sent if "held: " in message.subject]
    assert [message.subject for message in told] == [
        f"[SMKI] held: {held[0]}",
        f"[SMKI] held: {held[1]}",
        f"[SMKI] closed: held: {held[0]}",
    ]
    assert "by ada: forged" in told[-1].text
    assert [one.finding.gate_run for one in list_open_findings(world.engine) if one.finding.kind is Kind.HELD] == [
        second
    ]


def test_a_risk_that_ends_well_is_told_as_closed(world: World, mailbox: Mailbox):
    risk = Finding(Kind.AT_RISK, "primary", "a", "it is due.", "delta", TOMORROW)
    open_finding(world.engine, risk, NOON)
    tell(world.engine, world.guide, mailer(mailbox).send, NOON, LINKS)
    record_look(world.engine, "primary", [], NOON + timedelta(minutes=10))
    tell(world.engine, world.guide, mailer(mailbox).send, NOON + timedelta(minutes=10), LINKS)
    assert subjects(mailbox)[1:] == ["[SMKI] closed: at risk: a on site primary"]


def test_what_closed_before_it_was_told_is_told_by_its_closing_while_it_is_news(world: World, mailbox: Mailbox):
    cut = Finding(Kind.TRUNCATED, "primary", "a.gz", "7 octets are there and 9 were published.", "delta", TODAY)
    risk = Finding(Kind.AT_RISK, "primary", "b.gz", "it is due.", "delta", TODAY)
    record_look(world.engine, "primary", [cut, risk], NOON)
    closed = NOON + timedelta(minutes=10)
    record_look(world.engine, "primary", [], closed)
    assert list_untold(world.engine, closed + timedelta(days=2)) == []
    for _ in range(2):
        tell(world.engine, world.guide, mailer(mailbox).send, closed, LINKS)
    (mail,) = read_messages(mailbox[0])
    assert mail["Subject"] == "[SMKI] closed: truncated: a.gz on site primary"
    assert "It was: 7 octets are there" in text_of(mail)


def test_what_is_of_no_obligation_goes_to_everybody(world: World, mailbox: Mailbox):
    open_finding(world.engine, Finding(Kind.UNREACHABLE, "primary", "site", "it is down."), NOON)
    tell(world.engine, world.guide, mailer(mailbox).send, NOON, Links())
    (mail,) = read_messages(mailbox[0])
    assert mail["To"] == "smki-oncall@example.org"
    assert "docs/runbook.md#unreachable" in text_of(mail)
    assert "http" not in text_of(mail)


def test_the_last_error_of_the_days_run_is_the_cause_and_an_older_one_without_a_day_is_not(world: World):
    cut_off = world.guide.delta.cut_off.at(TODAY)
    for run, day, error, after in (
        ("dag/1", TODAY, "first", 1),
        ("dag/1", TODAY, "last", 2),
        ("dag/2", TODAY - DAY, "another day's", 3),
        ("dag/3", None, "an event's, before", -1),
        ("other/1", TODAY, "another DAG's", 4),
    ):
        record_failure(world.engine, Failure(run, "publish", day, error, cut_off + timedelta(hours=after)))
    found = last_failure(world.engine, "dag", TODAY, cut_off)
    assert found is not None
    assert (found.error, found.run, found.failed_at) == ("last", "dag/1", cut_off + timedelta(hours=2))
    record_failure(world.engine, Failure("dag/4", "publish", None, "an event's", cut_off + timedelta(hours=3)))
    found = last_failure(world.engine, "dag", TODAY, cut_off)
    assert found is not None
    assert found.error == "an event's"


def test_mail_server_is_a_url_and_what_is_none_is_refused():
    mail = Mailer.from_environment({"SMKI_SMTP_URL": "smtp://us%40er:pw@mail.example:587?from=smki@example.org"})
    assert mail == Mailer("mail.example", 587, "smki@example.org", user="us@er", password="pw")  # noqa: S106  # a test's
    assert mail is not None
    assert "pw" not in repr(mail)
    assert Mailer.from_environment({}) is None
    for wrong in ("mail.example", "http://a?from=b@c", "smtp://a", "smtp://a:x?from=b@c"):
        with pytest.raises(ConfigurationError, match="SMKI_SMTP_URL"):
            Mailer.from_environment({"SMKI_SMTP_URL": wrong})


def test_password_is_never_sent_without_tls(mailbox: Mailbox):
    with_password = Mailer("127.0.0.1", mailbox[1], "smki@example.org", user="user", password="pw")  # noqa: S106  # a test's
    with pytest.raises(NotificationError, match="offers no TLS"):
        with_password.send(Message(("a@example.org",), "subject", "text"))
    assert read_messages(mailbox[0]) == []


def test_contact_that_is_no_mail_address_is_said(mailbox: Mailbox):
    with pytest.raises(NotificationError, match="none of the contacts"):
        mailer(mailbox).send(Message(("+44 20 7946 0000",), "subject", "text"))


def test_contact_that_the_server_refuses_is_named_in_the_log_and_the_others_are_told_once(
    caplog: pytest.LogCaptureFixture,
):
    taken = list[bytes]()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            if line.upper().startswith(b"DATA"):
                writer.write(b"354 go on\r\n")
                taken.append(await reader.readuntil(b"\r\n.\r\n"))
            refused, bye = b"gone@" in line, line.upper().startswith(b"QUIT")
            writer.write(b"550 no such user\r\n" if refused else b"221 bye\r\n" if bye else b"250 fine\r\n")
            if bye:
                break
        writer.close()

    with in_the_background() as run:
        server = run(asyncio.start_server(converse, "127.0.0.1"))
        message = Message(("a@example.org", "gone@example.org"), "subject", "text")
        Mailer("127.0.0.1", server.sockets[0].getsockname()[1], "smki@example.org").send(message)
        server.get_loop().call_soon_threadsafe(server.close)
    assert len(taken) == 1
    (said,) = [one.getMessage() for one in caplog.records if one.name == "smki.watch.mail"]
    assert "contact=gone@example.org" in said
    assert "550" in said


def test_message_survives_the_wire_as_it_was(mailbox: Mailbox):
    text = "first\n.a line that begins with a dot\n\n… and letters – beyond ASCII\n"
    mailer(mailbox).send(Message(("a@example.org",), "a\nb", text))
    (mail,) = read_messages(mailbox[0])
    assert text_of(mail).replace("\r\n", "\n") == text
    assert mail["Subject"] == "a b"
    assert datetime.now(UTC)
