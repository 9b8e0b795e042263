"""The DAG of revocation lists under the real scheduler and triggerer: an event begins it, nothing else does."""

import gzip
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Any

import pytest
from sqlalchemy import Engine, select

from builders import REVOCATION_LISTS
from smki.certificates.model import ListKind, Status
from smki.gate.ledger import list_gate_runs
from smki.gate.model import Verdict
from smki.kinds.revocation.lodging import LodgedList, latest_list, lodge_revocation_lists
from smki.kinds.revocation.reading import read_revocation_list
from smki.obligations.catalogue import UserGuide
from smki.publish.artefact import Publication
from smki.publish.ledger import find_publication
from smki.repository.offers import RevocationListOffer
from smki.repository.status import CertificateReference, StatusChange, set_statuses
from smki.repository.tables import certificate
from smki_demo.generator.filling import open_pki
from smki_demo.generator.revocation import Revoked, issue_lists, revocation_list
from smki_demo.publishing import HeldFiles
from smki_demo.stack import Stack

from .conftest import DagRun, trigger, wait_until

pytestmark = pytest.mark.stack

POLLS_S = 20  # several of the trigger's questions
AT_ONCE_S = 90  # from lodging to the server, on a machine that is busy


def newest(engine: Engine, kind: ListKind) -> LodgedList:
    with engine.connect() as connection:
        lodged = latest_list(connection, kind)
    assert lodged is not None
    return lodged


def publication(engine: Engine, guide: UserGuide, obligation: str) -> Publication | None:
    with engine.connect() as connection:
        return find_publication(connection, "primary", guide.obligation(obligation).file)


def is_published(engine: Engine, guide: UserGuide, obligation: str, lodged: LodgedList) -> bool:
    found = publication(engine, guide, obligation)
    return found is not None and found.artefact.version == lodged.id


def runs(stack: Stack) -> dict[str, dict[str, Any]]:
    return {run["dag_run_id"]: run for run in stack.api.runs(REVOCATION_LISTS)}


def wait_until_idle(stack: Stack) -> None:
    wait_until(lambda: all(run["state"] in ("success", "failed") for run in runs(stack).values()))


def served(stack: Stack, guide: UserGuide, obligation: str) -> bytes:
    return gzip.decompress((stack.var / "sftp" / guide.obligation(obligation).file).read_bytes())


def asking(stack: Stack, some: Iterable[str]) -> list[str]:
    """Those of the runs that ask a person about a CRL."""
    path = "taskInstances/crl.release"
    return [
        one
        for one in some
        if stack.api.get(f"dags/{REVOCATION_LISTS}/dagRuns/{one}/{path}")["state"] == "awaiting_input"
    ]


def log_of(stack: Stack, run_id: str, task_id: str) -> str:
    folder = stack.var / "airflow" / "logs" / f"dag_id={REVOCATION_LISTS}" / f"run_id={run_id}" / f"task_id={task_id}"
    return "".join(file.read_text() for file in folder.rglob("*.log"))


def clear(stack: Stack, run_id: str, **what: Any) -> None:
    body = {"dag_run_id": run_id, "dry_run": False, "reset_dag_runs": True, "include_downstream": True, **what}
    stack.api.post(f"dags/{REVOCATION_LISTS}/clearTaskInstances", body)


@pytest.fixture(scope="module", autouse=True)
def first_lists(stack: Stack, engine: Engine, user_guide: UserGuide) -> None:
    """Those that the stack began with are out."""
    for obligation, kind in (("arl", ListKind.ARL), ("crl", ListKind.CRL)):
        lodged = newest(engine, kind)
        wait_until(lambda obligation=obligation, lodged=lodged: is_published(engine, user_guide, obligation, lodged))
    wait_until_idle(stack)


def test_clause_2_3_3_c_latest_arl_is_on_the_server(stack: Stack, engine: Engine, user_guide: UserGuide):
    assert served(stack, user_guide, "arl") == newest(engine, ListKind.ARL).body


def test_clause_2_3_3_d_lodged_crl_is_on_the_server_within_minutes(stack: Stack, engine: Engine, user_guide: UserGuide):
    before = runs(stack)
    with engine.connect() as connection:
        query = select(certificate.c.serial_number).where(certificate.c["class"] == "ORGANISATION")
        serial = connection.execute(query.where(certificate.c.status == "I").limit(1)).scalar_one()
    now = datetime.now(UTC)
    issue_lists(engine, open_pki(stack.var / "pki"), now, [Revoked(serial, now)], kinds=[ListKind.CRL])
    lodged = newest(engine, ListKind.CRL)
    wait_until(lambda: is_published(engine, user_guide, "crl", lodged), AT_ONCE_S)
    assert served(stack, user_guide, "crl") == lodged.body
    wait_until_idle(stack)
    after = runs(stack)
    (new,) = set(after) - set(before)
    assert (after[new]["run_type"], after[new]["state"]) == ("asset_triggered", "success")
    found = publication(engine, user_guide, "crl")
    assert found is not None
    assert found.artefact.business_date == lodged.this_update.date()


def test_nothing_new_begins_no_run(stack: Stack):
    before = set(runs(stack))
    sleep(POLLS_S)
    assert set(runs(stack)) == before


