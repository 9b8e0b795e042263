"""Retention on a real sshd and in a real ledger: what goes, what stays, and what a crash at each step leaves."""

import os
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from smki.errors import (
    ConfigurationError,
    RemovalRefusedError,
    RepositoryUnavailableError,
    SiteUnavailableError,
    TransportError,
)
from smki.publish.ledger import list_publications, publication_history, site_lock
from smki.repository.database import open_engine
from smki.retention.execution import RetentionReport, apply_retention, look_at_site
from smki.retention.rules import Action

DELTA, FULL = "delta", "full"
RUN = "smki_retention/scheduled__1"


def actions(report):
    return {plan.name: plan.action for plan in report.plans}


def offered(repository):
    with repository.connect() as connection:
        return {publication.name for publication in list_publications(connection, "primary")}


def ended(repository, published):
    with repository.connect() as connection:
        return publication_history(connection, "primary", published.name)[-1]


def test_what_is_due_is_removed_and_recorded_with_the_rule(repository, sshd, user_guide, offer):
    old, young = offer(sshd.site, DELTA, 8), offer(sshd.site, DELTA, 6)
    fulls = [offer(sshd.site, FULL, days) for days in (1, 8, 15)]
    crl = offer(sshd.site, "crl", 300)

    report = apply_retention(repository, sshd.site, user_guide, RUN)

    staying = {young.name, fulls[0].name, fulls[1].name, crl.name}
    assert {file.name for file in sshd.published.iterdir()} == offered(repository) == staying
    assert report.problems == ()
    assert ended(repository, old).end_reason == (
        "a delta is available for 7 days from its publication and is then removed (SEC Appendix O 2.3.3 (b))"
    )
    assert "only the 2 newest full extracts stay" in ended(repository, fulls[2]).end_reason
    assert actions(apply_retention(repository, sshd.site, user_guide, RUN)) == dict.fromkeys(staying, Action.KEEP)


def test_a_plan_changes_nothing(repository, sshd, user_guide, offer):
    published = {offer(sshd.site, DELTA, days).name for days in (8, 9)} | {offer(sshd.site, FULL, 1).name}

    report = look_at_site(repository, sshd.site, user_guide)
    assert list(actions(report).values()) == [Action.REMOVE, Action.REMOVE, Action.KEEP]
    assert {file.name for file in sshd.published.iterdir()} == offered(repository) == published


def test_a_plan_can_be_made_for_another_time(repository, sshd, user_guide, offer):
    published = offer(sshd.site, DELTA, 0)
    offer(sshd.site, FULL, 0)

    later = datetime.now(UTC) + timedelta(days=8)
    assert actions(look_at_site(repository, sshd.site, user_guide))[published.name] is Action.KEEP
    assert actions(look_at_site(repository, sshd.site, user_guide, later))[published.name] is Action.REMOVE


def test_a_delta_that_recovery_needs_waits_with_a_warning(repository, sshd, user_guide, offer, caplog):
    offer(sshd.site, FULL, 10)
    needed = offer(sshd.site, DELTA, 9)

    report = apply_retention(repository, sshd.site, user_guide, RUN)
    assert actions(report)[needed.name] is Action.WAIT
    assert (sshd.published / needed.name).exists()
    assert f"retention wait site=primary path={needed.path}" in caplog.text


def test_a_file_that_is_gone_already_is_noted_in_the_ledger(repository, sshd, user_guide, offer):
    offer(sshd.site, FULL, 1)
    gone = offer(sshd.site, DELTA, 8)
    (sshd.published / gone.name).unlink()

    report = apply_retention(repository, sshd.site, user_guide, RUN)
    assert (actions(report)[gone.name], report.problems) == (Action.ALREADY_GONE, ())
    assert ended(repository, gone).end_reason.endswith("it was gone from the server already")


def test_a_file_that_is_lost_before_its_time_can_be_published_again(repository, sshd, user_guide, offer):
    lost = offer(sshd.site, DELTA, 2)
    (sshd.published / lost.name).unlink()

    assert actions(apply_retention(repository, sshd.site, user_guide, RUN))[lost.name] is Action.LOST
    offer(sshd.site, DELTA, 2)
    assert (sshd.published / lost.name).exists()


def test_foreign_files_are_listed_and_left_alone(repository, sshd, user_guide, offer):
    offer(sshd.site, FULL, 1)
    names = ["notes.txt", user_guide.delta.file_name(datetime(2020, 1, 1, tzinfo=UTC).date()), ".notes.part"]
    for name in names:
        (sshd.published / name).write_text("somebody's")
        os.utime(sshd.published / name, (0, 0))
    (sshd.published / "folder").mkdir()

    report = apply_retention(repository, sshd.site, user_guide, RUN)
    assert {finding.name for finding in report.plans if finding.action is Action.FOREIGN} == set(names)
    assert all((sshd.published / name).read_text() == "somebody's" for name in names)


