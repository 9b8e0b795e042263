"""The app that Airflow's API server mounts: takes in the board's paths, serves the gate's reports, answers errors.

* Airflow authenticates: a browser without a session is sent to log in and comes back.
* A report is made when it is asked for, by anyone who may read the runs of the file's DAG; others get 403.
* No report runs a script; no page loads anything from elsewhere, or can be framed by another site.
"""

from html import escape
from typing import Annotated

from fastapi import FastAPI, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from smki.errors import SmkiError, TransportError, UnknownGateRunError
from smki.gate.ledger import find_gate_run
from smki.gate.report.page import render_report
from smki.watch.links import PAGES
from smki_airflow.board.airflow import CurrentUser, may
from smki_airflow.board.routes import api_refusal, open_project_of_server, router
from smki_airflow.links import links_on_server, login_path

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}
_HIGHEST = 2**63 - 1  # that PostgreSQL's bigint holds
_UNAUTHENTICATED, _FORBIDDEN, _NOT_FOUND, _ERROR, _UNAVAILABLE = 401, 403, 404, 500, 503

app = FastAPI(title="SMKI Repository", openapi_url=None)  # which also switches off the pages that describe an API
app.include_router(router)


@app.get("/gate/{gate_run_id}")
def gate_report(gate_run_id: Annotated[int, Path(ge=1, le=_HIGHEST)], user: CurrentUser) -> HTMLResponse:
    """The report of a gate run."""
    project = open_project_of_server()
    run = find_gate_run(project.engine, gate_run_id)
    obligation = project.guide.obligation(run.judgement.obligation, run.judgement.subject)
    if not may(user, "GET", obligation.dag):
        raise HTTPException(_FORBIDDEN)
    in_airflow = links_on_server().run(run.judgement.run)
    links = {"Airflow run": in_airflow} if in_airflow else {}
    return HTMLResponse(render_report(run.judgement, run.decision, links), headers=_HEADERS)


@app.exception_handler(HTTPException)
async def refused(request: Request, error: HTTPException) -> Response:
    """Sends whoever is not logged in to log in; says to others that they may not see the page.

    Other systems, which ask below `/api`, are answered in JSON: there is only the status, and it can only be read.
    """
    if request.url.path.startswith(f"{PAGES}/api"):
        next_step = f"GET {PAGES}/api/status; docs/status-api.md says more."
        return api_refusal(error.status_code, f"{request.url.path}: {error.detail}", next_step, error.headers)
    if error.status_code == _UNAUTHENTICATED:
        number = request.path_params.get("gate_run_id", "")
        return RedirectResponse(
            login_path(links_on_server().report(int(number) if number.isdecimal() else 0)), headers=_HEADERS
        )
    said = "You may not read it." if error.status_code == _FORBIDDEN else str(error.detail)
    return _page(error.status_code, said)


@app.exception_handler(RequestValidationError)
async def no_number(_request: Request, _error: RequestValidationError) -> Response:
    """A path that names no gate run."""
    return _page(_NOT_FOUND, "Gate runs have numbers, from 1 on.")


@app.exception_handler(SmkiError)
async def failed(_request: Request, error: SmkiError) -> Response:
    """What the ledger says where there is no report."""
    if isinstance(error, UnknownGateRunError):
        return _page(_NOT_FOUND, str(error))
    return _page(_UNAVAILABLE if isinstance(error, TransportError) else _ERROR, str(error))


def _page(status: int, said: str) -> HTMLResponse:
    return HTMLResponse(
        '<!DOCTYPE html>\n<html lang="en-GB"><head><meta charset="utf-8">'
        f'<meta name="color-scheme" content="light dark"><title>No report</title>'
        f"<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 45rem; margin: 4rem "
        f"auto; padding: 0 1rem }}</style></head><body><h1>No report</h1><p>{escape(said)}</p></body></html>\n",
        status,
        _HEADERS,
    )
