"""Who may see the board and who may act on it: Airflow's auth manager says.

* The board is visible to anyone who may read the runs of every DAG that publishes. It is shown whole or not at all: one
  that leaves something out would say that all is well.
* A DAG's runs may be acted on by anyone who may edit them. Actions are POST only, and same-origin.
"""

from urllib.parse import urlsplit

from fastapi import HTTPException, Request

from smki.obligations.user_guide import load_user_guide
from smki.settings import Settings
from smki_airflow.board.airflow import CurrentUser, User, may
from smki_airflow.links import base_url
from smki_airflow.names import AUDITOR

_FORBIDDEN, _NOT_FOUND = 403, 404


def reader(user: CurrentUser) -> User:
    """The user, who may see the board. Raises HTTPException (403)."""
    for dag_id in _publishing_dags():
        if not may(user, "GET", dag_id):
            raise HTTPException(_FORBIDDEN, f"You may not read the runs of {dag_id}, and the board is shown whole.")
    return user


def editor(dag_id: str, user: CurrentUser) -> User:
    """The user, who may act on this DAG. Raises HTTPException (403, 404)."""
    if dag_id not in {*_publishing_dags(), AUDITOR}:
        raise HTTPException(_NOT_FOUND, "The board acts on the DAGs of this project only.")
    if not _may_edit(user, dag_id):
        raise HTTPException(_FORBIDDEN, f"You may not edit the runs of {dag_id}.")
    return user


def editable(user: User) -> frozenset[str]:
    """The DAGs that the user may act on."""
    return frozenset(dag_id for dag_id in (*_publishing_dags(), AUDITOR) if _may_edit(user, dag_id))


def same_origin(request: Request) -> None:
    """Raises HTTPException (403) unless a page of this server asks."""
    origin = request.headers.get("origin", "")
    ours = {_origin(str(request.url)), _origin(base_url())}
    if not origin or origin not in ours:
        raise HTTPException(_FORBIDDEN, "The request does not come from a page of this server. Nothing was done.")


def _publishing_dags() -> tuple[str, ...]:
    return load_user_guide(Settings.from_environment().config).dags


def _may_edit(user: User, dag_id: str) -> bool:
    return may(user, "PUT", dag_id) and may(user, "POST", dag_id)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
