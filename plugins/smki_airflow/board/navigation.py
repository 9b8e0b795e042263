"""How Airflow's navigation leads to the board. Imports nothing: every process of Airflow loads it."""

BOARD_VIEW = {
    "name": "SMKI",
    "href": "/smki/board",
    "destination": "nav",
    "category": "browse",
    "url_route": "smki-board",
}
