"""deploy/kubernetes/pod.yaml and its page, held against docker-compose.yml, which the demo is held against."""

import re
from typing import Any

import pytest
import yaml

from smki.settings import PROJECT

KUBERNETES_ONLY = {
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG",
    "AIRFLOW__CORE__PARALLELISM",
    "AIRFLOW__KUBERNETES_EXECUTOR__POD_TEMPLATE_FILE",
}
PAGE = (PROJECT / "docs" / "kubernetes.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pod() -> Any:
    return yaml.safe_load((PROJECT / "deploy" / "kubernetes" / "pod.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def worker(compose: dict[str, Any]) -> Any:
    return compose["services"]["worker"]


def test_pod_runs_as_the_worker_does(pod: Any, worker: Any) -> None:
    (container,) = pod["spec"]["containers"]
    rights = pod["spec"]["securityContext"]
    assert f"{rights['runAsUser']}:{rights['runAsGroup']}" == worker["user"]
    assert container["image"].partition(":")[0] == worker["image"].partition(":")[0]
    assert container["securityContext"]["capabilities"]["drop"] == worker["cap_drop"]
    assert f"{pod['spec']['terminationGracePeriodSeconds'] // 60}m" == worker["stop_grace_period"]
    paths = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert f"logs:{paths['logs']}" in worker["volumes"]
    assert all(f'"{paths["keys"]}/{key}"' in str(worker["environment"]) for key in worker["secrets"])


def test_page_names_every_object_that_the_pod_reads(pod: Any) -> None:
    (container,) = pod["spec"]["containers"]
    sources = [name for source in container["envFrom"] for name in source.values()]
    read = {one["name"] for one in sources}
    for volume in pod["spec"]["volumes"]:
        read.add(volume["secret"]["secretName"] if "secret" in volume else volume["persistentVolumeClaim"]["claimName"])
    assert {f"`{name}`" for name in read} <= set(re.findall(r"`[^`]+`", PAGE))


def test_page_names_variables_that_there_are(worker: Any) -> None:
    named = {name for name in re.findall(r"\b(?:AIRFLOW|SMKI)_[A-Z_]+[A-Z]\b", PAGE) if not name.endswith("CONN_SMKI")}
    assert named - KUBERNETES_ONLY <= set(worker["environment"])
