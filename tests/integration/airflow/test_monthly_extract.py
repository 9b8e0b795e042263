"""One more obligation is a section of TOML and a DAG file: a monthly extract of all statuses, from its plan to its end.

The stack is this module's own, as its obligations are. The tests are one story and run in their order.
"""

import gzip
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from builders import state_as_of
from smki.certificates.model import Status
from smki.obligations.catalogue import Obligation
from smki.obligations.user_guide import load_user_guide
from smki.publish.ledger import find_publication, list_publications
from smki.repository.database import open_engine
from smki.repository.windows import find_window
from smki.settings import INCLUDE, PROJECT
from smki_airflow.names import AUDITOR, RETENTION
from smki_demo.generator.filling import fill_with_history, open_pki
from smki_demo.stack import Stack, running_stack, start_airflow

from .conftest import END, DagRun, ended_runs, page, trigger, wait_until

pytestmark = pytest.mark.stack

DAY = END.replace(day=min(END.day, 28))  # the newest cut-off there was: the scheduler runs it by itself
DAG_ID = "smki_monthly_extract"
SECTION = f"""
[monthly]
kind = "full extract"
statuses = "PINER"
title = "Monthly extract"
dag = "{DAG_ID}"
clause = "what Parties have agreed on"
file = "SMKIKR_MONTHLY_{{date}}.xml.gz"
cut_off = "0 0 {DAY.day} * *"
publish_by = "12:00"
folder = "/"
keep = 1
"""
DAG_FILE = f"""
from airflow.sdk import DAG

from smki_airflow.defaults import publishing_dag
from smki_airflow.tasks.extracts import extract_run

with DAG(**publishing_dag("{DAG_ID}")):
    extract_run("monthly")
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="smki stack ") as folder, running_stack(Path(folder)) as running:
        engine = open_engine(running.repository_url)
        fill_with_history(engine, open_pki(Path(folder) / "pki"), END, days=9, certificates=600)
        engine.dispose()
        config, dags = Path(folder) / "config", Path(folder) / "dags"
        shutil.copytree(INCLUDE / "config", config)
        with (config / "user_guide.toml").open("a") as file:
            file.write(SECTION)
        dags.mkdir()
        for dag_id in (RETENTION, AUDITOR):
            shutil.copy(PROJECT / "dags" / f"{dag_id}.py", dags)
        (dags / f"{DAG_ID}.py").write_text(DAG_FILE)
        running.environment |= {"SMKI_CONFIG": str(config), "AIRFLOW__CORE__DAGS_FOLDER": str(dags)}
        start_airflow(running)
        yield running


@pytest.fixture(scope="module")
def monthly(stack: Stack) -> Obligation:
    return load_user_guide(Path(stack.environment["SMKI_CONFIG"])).obligation("monthly")


def statuses_in(file: Path) -> Counter[str]:
    """Records by their status."""
    return Counter(re.findall(r"<CertificateStatus>(\w)<", gzip.decompress(file.read_bytes()).decode()))


def offered(engine: Engine, obligation: Obligation) -> set[str]:
    with engine.connect() as connection:
        names = {publication.name for publication in list_publications(connection, "primary")}
    return {name for name in names if obligation.day_of(name)}


def test_it_is_published_with_the_certificates_of_all_statuses(
    stack: Stack, engine: Engine, monthly: Obligation
) -> None:
    wait_until(lambda: DAY in ended_runs(stack, DAG_ID))
    assert ended_runs(stack, DAG_ID)[DAY] == "success"
    with engine.connect() as connection:
        publication = find_publication(connection, "primary", monthly.file_name(DAY))
    assert publication is not None
    assert publication.artefact.obligation == "monthly"
    held = statuses_in(stack.var / "sftp" / publication.name)
    assert held == Counter(state_as_of(engine, find_window(engine, DAY).seq).values())
    assert set(held) == set(Status)
    assert held.total() == publication.artefact.records


def test_it_is_watched(stack: Stack, monthly: Obligation) -> None:
    assert trigger(stack, AUDITOR).ends() == "success"
    status = page(stack, f"{stack.api.base_url}/smki/api/status").json()
    (stands,) = [one for one in status["obligations"] if one["obligation"] == monthly.name]
    assert stands["last_file"]["name"] == monthly.file_name(DAY)
    assert date.fromisoformat(stands["next"]["business_date"]) == monthly.cut_off.next_day(DAY)


def test_it_has_a_row_on_the_board_and_its_day(stack: Stack, monthly: Obligation) -> None:
    assert f">{monthly.title}<" in page(stack, f"{stack.api.base_url}/smki/board").text
    shown = page(stack, f"{stack.api.base_url}/smki/board?day={DAY}&obligation=monthly")
    assert monthly.file_name(DAY) in shown.text


def test_it_is_retired_where_a_newer_one_stands(stack: Stack, engine: Engine, monthly: Obligation) -> None:
    earlier = DAY - timedelta(days=1)
    body = {"logical_date": None, "conf": {"any_day": earlier.isoformat()}}
    run = DagRun(stack, DAG_ID, stack.api.post(f"dags/{DAG_ID}/dagRuns", body)["dag_run_id"])
    assert run.ends() == "success"
    assert offered(engine, monthly) == {monthly.file_name(DAY), monthly.file_name(earlier)}
    assert trigger(stack, RETENTION).ends() == "success"
    assert offered(engine, monthly) == {monthly.file_name(DAY)}
    stays = monthly.file_name(DAY)  # with the page table that the index names
    on_server = {file.name for file in (stack.var / "sftp").glob("SMKIKR_MONTHLY_*")}
    assert on_server == {stays, stays.replace(".xml.gz", ".pages")}
