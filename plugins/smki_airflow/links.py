"""Where things are found on Airflow's API server: paths, so that they lead there by whatever name it is called."""

from urllib.parse import quote, urljoin, urlsplit

from airflow.sdk import BaseOperator
from airflow.sdk.bases.operatorlink import BaseOperatorLink
from airflow.sdk.configuration import conf
from airflow.sdk.types import TaskInstanceKey

from smki_airflow.names import PAGES


def report_path(gate_run: int) -> str:
    """The report of a gate run."""
    return f"{_base_path()}{PAGES}/gate/{gate_run}"


def report_url(gate_run: int) -> str:
    """The report of a gate run for places that make links of whole addresses only, such as a task's log."""
    return urljoin(_base_url(), report_path(gate_run))


def run_path(label: str) -> str | None:
    """The DAG run of this label (`runs.Run.label`); none for what did not run in Airflow."""
    dag_id, _, run_id = label.partition("/")
    return f"{_base_path()}/dags/{quote(dag_id)}/runs/{quote(run_id, safe='')}" if run_id else None


def board_path(rest: str = "") -> str:
    """The board, or what is below it."""
    return f"{_base_path()}{PAGES}/board{rest}"


def status_path() -> str:
    """The board's facts as JSON."""
    return f"{_base_path()}{PAGES}/api/status"


def dag_path(dag_id: str) -> str:
    """A DAG in Airflow's own pages."""
    return f"{_base_path()}/dags/{quote(dag_id)}"


def login_path(back_to: str) -> str:
    """Where a user logs in, whatever the auth manager is, and comes back from."""
    return f"{_base_path()}/api/v2/auth/login?next={quote(back_to, safe='')}"


class GateReportLink(BaseOperatorLink):
    """The button that leads from a task to the gate's report; the task says which by its `shown_gate_run`."""

    name = "Gate report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002  # Airflow's signature
        """Path of the report; empty, which shows no button, while nothing was judged."""
        number: int | None = getattr(operator, "shown_gate_run", None)
        return "" if number is None else report_path(number)


def _base_path() -> str:
    """What a proxy puts before Airflow's own paths."""
    return urlsplit(_base_url()).path.rstrip("/")


def _base_url() -> str:
    """The API server's address as browsers see it; empty where nobody has stated it."""
    return conf.get("api", "base_url", fallback=None) or ""
