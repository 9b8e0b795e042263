"""Who may see the board and who may act on it: Airflow's auth manager says.

* Who may read the runs of every DAG that publishes may see the board. It is shown whole or not at all: one that leaves
  something out would say that all is well.
* Who may edit a DAG's runs may act on them. A deed is asked for by a POST whose Origin is this server.
"""

from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from airflow.sdk.configuration import conf
from fastapi import HTTPException, Request

from smki.obligations.user_guide import load_user_guide
from smki.settings import Settings
from smki_airflow.names import AUDITOR

_FORBIDDEN, _NOT_FOUND = 403, 404


def publishing_dags() -> tuple[str, ...]:
    """The DAGs that publish, by the catalogue."""
    return load_user_guide(Settings.from_environment().config).dags


def may(user: BaseUser, method: ResourceMethod, dag_id: str) -> bool:
    """Whether the user may do this to the runs of a DAG."""
    return get_auth_manager().is_authorized_dag(
        method=method,
        access_entity=DagAccessEntity.RUN,
        details=DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id)),
        user=user,
    )


def reader(user: GetUserDep) -> BaseUser:
    """The user, who may see the board. Raises HTTPException (403)."""
    for dag_id in publishing_dags():
        if not may(user, "GET", dag_id):
            raise HTTPException(_FORBIDDEN, f"You may not read the runs of {dag_id}, and the board is shown whole.")
    return user


def editor(dag_id: str, user: GetUserDep) -> BaseUser:
    """The user, who may act on this DAG. Raises HTTPException (403, 404)."""
    if dag_id not in {*publishing_dags(), AUDITOR}:
        raise HTTPException(_NOT_FOUND, "The board acts on the DAGs of this project only.")
    if not (may(user, "PUT", dag_id) and may(user, "POST", dag_id)):
        raise HTTPException(_FORBIDDEN, f"You may not edit the runs of {dag_id}.")
    return user


def editable(user: BaseUser) -> frozenset[str]:
    """The DAGs that the user may act on."""
    return frozenset(
        dag_id for dag_id in (*publishing_dags(), AUDITOR) if may(user, "PUT", dag_id) and may(user, "POST", dag_id)
    )


def same_origin(request: Request) -> None:
    """Raises HTTPException (403) unless a page of this server asks."""
    origin = request.headers.get("origin", "")
    ours = {_origin(str(request.url)), _origin(conf.get("api", "base_url", fallback="") or "")}
    if not origin or origin not in ours:
        raise HTTPException(_FORBIDDEN, "The request does not come from a page of this server. Nothing was done.")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
