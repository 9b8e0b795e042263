"""The board in a real browser on the real stack: as Admin and Viewer, in Airflow's frame, dark, narrow, scriptless."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright import sync_api as playwright

from builders import ANCHOR_SLOTS, DAILY_DELTA, FULL_EXTRACT, REVOCATION_LISTS
from integration.airflow.conftest import ended_runs, wait_until
from smki.obligations.catalogue import UserGuide
from smki.repository.database import open_engine
from smki.settings import PROJECT
from smki_airflow.names import AUDITOR
from smki_demo.generator.filling import fill_with_history, open_pki
from smki_demo.generator.revocation import issue_lists
from smki_demo.stack import Stack, running_stack, start_airflow

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1200)]

LAST_DAY = datetime.now(UTC).date() - timedelta(days=20)  # no scheduled run reaches back to it
SCREENSHOTS = PROJECT / "var" / "screenshots"
OURS = {DAILY_DELTA, FULL_EXTRACT, REVOCATION_LISTS, ANCHOR_SLOTS, AUDITOR}
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="smki board ") as folder, running_stack(Path(folder)) as running:
        engine = open_engine(running.repository_url)
        pki = open_pki(Path(folder) / "pki")
        fill_with_history(engine, pki, LAST_DAY, days=9, certificates=600)
        issue_lists(engine, pki, datetime.now(UTC))
        engine.dispose()
        start_airflow(running)
        wait_until(lambda: {dag["dag_id"] for dag in running.api.get("dags")["dags"]} >= OURS)
        yield running


@pytest.fixture(scope="module")
def chromium(program_path: str) -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program_path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def program_path(program: Callable[[str], str]) -> str:
    return program("chromium")


@pytest.fixture
def opened(stack: Stack, chromium: Any) -> Iterator[Open]:
    """Opens a path as a user who logs in by Airflow's own page; what the browser complains of fails the test."""
    complaints: list[str] = []
    passwords = json.loads((stack.var / "airflow" / "passwords.json").read_text())

    def open_page(path: str, user: str = "admin", **options: Any) -> Any:
        context = chromium.new_context(viewport={"width": 1280, "height": 900}, **options)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if _is_ours(message) else None)
        page.goto(f"{stack.api.base_url}{path}")
        page.locator("input[name=username]").fill(user)
        page.locator("input[name=password]").fill(passwords[user])
        page.locator("input[name=password]").press("Enter")
        page.wait_for_url(f"**{path.partition('?')[0]}**")
        return page

    yield open_page
    for context in chromium.contexts:
        context.close()
    assert complaints == []


def _is_ours(message: Any) -> bool:
    return message.type == "error" and "/smki/" in message.location.get("url", "")


def keep(page: Any, name: str, *, whole: bool = True) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole)


def delta_cell(page: Any, day: date) -> Any:
    return page.locator(f'.calendar a[href="?day={day}&obligation=delta#day"]')


@contextmanager
def drawer(page: Any, day: date) -> Iterator[Any]:
    """The day, opened by its cell and closed by Escape."""
    delta_cell(page, day).click()
    opened = page.locator("dialog[open]")
    opened.locator("#day").wait_for()
    yield opened
    page.keyboard.press("Escape")
    page.locator("dialog[open]").wait_for(state="detached")


def test_an_admin_backfills_a_range_and_it_is_met_late(stack: Stack, opened: Open, user_guide: UserGuide) -> None:
    page = opened("/smki/board")
    assert "missed: was due" in (delta_cell(page, LAST_DAY).get_attribute("aria-label") or "")
    keep(page, "board-admin")
    page.locator("input[name=first]").fill(str(LAST_DAY - timedelta(days=1)))
    page.locator("input[name=last]").fill(str(LAST_DAY))
    page.get_by_role("button", name="See what would run…").click()
    page.get_by_role("heading", name="Backfill 2 days?").wait_for()
    assert user_guide.delta.file_name(LAST_DAY) in page.locator("main").inner_text()
    keep(page, "backfill-asks")
    page.get_by_role("button", name="Backfill 2 days").click()
    page.locator("[role=status]", has_text="one by one, oldest first").wait_for()
    keep(page, "backfill-done")

    wait_until(lambda: {LAST_DAY, LAST_DAY - timedelta(days=1)} <= ended_runs(stack, DAILY_DELTA).keys())
    assert ended_runs(stack, DAILY_DELTA)[LAST_DAY] == "success"
    page.goto(f"{stack.api.base_url}/smki/board")
    assert "met, late by" in (delta_cell(page, LAST_DAY).get_attribute("aria-label") or "")
    with drawer(page, LAST_DAY) as day:
        text = day.inner_text()
        assert all(said in text for said in ("after publish-by", "SHA-256", "PASS, report", "publish", "success"))
        keep(page, "day-admin", whole=False)