def test_list_without_a_successor_is_warned_of_in_the_runs_log(stack: Stack, engine: Engine, user_guide: UserGuide):
    before = set(runs(stack))
    last, now = newest(engine, ListKind.CRL), datetime.now(UTC)
    body = revocation_list(
        open_pki(stack.var / "pki").issuing_oca, last.number + 1, now, now + timedelta(hours=20), _entries(last)
    )
    assert not lodge_revocation_lists(engine, [RevocationListOffer(body, "test")], now).refusals
    lodged = newest(engine, ListKind.CRL)
    wait_until(lambda: bool(set(runs(stack)) - before), AT_ONCE_S)
    (new,) = set(runs(stack)) - before
    run = DagRun(stack, REVOCATION_LISTS, new)
    run.wait_until_asking("crl.release")  # as the list before ends later
    run.answer("Approve", "its issuer issues more often from now on", "crl.release")
    assert run.ends() == "success"
    assert is_published(engine, user_guide, "crl", lodged)
    warnings = [
        entry
        for entry in map(json.loads, log_of(stack, new, "check_next_update").splitlines())
        if entry["level"] == "warning"
    ]
    assert any(f"CRL {lodged.number} of" in entry["event"] for entry in warnings)


def test_older_list_never_replaces_a_newer_one_whatever_is_cleared(stack: Stack, engine: Engine, user_guide: UserGuide):
    events = [(run["run_after"], run_id) for run_id, run in runs(stack).items() if run["run_type"] == "asset_triggered"]
    _, older = min(events)
    lodged = newest(engine, ListKind.CRL)
    clear(stack, older, task_ids=["crl.publish_primary"], only_failed=False)
    wait_until(lambda: runs(stack)[older]["state"] not in ("success", "failed"), 30)
    wait_until_idle(stack)
    assert runs(stack)[older]["state"] == "success"
    assert "ledger=superseded" in log_of(stack, older, "crl.publish_primary")
    assert served(stack, user_guide, "crl") == lodged.body
    assert is_published(engine, user_guide, "crl", lodged)


def test_publication_that_fails_begins_no_run_after_run_and_is_cleared_once_its_cause_is_gone(
    stack: Stack, engine: Engine, user_guide: UserGuide
):
    before = set(runs(stack))
    intruder = stack.var / "sftp" / user_guide.obligation("crl").file
    intruder.write_bytes(b"somebody else's file")
    issue_lists(engine, open_pki(stack.var / "pki"), datetime.now(UTC))
    arl, crl = newest(engine, ListKind.ARL), newest(engine, ListKind.CRL)
    wait_until(lambda: bool(set(runs(stack)) - before), AT_ONCE_S)
    wait_until_idle(stack)
    sleep(POLLS_S)
    new = set(runs(stack)) - before
    assert len(new) <= 2, "one for both lists, or each list has its own"
    (failed,) = (one for one in new if runs(stack)[one]["state"] == "failed")
    assert intruder.read_bytes() == b"somebody else's file"
    assert is_published(engine, user_guide, "arl", arl), "the other list does not wait for it"

    intruder.unlink()
    clear(stack, failed, only_failed=True)
    wait_until(lambda: is_published(engine, user_guide, "crl", crl))
    assert served(stack, user_guide, "crl") == crl.body


def test_list_that_is_held_is_asked_for_once_whichever_runs_come_upon_it(
    stack: Stack, engine: Engine, user_guide: UserGuide
):
    wait_until_idle(stack)
    before = set(runs(stack))
    with engine.connect() as connection:
        query = select(certificate.c.serial_number).where(certificate.c["class"] == "ORGANISATION")
        serial = connection.execute(query.where(certificate.c.status == "I").limit(1)).scalar_one()
    set_statuses(engine, [StatusChange(CertificateReference(serial), Status.REVOKED, "on no list")])
    issue_lists(engine, open_pki(stack.var / "pki"), datetime.now(UTC))
    crl = newest(engine, ListKind.CRL)
    wait_until(lambda: bool(asking(stack, set(runs(stack)) - before)), AT_ONCE_S)
    (begun,) = asking(stack, set(runs(stack)) - before)
    first = DagRun(stack, REVOCATION_LISTS, begun)
    assert "Revoked and not listed" in first.wait_until_asking("crl.release")["body"]
    arl = newest(engine, ListKind.ARL)
    wait_until(lambda: is_published(engine, user_guide, "arl", arl))  # it does not wait for the other list

    second = trigger(stack, REVOCATION_LISTS)
    assert second.ends() == "success"
    assert second.task("crl.judge")["state"] == "skipped", "the same list waits already"
    assert not is_published(engine, user_guide, "crl", crl)
    told: list[str] = []
    assert [*HeldFiles(stack, told.append).addresses()] == [
        f"{stack.api.base_url}/dags/{REVOCATION_LISTS}/runs/{begun}/tasks/crl.release/required_actions"
    ]
    assert len(told) == 1, "the demo says where somebody has to decide"

    first.answer("Approve", "its issuer lists it next week", "crl.release")
    assert first.ends() == "success"
    assert is_published(engine, user_guide, "crl", crl)

    third = trigger(stack, REVOCATION_LISTS)
    assert third.ends() == "success"
    assert third.task("crl.judge")["state"] == "success"
    repeated, asked = list_gate_runs(engine, obligation="crl", limit=2)
    assert {repeated.judgement.verdict, asked.judgement.verdict} == {Verdict.HOLD}
    assert repeated.decision == asked.decision, "the release stands for the same bytes"

    now = datetime.now(UTC)
    issue_lists(engine, open_pki(stack.var / "pki"), now, [Revoked(serial, now)])
    listed = newest(engine, ListKind.CRL)
    wait_until(lambda: is_published(engine, user_guide, "crl", listed))  # and nothing is unusual any more
    wait_until_idle(stack)


def _entries(lodged: LodgedList) -> list[Revoked]:
    return [Revoked(entry.serial_number, entry.revoked_at) for entry in read_revocation_list(lodged.body).entries]
