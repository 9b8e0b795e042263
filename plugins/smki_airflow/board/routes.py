"""The board's paths: the page, a day of it, the JSON for other systems, and what may be done.

* Airflow authenticates: a browser without a session is sent to log in and comes back; other systems get 401.
* A page says in one sentence why it cannot be shown, and what to do.
* An action takes two requests: GET shows what it would do, POST does it and goes back to the board.
"""

from abc import abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, date, datetime
from functools import cache
from typing import Annotated, Any
from urllib.parse import urlencode

from annotated_types import Ge, Lt
from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from pydantic import AfterValidator
from sqlalchemy import Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from smki.errors import SmkiError, TransportError
from smki.obligations.catalogue import Obligation, UserGuide
from smki.obligations.user_guide import load_user_guide
from smki.repository.database import ensure_server, open_engine
from smki.repository.project import Project
from smki.repository.schema import check_schema
from smki.settings import Settings
from smki.watch.due import Due
from smki.watch.due_status import as_it_is_now, due_status
from smki.watch.facts import Facts, load_facts, past_files
from smki.watch.findings_ledger import last_failure, list_findings_since, list_looks
from smki.watch.forecast import HISTORY, forecasts
from smki.watch.status_report import findings_at, report_of, status_report, unusable_files
from smki_airflow.board import actions
from smki_airflow.board.access import editable, editor, reader, same_origin
from smki_airflow.board.airflow import ActionRefusedError, Session, SessionOfRequest, User, audit_logged, find_run
from smki_airflow.board.rendering import page
from smki_airflow.board.runbook import rendered_runbook
from smki_airflow.board.runs import durations, runs_of
from smki_airflow.board.setup import list_lacks
from smki_airflow.board.trends import Trend, trends
from smki_airflow.board.view import Day, calendar, day_item, first_day, headline, mood
from smki_airflow.links import links_on_server, login_path
from smki_airflow.names import AUDITOR

_UNAUTHENTICATED, _CONFLICT, _UNAVAILABLE, _SEE_OTHER, _NO_SUCH = 401, 409, 503, 303, 422
_CONNECT_TIMEOUT_S = "5"  # a reader waits no longer for a server that does not answer
_FULLS_IN_TRENDS, _DELTAS_IN_TRENDS = 52, 56

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Reader = Annotated[User, Depends(reader)]
Editor = Annotated[User, Depends(editor)]
Bounded = Annotated[date, Ge(date(2000, 1, 1)), Lt(date(3000, 1, 1))]  # days that every sum of days can bear


def _known(name: str) -> str:
    if name not in _user_guide().names:
        raise ValueError("there is no such obligation")
    return name


Chosen = Annotated[str, AfterValidator(_known)]  # name of an obligation


def _opened(day: Bounded | None = None, obligation: Chosen | None = None) -> str:
    """The board's query for the day that an action was begun from, so that it leads back there; empty: none."""
    return urlencode({name: value for name, value in (("day", day), ("obligation", obligation)) if value is not None})


Opened = Annotated[str, Depends(_opened)]
Said = tuple[int, str, str]  # status, what is the matter, what to do


class _RefusingRoute(APIRoute):
    """A route that answers with what its refusals and failures say; what nobody foresaw is raised."""

    @abstractmethod
    def refusal(self, request: Request, said: Said) -> Response: ...

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as error:
                if (said := _said(error)) is None:
                    raise
                return self.refusal(request, said)

        return handled


class StatusRoute(_RefusingRoute):
    """A route whose refusals and failures are JSON."""

    def refusal(self, _request: Request, said: Said) -> Response:
        return api_refusal(*said)


class BoardRoute(_RefusingRoute):
    """A route whose refusals and failures are pages of the board; whoever is not logged in is sent to log in."""

    def refusal(self, request: Request, said: Said) -> Response:
        status, what, next_step = said
        if status != _UNAUTHENTICATED:
            return page("refused.html", status, what=what, next_step=next_step)
        back = request.url.path if request.method == "GET" else links_on_server().board()
        query = f"?{request.url.query}" if request.method == "GET" and request.url.query else ""
        return RedirectResponse(login_path(back + query))


