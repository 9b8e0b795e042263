"""Where people find what a message is about. Pure: URLs out of names; without a base there is no link."""

from dataclasses import dataclass
from urllib.parse import quote

from smki.watch.findings import Kind


@dataclass(frozen=True, slots=True)
class Links:
    """Bases of the links."""

    airflow: str = ""  # Airflow's UI, as people reach it
    runbook: str = ""  # docs/runbook.md, as people reach it; empty: as the board shows it, else its path in the project

    def run(self, label: str) -> str:
        """A DAG run by its label `DAG/RUN`; empty for what did not run in Airflow."""
        dag, _, run = label.partition("/")
        return self._airflow(f"/dags/{quote(dag)}/runs/{quote(run, safe='')}") if run else ""

    def dag(self, dag_id: str) -> str:
        """A DAG."""
        return self._airflow(f"/dags/{quote(dag_id)}")

    def report(self, gate_run: int) -> str:
        """The gate's report on a file."""
        return self._airflow(f"/smki/gate/{gate_run}")

    def section(self, kind: Kind) -> str:
        """What the runbook says of a kind of finding."""
        path, _, anchor = kind.section.partition("#")
        return f"{self.runbook or self._airflow('/smki/board/runbook') or path}#{anchor}"

    def _airflow(self, path: str) -> str:
        return f"{self.airflow.rstrip('/')}{path}" if self.airflow else ""
