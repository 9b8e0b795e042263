"""Airflow's public REST API, as far as demo and tests use it."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import requests

from smki.errors import TransportError

_TIMEOUT_S = 120  # a machine that is busy with other things is slow, not broken


@dataclass(slots=True)
class AirflowApi:
    """One user's session."""

    base_url: str
    user: str
    password: str
    _session: requests.Session = field(default_factory=requests.Session)

    def healthy(self) -> bool:
        """Whether metadata, scheduler, DAG processor and triggerer all report healthy."""
        try:
            states = self._session.get(f"{self.base_url}/api/v2/monitor/health", timeout=_TIMEOUT_S).json()
        except (requests.RequestException, ValueError):
            return False
        services = ("metadatabase", "scheduler", "dag_processor", "triggerer")
        return all((states.get(service) or {}).get("status") == "healthy" for service in services)

    def get(self, path: str, **parameters: Any) -> Any:
        """GET below /api/v2. Raises TransportError."""
        return self._call("GET", path, params=parameters)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """POST below /api/v2. Raises TransportError."""
        return self._call("POST", path, json=body)

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        """PATCH below /api/v2. Raises TransportError."""
        return self._call("PATCH", path, json=body)

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """All runs of a DAG."""
        runs: list[dict[str, Any]] = self.get(f"dags/{dag_id}/dagRuns", limit=100)["dag_runs"]
        return runs

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """All task instances of a run."""
        found: list[dict[str, Any]] = self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=1000)[
            "task_instances"
        ]
        return found

    def backfill(self, dag_id: str, first: datetime, last: datetime, reprocess: str = "none") -> None:
        """Has the scheduler run the logical dates first … last; `reprocess` is none, failed or completed.

        Airflow allows one active backfill a DAG, and marks one as completed a little after its last run: this waits.
        """
        while any(not entry["completed_at"] for entry in self.get("backfills", dag_id=dag_id)["backfills"]):
            time.sleep(0.5)
        self.post(
            "backfills",
            {
                "dag_id": dag_id,
                "from_date": first.isoformat(),
                "to_date": last.isoformat(),
                "reprocess_behavior": reprocess,
                "max_active_runs": 3,
            },
        )

    def _call(self, method: str, path: str, **options: Any) -> Any:
        if "Authorization" not in self._session.headers:
            self._log_in()
        response = self._session.request(method, f"{self.base_url}/api/v2/{path}", timeout=_TIMEOUT_S, **options)
        if response.status_code == requests.codes.unauthorized:  # the token has expired
            self._log_in()
            response = self._session.request(method, f"{self.base_url}/api/v2/{path}", timeout=_TIMEOUT_S, **options)
        if not response.ok:
            raise TransportError(
                f"Airflow API {method} {path}",
                f"it answered {response.status_code}: {response.text[:300]}",
                "Nothing was changed.",
                "see the API server's log.",
            )
        return response.json()

    def _log_in(self) -> None:
        response = self._session.post(
            f"{self.base_url}/auth/token", json={"username": self.user, "password": self.password}, timeout=_TIMEOUT_S
        )
        response.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"
