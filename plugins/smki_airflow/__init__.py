"""All that knows both Airflow and the publisher's domain (`smki`).

tasks/        what each DAG does, one module a kind of file: read these beside the DAG files
publishing/   how every publishing DAG ends: wiring.py first, then gate.py, release.py, publish.py
signals/      what begins a run (repository_trigger), what watches it (deadlines, failures), who hears of it (telling)
board/        the pages on Airflow's API server; board/airflow.py alone imports Airflow's internals
run.py        what every task begins with          sites.py      connections of the SFTP servers
defaults.py   what all DAGs have in common         plugin.py, provider.py   what Airflow is told of all this
"""
