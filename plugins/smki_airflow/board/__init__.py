"""The board: one page in Airflow's UI that says whether every obligation is met, and puts right what is not.

A request goes through `app` (which Airflow mounts) → `routes` (paths, and who may: `access`) → `view` (values to show,
from `runs`, `trends`, `setup`) → `rendering` → templates/. What it has Airflow do goes through `actions` → `airflow`.
`runbook` is docs/runbook.md as a page.
"""
