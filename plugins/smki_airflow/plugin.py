"""What the project adds to Airflow itself: its pages on the API server, and what its deadlines refer to.

Every process of Airflow loads this file; what the pages need is loaded by the API server alone, at the first request.
"""

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from smki.watch.links import PAGES
from smki_airflow.names import BOARD_VIEW
from smki_airflow.signals.deadlines import PublishBy


async def pages(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application below `/smki`."""
    from smki_airflow.board.app import app

    await app(scope, receive, send)


class SmkiPlugin(AirflowPlugin):
    """The one plugin; what it registers is defined in the package `smki_airflow`."""

    name = "smki"
    fastapi_apps = [{"app": pages, "url_prefix": PAGES, "name": "SMKI Repository"}]  # noqa: RUF012  # as Airflow has it
    external_views = [BOARD_VIEW]  # noqa: RUF012  # as Airflow has it
    deadline_references = [PublishBy]  # noqa: RUF012  # as Airflow has it