_NOT_KEPT = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}


def api_refusal(status: int, error: str, next_step: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """What other systems get that ask for something that there is not, or that they may not have."""
    stated = {"version": 1, "error": error, "next_step": next_step}
    return JSONResponse(stated, status, {**(headers or {}), **_NOT_KEPT})


router = APIRouter()
pages = APIRouter(prefix="/board", route_class=BoardRoute)
api = APIRouter(prefix="/api", route_class=StatusRoute)


@pages.get("")
def board(
    user: Reader,
    session: SessionOfRequest,
    day: Bounded | None = None,
    obligation: Chosen | None = None,
    done: str = "",
) -> HTMLResponse:
    """The whole page; with the day opened that is asked for."""
    now, project = datetime.now(UTC), open_project_of_server()
    guide = project.guide
    facts = _facts(project, min(first_day(now), (now - HISTORY).date()))
    expected_at = forecasts(guide, facts, now)
    found = report_of(guide, facts, findings_at(project.engine, now), now, expected_at, list_looks(project.engine))
    may_edit = editable(user)
    dated = [one for one in guide.all if not one.replaced_in_place and one != guide.delta]
    shown = None
    if day is not None:
        known = facts if day >= first_day(now) else _facts(project, day)
        shown = _day(session, project, known, day, obligation, now)
    return page(
        "board.html",
        report=found,
        headline=headline(found),
        mood=mood(found),
        lacks=list_lacks(session, guide, found),
        calendar=calendar(guide, facts, found.about_published, now, expected_at),
        trends=_trends(session, project),
        day=shown,
        editable=may_edit,
        full=guide.full.name,
        delta=guide.delta.name,
        backfilled=[one for one in (guide.delta, *dated) if one.dag in may_edit],
        auditor=AUDITOR,
        done=_DONE.get(done, ""),
        runbook=_runbook_address(project),
    )


@pages.get("/day/{day}")
def opened_day(user: Reader, session: SessionOfRequest, day: Bounded, obligation: Chosen | None = None) -> HTMLResponse:
    """One day, for the drawer."""
    now, project = datetime.now(UTC), open_project_of_server()
    facts = _facts(project, min(day, first_day(now)))
    return page(
        "day.html",
        day=_day(session, project, facts, day, obligation, now),
        editable=editable(user),
        runbook=_runbook_address(project),
    )


@pages.get("/runbook")
def runbook(_user: Reader) -> HTMLResponse:
    """docs/runbook.md, for who has no other place to read it."""
    return page("runbook.html", body=rendered_runbook())


@pages.get("/{dag_id}/clear")
def confirm_clear(
    dag_id: str, run_id: str, session: SessionOfRequest, _user: Editor, opened: Opened, whole: bool = False
) -> HTMLResponse:
    """What clearing a run would do."""
    tasks = actions.plan_clear(session, dag_id, run_id, whole=whole)
    file = _file_of(session, dag_id, run_id)
    return page(
        "confirm.html",
        action="clear",
        dag_id=dag_id,
        run_id=run_id,
        tasks=tasks,
        whole=whole,
        file=file,
        opened=opened,
    )


@pages.post("/{dag_id}/clear", dependencies=[Depends(same_origin), Depends(audit_logged("smki_board_clear"))])
def clear(
    dag_id: str, run_id: str, session: SessionOfRequest, user: Editor, opened: Opened, whole: bool = False
) -> Response:
    """Begins the failed tasks of a run again, or all of them."""
    actions.clear(session, user, dag_id, run_id, whole=whole)
    return _back("again" if whole else "clear", opened)


@pages.get("/backfill")
def choose_backfill(obligation: Chosen, first: Bounded, last: Bounded, again: bool = False) -> Response:
    """Leads from the form, which names an obligation, to what its DAG would do."""
    query = urlencode({"first": first, "last": last} | ({"again": "true"} if again else {}))
    dag_id = _user_guide().obligation(obligation).dag
    return RedirectResponse(links_on_server().board(f"/{dag_id}/backfill?{query}"), _SEE_OTHER)


@pages.get("/{dag_id}/backfill")
def confirm_backfill(
    dag_id: str,
    first: Bounded,
    last: Bounded,
    session: SessionOfRequest,
    _user: Editor,
    opened: Opened,
    again: bool = False,
) -> HTMLResponse:
    """What a backfill would do."""
    actions.check_runnable(session, dag_id)
    obligation = _obligation(dag_id)
    plan = actions.plan_backfill(session, obligation, first, last, again=again)
    return page("confirm.html", action="backfill", dag_id=dag_id, plan=plan, obligation=obligation, opened=opened)


@pages.post("/{dag_id}/backfill", dependencies=[Depends(same_origin), Depends(audit_logged("smki_board_backfill"))])
def backfill(
    dag_id: str,
    first: Bounded,
    last: Bounded,
    session: SessionOfRequest,
    user: Editor,
    opened: Opened,
    again: bool = False,
) -> Response:
    """Has Airflow run days again."""
    actions.check_runnable(session, dag_id)
    plan = actions.plan_backfill(session, _obligation(dag_id), first, last, again=again)
    actions.backfill(session, user, plan)
    return _back("backfill", opened)


@pages.get("/{dag_id}/trigger")
def confirm_trigger(dag_id: str, session: SessionOfRequest, _user: Editor, opened: Opened) -> HTMLResponse:
    """What running a DAG now would do."""
    _check_works_on_now(dag_id)
    actions.check_runnable(session, dag_id)
    return page("confirm.html", action="trigger", dag_id=dag_id, auditor=AUDITOR, opened=opened)


@pages.post("/{dag_id}/trigger", dependencies=[Depends(same_origin), Depends(audit_logged("smki_board_trigger"))])
def trigger(dag_id: str, request: Request, session: SessionOfRequest, user: Editor, opened: Opened) -> Response:
    """Runs a DAG that works on now."""
    _check_works_on_now(dag_id)
    actions.trigger(request, session, user, dag_id)
    return _back("audit" if dag_id == AUDITOR else "trigger", opened)


@api.get("/status")
def status(_user: Reader, session: SessionOfRequest) -> JSONResponse:
    """How every obligation stands, for other systems: docs/status-api.md."""
    project = open_project_of_server()
    report = status_report(project.engine, project.guide, project.settings.sites, datetime.now(UTC))
    lacks = list_lacks(session, project.guide, report)
    stated = report.as_json() | {"airflow": [lack.as_json() for lack in lacks]}
    return JSONResponse(stated, headers=_NOT_KEPT)


router.include_router(pages)
router.include_router(api)

_DONE = {
    "clear": "The failed tasks begin again within seconds. Findings close at the auditor’s next look: see Audit now.",
    "again": "The run begins again within seconds. Findings close at the auditor’s next look: see Audit now.",
    "backfill": "The days are run one by one, oldest first; the first begins within seconds.",
    "audit": "The auditor looks at every site now; what it finds is here within a minute or two.",
    "trigger": "The DAG runs within seconds.",
}


def open_project_of_server() -> Project:
    """The project with one engine for all requests."""
    engine = repository()
    check_schema(engine)  # the API server outlives a migration
    return Project(Settings.from_environment(), engine)


@cache
def repository() -> Engine:
    """The repository, as the API server reads it."""
    url = make_url(ensure_server(Settings.from_environment()))
    if "connect_timeout" not in url.query:
        url = url.update_query_dict({"connect_timeout": _CONNECT_TIMEOUT_S})
    return open_engine(url.render_as_string(hide_password=False))


def _facts(project: Project, since: date) -> Facts:
    return load_facts(project.engine, project.guide, project.settings.sites, since)


def _day(session: Session, project: Project, facts: Facts, day: date, chosen: str | None, now: datetime) -> Day:
    guide, engine = project.guide, project.engine
    findings = list_findings_since(engine, datetime.combine(day, datetime.min.time(), UTC))
    items = []
    for obligation in guide.all:
        due = Due(obligation, day)
        is_due = not due.is_asked_for and day >= (facts.since(obligation) or day)
        is_there = not obligation.replaced_in_place and (
            facts.offered(obligation, day) or facts.judged(obligation, day)
        )
        if due.cut_off <= now and (is_due or is_there):
            stands = as_it_is_now(due_status(due, facts, now), unusable_files(findings, facts.sites))
            others = [other.name for other in guide.published_by(obligation.dag) if other != obligation]
            runs = runs_of(session, due, others)
            is_open = stands.published_at is None or bool(runs and runs[0].failed)
            failure = last_failure(engine, obligation.dag, day, due.cut_off) if is_open else None
            items.append(day_item(stands, facts, runs, findings, failure))
    items.sort(key=lambda item: item.status.due.obligation.name != chosen)
    return Day(day, tuple(items), chosen)


def _file_of(session: Session, dag_id: str, run_id: str) -> str:
    """The file that a run is for; empty where it is for none, or several that are replaced in place."""
    run = find_run(session, dag_id, run_id)
    if dag_id == AUDITOR or run is None or run.business_date is None:
        return ""
    obligation = _obligation(dag_id)
    return "" if obligation.replaced_in_place else obligation.file_name(run.business_date)


def _trends(session: Session, project: Project) -> list[tuple[str, list[Trend]]]:
    """Charts of the full extracts of a year and the deltas of eight weeks."""
    drawn = []
    for obligation, count in ((project.guide.full, _FULLS_IN_TRENDS), (project.guide.delta, _DELTAS_IN_TRENDS)):
        files = past_files(project.engine, obligation, count)
        took = durations(session, [file.run for file in files])
        if charts := trends(files, took, obligation.name):
            drawn.append((obligation.title, charts))
    return drawn


def _runbook_address(project: Project) -> str:
    return project.settings.runbook or links_on_server().board("/runbook")


def _user_guide() -> UserGuide:
    return load_user_guide(Settings.from_environment().config)


def _obligation(dag_id: str) -> Obligation:
    """The obligation that a DAG publishes for; the first, where there are several. Raises ActionRefusedError."""
    for obligation in _user_guide().published_by(dag_id):
        return obligation
    raise ActionRefusedError(
        f"DAG {dag_id}", "it publishes nothing, so it has no days.", "Nothing was run.", "run it now instead."
    )


def _check_works_on_now(dag_id: str) -> None:
    if dag_id != AUDITOR and not _obligation(dag_id).replaced_in_place:
        raise ActionRefusedError(
            f"DAG {dag_id}", "its runs belong to days.", "Nothing was run.", "backfill the day instead."
        )


def _back(done: str, opened: str) -> Response:
    """Back to the board, with the day open that was before."""
    return RedirectResponse(
        links_on_server().board(f"?done={done}&{opened}#day" if opened else f"?done={done}"), _SEE_OTHER
    )


def _said(error: Exception) -> Said | None:
    """What a page says of an error; none for one that nobody foresaw."""
    said: Said | None = None
    match error:
        case HTTPException():
            next_step = "ask for the role in Airflow that may, or go back to the board."
            if error.status_code == _UNAUTHENTICATED:
                next_step = "log in, and send the token as docs/status-api.md says."
            said = error.status_code, str(error.detail), next_step
        case RequestValidationError():
            names = ", ".join(str(part["loc"][-1]) for part in error.errors())
            said = _NO_SUCH, f"The address names something that there is not: {names}.", "go back to the board."
        case ActionRefusedError():
            said = _CONFLICT, f"{error.item}: {error.rule} {error.consequence}", error.next_step
        case TransportError():
            said = _UNAVAILABLE, f"The board cannot be shown: {error.rule}", error.next_step
        case SmkiError():
            said = _UNAVAILABLE, f"The board cannot be shown: {error.item}: {error.rule}", error.next_step
        case SQLAlchemyError():
            rule = str(error.__cause__ or error).strip().splitlines()[0]
            said = (
                _UNAVAILABLE,
                f"The board cannot be shown: a database answers with an error ({rule}).",
                "see that the repository is migrated (`smki init` does it), then try again.",
            )
    return said