def test_a_failed_day_is_cleared_from_its_drawer(stack: Stack, opened: Open, user_guide: UserGuide) -> None:
    failed = LAST_DAY - timedelta(days=2)
    intruder = stack.var / "sftp" / user_guide.delta.file_name(failed)
    intruder.write_bytes(b"somebody else's file")
    wait_until(
        lambda: all(entry["completed_at"] for entry in stack.api.get("backfills", dag_id=DAILY_DELTA)["backfills"])
    )
    page = opened(f"/smki/board?day={failed}&obligation=delta")
    page.locator("dialog[open]").get_by_role("link", name="Backfill this day…").click()
    page.get_by_role("button", name="Backfill 1 day").click()
    wait_until(lambda: ended_runs(stack, DAILY_DELTA).get(failed) == "failed")

    intruder.unlink()
    page.goto(f"{stack.api.base_url}/smki/board")
    with drawer(page, failed) as day:
        assert all(said in day.inner_text() for said in ("PublicationRefusedError", "In Airflow: mend the cause"))
        keep(page, "day-failed", whole=False)
        day.get_by_role("link", name="Clear failed tasks…").click()
        page.get_by_role("heading", name="Clear the failed tasks of SMKIKR_DELT_").wait_for()
        keep(page, "clear-asks")
        page.get_by_role("button", name="Clear").click()
        page.locator("[role=status]").wait_for()
        wait_until(lambda: ended_runs(stack, DAILY_DELTA).get(failed) == "success")
        page.goto(f"{stack.api.base_url}/smki/board?day={failed}&obligation=delta")
    assert "met, late by" in (delta_cell(page, failed).get_attribute("aria-label") or "")


def test_a_file_that_the_server_lost_is_published_again_from_its_drawer(
    stack: Stack, opened: Open, user_guide: UserGuide
) -> None:
    file = stack.var / "sftp" / user_guide.delta.file_name(LAST_DAY)
    content = file.read_bytes()
    file.unlink()
    page = opened(f"/smki/board?day={LAST_DAY}&obligation=delta")
    page.locator("dialog[open]").get_by_role("link", name="Publish again…").first.click()
    page.get_by_role("heading", name=f"Publish {file.name} again?").wait_for()
    keep(page, "again-asks")
    page.get_by_role("button", name="Publish again").click()
    page.locator("[role=status]", has_text="The run begins again within seconds.").wait_for()
    wait_until(lambda: file.exists() and ended_runs(stack, DAILY_DELTA).get(LAST_DAY) == "success")
    assert file.read_bytes() == content


def test_a_viewer_sees_everything_and_has_no_button(opened: Open) -> None:
    page = opened("/smki/board", user="viewer")
    assert page.locator("h2").all_inner_texts() == [
        "Obligations",
        "Open findings",
        "Recovery chain",
        "The last eight weeks",
        "Trends",
    ]
    with drawer(page, LAST_DAY) as day:
        assert day.locator(".item").count() > 0
        assert day.locator(".button, button").count() == 0
        keep(page, "day-viewer", whole=False)
    assert page.locator("main .button, main button, form").count() == 0
    refused = page.request.post(
        page.url.replace("/board", f"/board/{AUDITOR}/trigger"), headers={"origin": page.url.partition("/smki")[0]}
    )
    assert refused.status == 403


def test_the_auditor_runs_when_an_admin_asks(stack: Stack, opened: Open) -> None:
    before = sum(run["run_type"] == "manual" for run in stack.api.runs(AUDITOR))
    page = opened("/smki/board")
    page.get_by_role("link", name="Audit now…").click()
    page.get_by_role("button", name="Audit now").click()
    page.locator("[role=status]", has_text="The auditor looks at every site now").wait_for()
    assert sum(run["run_type"] == "manual" for run in stack.api.runs(AUDITOR)) == before + 1


def test_the_calendar_is_one_stop_of_the_tab_key_and_arrows_lead_on(opened: Open) -> None:
    page = opened("/smki/board", user="viewer")
    assert page.locator('.calendar a[tabindex="0"]').count() == 1
    cell = delta_cell(page, LAST_DAY)
    cell.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.locator("dialog[open] #day").wait_for()
    wanted = LAST_DAY - timedelta(days=1)
    assert page.locator("#day-title").inner_text() == f"{wanted:%A} {wanted.day} {wanted:%B %Y}"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.className").startswith("cell"), "where it was opened from"


def test_without_script_a_cell_leads_to_the_day_on_the_page(opened: Open) -> None:
    page = opened("/smki/board", user="viewer")  # logging in needs Airflow's script
    plain = page.context.browser.new_context(java_script_enabled=False)
    plain.add_cookies(page.context.cookies())
    still = plain.new_page()
    still.goto(page.url)
    delta_cell(still, LAST_DAY).click()
    still.locator("main #day", has_text=f"SMKIKR_DELT_{LAST_DAY}.xml.gz").wait_for()


def test_it_is_in_airflows_navigation_and_follows_its_theme(opened: Open) -> None:
    page = opened("/plugin/smki-board", color_scheme="light")
    frame = page.frame_locator("iframe")
    frame.locator("h1").wait_for()
    light = frame.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    keep(page, "framed-light", whole=False)
    page.evaluate("localStorage.setItem('theme', 'dark')")
    page.reload()
    frame.locator("h1").wait_for()
    assert frame.locator("html").get_attribute("data-theme") == "dark"
    assert frame.locator("body").evaluate("body => getComputedStyle(body).backgroundColor") != light
    keep(page, "framed-dark", whole=False)
    frame.locator(f'.calendar a[href="?day={LAST_DAY}&obligation=delta#day"]').click()
    frame.locator("dialog[open]").get_by_role("link", name="Run in Airflow").click()
    page.wait_for_url(f"**/dags/{DAILY_DELTA}/runs/**")


def test_it_is_dark_where_the_system_is_and_fits_a_narrow_window_and_paper(opened: Open) -> None:
    page = opened("/smki/board", user="viewer", color_scheme="dark")
    keep(page, "board-dark")
    page.set_viewport_size({"width": 400, "height": 850})
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    keep(page, "board-narrow")
    with drawer(page, LAST_DAY):
        keep(page, "day-narrow", whole=False)
    page.emulate_media(media="print")
    keep(page, "board-print")