@pytest.mark.parametrize("content", [b"shorter", None], ids=["other size", "other bytes of the same size"])
def test_other_content_under_a_published_name_is_never_removed(repository, sshd, user_guide, offer, content):
    offer(sshd.site, FULL, 1)
    changed, other = offer(sshd.site, DELTA, 8), offer(sshd.site, DELTA, 9)
    content = content or b"x" * changed.artefact.bytes
    (sshd.published / changed.name).write_bytes(content)

    report = apply_retention(repository, sshd.site, user_guide, RUN)
    with pytest.raises(RemovalRefusedError, match=changed.name):
        report.raise_problems()
    assert (sshd.published / changed.name).read_bytes() == content
    assert changed.name in offered(repository)
    assert other.name not in offered(repository), "the others are dealt with"


def test_parts_of_failed_uploads_go_after_a_day(repository, sshd, user_guide, offer):
    offer(sshd.site, FULL, 1)
    for day, hours in ((1, 25), (2, 23)):
        part = sshd.published / f".{user_guide.full.file_name(datetime(2026, 3, day, tzinfo=UTC).date())}.part"
        part.write_bytes(b"half")
        modified = time.time() - hours * 3600
        os.utime(part, (modified, modified))

    apply_retention(repository, sshd.site, user_guide, RUN)
    assert [file.name for file in sshd.published.glob(".*.part")] == [".SMKIKR_FULL_2026-03-02.xml.gz.part"]


def test_a_server_that_forbids_removal_is_a_clear_error_and_the_others_are_dealt_with(
    repository, faulty, user_guide, offer
):
    offer(faulty.site, FULL, 1)
    stuck, other, stuck_too = (offer(faulty.site, DELTA, days) for days in (10, 9, 8))
    faulty.faults.refuse_removal = {stuck.name, stuck_too.name}

    report = apply_retention(repository, faulty.site, user_guide, RUN)
    assert [problem.item for problem in report.problems] == [stuck.path, stuck_too.path]
    with pytest.raises(ConfigurationError, match="account may not do this") as raised:
        report.raise_problems()
    assert stuck.path in str(raised.value)
    assert stuck_too.path in str(raised.value)
    assert {stuck.name, stuck_too.name} < offered(repository)
    assert other.name not in offered(repository)
    assert not (faulty.published / other.name).exists()


def test_a_crash_between_removal_and_record_is_resolved_by_looking(repository, faulty, user_guide, offer):
    offer(faulty.site, FULL, 1)
    removed, waiting = offer(faulty.site, DELTA, 9), offer(faulty.site, DELTA, 8)
    faulty.faults.drop_after_removal = True

    with pytest.raises(SiteUnavailableError):
        apply_retention(repository, faulty.site, user_guide, RUN)
    assert not (faulty.published / removed.name).exists()
    assert {removed.name, waiting.name} < offered(repository), "nothing is recorded that was not seen done"

    apply_retention(repository, faulty.site, user_guide, RUN)
    assert "gone from the server already" in ended(repository, removed).end_reason
    assert ended(repository, waiting).ended_at


def test_a_disk_that_is_not_mounted_is_not_taken_for_files_that_are_gone(repository, sshd, user_guide, offer):
    published = offer(sshd.site, DELTA, 8)
    sshd.published.rename(sshd.root / "elsewhere")

    with pytest.raises(SiteUnavailableError, match="no such folder"):
        apply_retention(repository, sshd.site, user_guide, RUN)
    assert offered(repository) == {published.name}


def test_a_site_that_was_never_published_to_has_nothing_to_remove(repository, sshd, user_guide):
    assert apply_retention(repository, sshd.site, user_guide, RUN).plans == ()


def test_a_server_or_a_database_that_is_down_is_a_clear_error(repository, sshd, user_guide):
    nobody = open_engine("postgresql://postgres@127.0.0.1:1/smki")
    with pytest.raises(RepositoryUnavailableError):
        apply_retention(nobody, sshd.site, user_guide, RUN)
    sshd.stop()
    with pytest.raises(SiteUnavailableError):
        apply_retention(repository, sshd.site, user_guide, RUN)


def test_retention_waits_for_a_publisher_at_work(repository, sshd, user_guide):
    order = []

    def retention():
        apply_retention(repository, sshd.site, user_guide, RUN)
        order.append("retention")

    with repository.connect() as connection:
        with site_lock(connection, "primary"):
            waiting = threading.Thread(target=retention)
            waiting.start()
            waiting.join(timeout=0.5)
            order.append("publisher")
        waiting.join()
    assert order == ["publisher", "retention"]


def test_problems_are_raised_as_one_error_that_is_retried_if_that_may_help():
    parts = ("rule.", "consequence.", "next step.")
    problems = (ConfigurationError("a", *parts), TransportError("b", *parts))
    with pytest.raises(TransportError, match="a, b: of the first: rule"):
        RetentionReport("primary", datetime.now(UTC), (), problems).raise_problems()
    RetentionReport("primary", datetime.now(UTC), ()).raise_problems()
