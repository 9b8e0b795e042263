"""The page, its day and its JSON, by Airflow's real auth manager on a real repository."""

from datetime import datetime, timedelta
from html.parser import HTMLParser
from time import perf_counter

import pytest
from fastapi import FastAPI
from sqlalchemy import Engine
from starlette.testclient import TestClient

from smki.watch.findings import Finding, Kind
from smki.watch.findings_ledger import open_finding
from smki_airflow.board import app, routes

from .conftest import HOST, Browser
from .ledgers import delta, fill_ledger, hold, lose, publish_late

FIRST_PAINT_S = 1.0


class Tags(HTMLParser):
    """What a page is made of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def values(self, tag: str, name: str) -> list[str]:
        return [attributes[name] or "" for found, attributes in self.seen if found == tag and name in attributes]


def test_who_has_not_logged_in_is_sent_there_and_comes_back_to_the_day(browser: Browser) -> None:
    answer = browser("").get("/smki/board?day=2025-06-08&obligation=delta")
    assert answer.status_code == 307
    assert answer.headers["location"].startswith("/api/v2/auth/login?next=")
    assert "%2Fsmki%2Fboard%3Fday%3D2025-06-08" in answer.headers["location"]


def test_other_systems_without_a_token_get_401_as_json(browser: Browser) -> None:
    answer = browser("").get("/smki/api/status")
    assert (answer.status_code, answer.json()["version"]) == (401, 1)
    assert "token" in answer.json()["next_step"]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/api/nothing", 404), ("GET", "/api", 404), ("POST", "/api/status", 405)]
)
def test_other_systems_that_ask_for_what_there_is_not_are_answered_in_json(method: str, path: str, status: int) -> None:
    airflow = FastAPI()
    airflow.mount("/smki", app.app)
    answer = TestClient(airflow, base_url=HOST).request(method, f"/smki{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert set(answer.json()) == {"version", "error", "next_step"}
    assert "/smki/api/status" in answer.json()["next_step"]
    assert answer.headers.get("allow") == ("GET" if status == 405 else None)


def test_a_viewer_sees_everything_and_no_button(browser: Browser, repository: Engine, now: datetime) -> None:
    fill_ledger(repository, now, 70)
    lose(repository, delta(now.date() - timedelta(days=2)))
    shown = {role: browser(role).get("/smki/board").text for role in ("ADMIN", "VIEWER")}
    for page in shown.values():
        assert "1 obligation needs attention: Daily delta." in page
        assert "missed: was due" in page
    buttons = {role: [c for c in Tags(page).values("a", "class") if c == "button"] for role, page in shown.items()}
    assert buttons["VIEWER"] == []
    assert buttons["ADMIN"]
    assert "<form" not in shown["VIEWER"]
    assert "<form" in shown["ADMIN"]


def test_nothing_is_loaded_from_elsewhere_and_nobody_may_frame_it(
    browser: Browser, repository: Engine, now: datetime
) -> None:
    fill_ledger(repository, now, 70)
    answer = browser("ADMIN").get("/smki/board")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    tags = Tags(answer.text)
    assert not tags.values("script", "src")
    assert not [tag for tag, _ in tags.seen if tag in {"link", "img", "iframe"}]
    assert not [target for target in tags.values("a", "href") if not target.startswith(("/", "?", "#"))]


def test_a_cell_a_day_and_obligation_says_its_state_in_words(
    browser: Browser, repository: Engine, now: datetime
) -> None:
    fill_ledger(repository, now, 70)
    late = now.date() - timedelta(days=3)
    publish_late(repository, delta(late), timedelta(hours=5))
    labels = [label for label in Tags(browser("VIEWER").get("/smki/board").text).values("a", "aria-label") if label]
    assert any(label.startswith(f"Daily delta, {late}: met, late by") for label in labels)
    cells = [label for label in labels if label.startswith("Daily delta, ")]
    assert len(cells) == 49 + now.weekday() + 1


def test_a_published_file_with_an_open_finding_says_so_in_its_cell_and_its_row(
    browser: Browser, repository: Engine, now: datetime
) -> None:
    fill_ledger(repository, now, 70)
    day = now.date() - timedelta(days=3)
    cut = Finding(Kind.TRUNCATED, "primary", delta(day), "it is shorter.", "delta", day)
    open_finding(repository, cut, now - timedelta(hours=5))
    met = now.date() - timedelta(days=4)  # and the auditor has not looked since
    late = Finding(Kind.MISSING, "primary", delta(met), "it was due.", "delta", met)
    open_finding(repository, late, now - timedelta(hours=5))
    tags = Tags(browser("VIEWER").get("/smki/board").text)
    words = f"not usable on primary: was due {day} 04:00 UTC"
    marked = [one for tag, one in tags.seen if tag == "a" and (one.get("class") or "").endswith(" found")]
    assert [one["aria-label"] for one in marked] == [f"Daily delta, {day}: {words}; open finding: truncated"]
    assert tags.values("a", "href").count("#findings") == 1


def test_the_day_says_who_released_what_and_why_and_escapes_it(
    browser: Browser, repository: Engine, now: datetime
) -> None:
    fill_ledger(repository, now, 20)
    day = now.date() - timedelta(days=4)
    hold(repository, delta(day), ("alice", "<script>alert(1)</script> announced"))
    page = browser("VIEWER").get(f"/smki/board/day/{day}?obligation=delta").text
    assert "Released by alice: “&lt;script&gt;alert(1)&lt;/script&gt; announced”" in page
    assert "before publish-by" in page
    assert "/smki/gate/" in page
    whole = browser("VIEWER").get(f"/smki/board?day={day}&obligation=delta").text
    assert page.strip() in whole, "without script the same day is part of the page"


def test_a_finding_says_since_when_and_what_to_do(browser: Browser, repository: Engine, now: datetime) -> None:
    finding = Finding(Kind.ALTERED, "primary", "SMKIKR_<b>.xml.gz", "other bytes are there.", "full")
    open_finding(repository, finding, now - timedelta(hours=5))
    page = browser("VIEWER").get("/smki/board").text
    assert "1 finding is open." in page
    assert "SMKIKR_&lt;b&gt;.xml.gz" in page
    assert "(5 h)" in page
    assert "/smki/board/runbook#altered" in page


def test_the_json_is_what_the_page_says(browser: Browser, repository: Engine, now: datetime) -> None:
    fill_ledger(repository, now, 70)
    lose(repository, delta(now.date() - timedelta(days=2)))
    stated = browser("VIEWER").get("/smki/api/status").json()
    assert (stated["version"], stated["in_order"], stated["sites"]) == (1, False, ["primary"])
    assert next(one for one in stated["obligations"] if one["obligation"] == "delta")["state"] == "missed"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/smki/board?day=never", 422),
        ("/smki/board?day=2025-06-08&obligation=none", 422),
        ("/smki/board/somebodys_dag/trigger", 404),
        ("/smki/board/day/9999-12-31", 422),
        ("/smki/board/day/0001-01-01", 422),
        ("/smki/board?day=0001-01-01", 422),
        ("/smki/board?day=2000-01-01", 200),
        ("/smki/board/day/2999-12-31", 200),
    ],
)
def test_an_address_that_names_nothing_is_answered_calmly(browser: Browser, path: str, status: int) -> None:
    answer = browser("ADMIN").get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert "Traceback" not in answer.text


def test_a_repository_that_does_not_answer_is_one_sentence_and_a_next_step(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    viewer = browser("VIEWER")
    monkeypatch.setenv("SMKI_DATABASE_URL", f"postgresql://postgres@/smki?host={tmp_path}")
    routes.repository.cache_clear()
    page, stated = viewer.get("/smki/board"), viewer.get("/smki/api/status")
    monkeypatch.undo()
    routes.repository.cache_clear()
    assert (page.status_code, stated.status_code) == (503, 503)
    assert "The board cannot be shown: PostgreSQL refused or lost the connection" in page.text
    assert "check that the server runs" in stated.json()["next_step"]


def test_a_ledger_of_two_years_is_answered_within_a_second(browser: Browser, repository: Engine, now: datetime) -> None:
    fill_ledger(repository, now, 730)
    viewer = browser("VIEWER")
    viewer.get("/smki/board")  # templates are compiled once
    took = []
    for _ in range(5):
        begun = perf_counter()
        assert viewer.get("/smki/board").status_code == 200
        took.append(perf_counter() - begun)
    assert sorted(took)[2] < FIRST_PAINT_S
