"""What tasks import, loaded once by the process that workers are forked from, and so are all tasks.

Without it each task pays some seconds for Great Expectations, pandas and Airflow's own modules. With LocalExecutor this
is `mp_forkserver_preload`, with Celery `imports` of `extra_celery_config`.
"""

from importlib import import_module

MODULES = (
    "smki.gate.judging",  # before Airflow sets up logging: importing Great Expectations logs hundreds of lines
    "smki.gate.requests",
    "smki.kinds.anchors.evidence",
    "smki.kinds.anchors.production",
    "smki.kinds.anchors.set_ledger",
    "smki.kinds.extracts.evidence",
    "smki.kinds.extracts.production",
    "smki.kinds.revocation.evidence",
    "smki.kinds.revocation.file",
    "smki.publish.ledger",
    "smki.repository.project",
    "smki.retention.execution",
    "smki.verify.verification",
    "smki.watch.auditor",
    "smki_airflow.publishing.wiring",
    "smki_airflow.signals.telling",
    "smki_airflow.tasks.anchors",
    "smki_airflow.tasks.auditor",
    "smki_airflow.tasks.extracts",
    "smki_airflow.tasks.retention",
    "smki_airflow.tasks.revocation",
    "airflow.dag_processing.dagbag",  # two thirds of what a short task costs
    "airflow.executors.local_executor",
    "airflow.sdk.execution_time.task_runner",
)

for module in MODULES:
    import_module(module)
