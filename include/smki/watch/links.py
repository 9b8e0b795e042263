"""Where people find things on Airflow's API server. Pure: links out of names."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from smki.watch.findings import Kind  # not loaded: every process of Airflow loads this module

PAGES = "/smki"  # below which the API server offers the project's pages


class RunLabel(NamedTuple):
    """A DAG run as the ledger names it: `DAG/RUN`."""

    dag_id: str
    run_id: str

    def __str__(self) -> str:
        return f"{self.dag_id}/{self.run_id}"

    @classmethod
    def parse(cls, label: str) -> "RunLabel | None":
        """None for what did not run in Airflow, such as a command line."""
        dag_id, _, run_id = label.partition("/")
        return cls(dag_id, run_id) if run_id else None


@dataclass(frozen=True, slots=True)
class Links:
    """Links that begin with a base; without one every link is empty."""

    airflow: str | None = None  # Airflow's UI, as people reach it; on the server itself the path that it is below
    runbook: str = ""  # docs/runbook.md, as people reach it; empty: as the board shows it, else its path in the project

    def run(self, label: str) -> str:
        """The DAG run of this label; empty for what did not run in Airflow."""
        run = RunLabel.parse(label)
        return self._airflow(f"/dags/{quote(run.dag_id)}/runs/{quote(run.run_id, safe='')}") if run else ""

    def dag(self, dag_id: str) -> str:
        return self._airflow(f"/dags/{quote(dag_id)}")

    def report(self, gate_run: int) -> str:
        return self._airflow(f"{PAGES}/gate/{gate_run}")

    def board(self, rest: str = "") -> str:
        """The board, or what is below it."""
        return self._airflow(f"{PAGES}/board{rest}")

    def status(self) -> str:
        """The board's facts as JSON."""
        return self._airflow(f"{PAGES}/api/status")

    def section(self, kind: "Kind") -> str:
        """What the runbook says of a kind of finding."""
        path, _, anchor = kind.section.partition("#")
        return f"{self.runbook or self.board('/runbook') or path}#{anchor}"

    def _airflow(self, path: str) -> str:
        return "" if self.airflow is None else f"{self.airflow.rstrip('/')}{path}"
