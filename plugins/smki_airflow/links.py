"""Links to Airflow's API server as this installation states its address, and the button to the gate's report."""

from urllib.parse import quote, urlsplit

from airflow.sdk import BaseOperator
from airflow.sdk.bases.operatorlink import BaseOperatorLink
from airflow.sdk.configuration import conf
from airflow.sdk.types import TaskInstanceKey

from smki.watch.links import Links


def links_on_server() -> Links:
    """Links for the server's own pages: paths, which lead there by whatever name the server is called."""
    return Links(urlsplit(base_url()).path)


def login_path(back_to: str) -> str:
    """Where a user logs in, whatever the auth manager is, and comes back from."""
    return f"{urlsplit(base_url()).path.rstrip('/')}/api/v2/auth/login?next={quote(back_to, safe='')}"


def base_url() -> str:
    """The API server's address as browsers see it; empty where nobody has stated it."""
    return conf.get("api", "base_url", fallback=None) or ""


class GateReportLink(BaseOperatorLink):
    """The button that leads from a task to the gate's report; the task says which by its `shown_gate_run`."""

    name = "Gate report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002  # Airflow's signature
        """Path of the report; empty, which shows no button, while nothing was judged."""
        number: int | None = getattr(operator, "shown_gate_run", None)
        return "" if number is None else links_on_server().report(number)
