"""docker-compose.yml without a container engine: structure, references, what it shares with the project."""

import fnmatch
import json
import os
import re
import shlex
import subprocess
import sys
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from smki.cli import application, schema
from smki.settings import PROJECT, Settings
from smki_airflow.names import audit_connection_id, connection_id, lane_pool
from smki_demo.environment import airflow_environment, site_connection

Compose = dict[str, Any]

AIRFLOW_SERVICES = {"init", "api-server", "scheduler", "dag-processor", "triggerer", "worker"}
ONE_SHOT = {"init"}
RUNS_AS_ROOT = {"sftp"}  # sshd changes to the account that logs in; docker-compose.yml says more

HOME = "/opt/airflow"
MAPPED = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}
NAMES = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
HEALTHCHECK = {
    "type": "object",
    "required": ["test", "interval", "timeout", "retries", "start_period"],
    "properties": {
        "test": {"type": "array", "prefixItems": [{"enum": ["CMD", "CMD-SHELL"]}], "minItems": 2},
        "retries": {"type": "integer"},
    }
    | {key: {"pattern": r"^\d+s$"} for key in ("interval", "timeout", "start_period")},
    "additionalProperties": False,
}
SERVICE = {
    "type": "object",
    "required": ["image", "restart", "networks", "cap_drop", "security_opt"],
    "properties": {
        "image": {"type": "string"},
        "build": {
            "type": "object",
            "required": ["context", "dockerfile_inline"],
            "properties": {"context": {"type": "string"}, "dockerfile_inline": {"type": "string"}},
            "additionalProperties": False,
        },
        "user": {"type": "string"},
        "command": {"type": ["string", "array"], "items": {"type": "string"}},
        "environment": MAPPED,
        "secrets": NAMES,
        "configs": {
            "type": "array",
            "items": {"type": "object", "required": ["source", "target"], "maxProperties": 2},
        },
        "volumes": NAMES,
        "networks": NAMES,
        "ports": NAMES,
        "depends_on": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["condition"],
                "properties": {"condition": {"enum": ["service_healthy", "service_completed_successfully"]}},
                "additionalProperties": False,
            },
        },
        "healthcheck": HEALTHCHECK,
        "mem_limit": {"type": "string"},
        "restart": {"enum": ["no", "unless-stopped"]},
        "stop_grace_period": {"pattern": r"^\d+[sm]$"},
        "shm_size": {"type": "string"},
        "cap_drop": {"const": ["ALL"]},
        "cap_add": NAMES,
        "security_opt": {"const": ["no-new-privileges:true"]},
    },
    "additionalProperties": False,
}
# What this project uses of the Compose specification, and nothing else: a mistyped key is refused.
USED = {
    "type": "object",
    "required": ["name", "services"],
    "properties": {
        "name": {"type": "string"},
        "services": {"type": "object", "additionalProperties": SERVICE},
        "secrets": {"type": "object", "additionalProperties": {"type": "object", "required": ["file"]}},
        "configs": {"type": "object", "additionalProperties": {"type": "object", "required": ["file"]}},
        "volumes": {"type": "object", "additionalProperties": {"type": "null"}},
        "networks": {"type": "object", "additionalProperties": {"type": "null"}},
    },
    "patternProperties": {"^x-": {}},
    "additionalProperties": False,
}

# Where production and demo differ on purpose. Every other variable of Airflow is set in both.
ONLY_IN_DEMO = {
    "AIRFLOW_CONN_SMKI_METADATA": "production gives it to those who run tasks, the workers",
    "SMKI_ANCHOR_SLOTS": "production's stands beside user_guide.toml; the demo's is written for its own certificates",
    "AIRFLOW__CORE__PARALLELISM": "the demo's LocalExecutor forks that many processes at start",
    "AIRFLOW__CORE__TEST_CONNECTION": "production's API server has no key of a site, and should open no connections",
    "AIRFLOW__SCHEDULER__MP_START_METHOD": "Celery's workers are no processes of the scheduler",
    "AIRFLOW__SCHEDULER__MP_FORKSERVER_PRELOAD": "Celery's workers are no processes of the scheduler",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "production has FAB's users and roles",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": "production has FAB's users and roles",
}
ONLY_IN_COMPOSE = {
    "SMKI_KEEP_RUNS_DAYS": "the demo does not last that long",
    "SMKI_RUNBOOK_URL": "the demo's board has the runbook",
    "AIRFLOW__CORE__AUTH_MANAGER": "the demo has the simple one, which is Airflow's default",
    "AIRFLOW__CELERY__BROKER_URL": "the demo runs tasks without Celery",
    "AIRFLOW__CELERY__RESULT_BACKEND": "the demo runs tasks without Celery",
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": "the demo runs tasks without Celery",
}
OTHER_VALUES = {
    "AIRFLOW__CORE__EXECUTOR": "workers on several machines",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "a person starts publishing, once the real times are set",
    "AIRFLOW__CORE__FERNET_KEY": "the demo encrypts nothing",
    "AIRFLOW__API__HOST": "other containers call it",
    "AIRFLOW__API__BASE_URL": "the address that browsers see, in front of the proxy",
    "AIRFLOW__API__WORKERS": "more than one user",
    "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "the container's health check asks it",
}


def test_what_the_file_uses_of_compose_is_well_formed(compose: Compose) -> None:
    jsonschema.Draft202012Validator(USED).validate(compose)


def test_file_conforms_to_the_compose_specification(compose: Compose) -> None:
    package = pytest.importorskip("check_jsonschema", reason="pip install check-jsonschema: it brings the schema")
    schema = resources.files(package) / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(compose, json.loads(schema.read_text()))


def test_every_reference_leads_somewhere(compose: Compose) -> None:
    used: dict[str, set[str]] = {
        "services": set(),
        "secrets": set(),
        "configs": set(),
        "volumes": set(),
        "networks": set(),
    }
    for service in compose["services"].values():
        used["services"] |= set(service.get("depends_on", {}))
        used["secrets"] |= set(service.get("secrets", []))
        used["configs"] |= {config["source"] for config in service.get("configs", [])}
        used["volumes"] |= {source for source, _, _ in _mounts(service) if not source.startswith(".")}
        used["networks"] |= set(service["networks"])
    assert used.pop("services") <= set(compose["services"])
    for kind, names in used.items():
        assert names == set(compose[kind]), kind


def test_services_are_waited_for_in_a_way_that_they_can_fulfil(compose: Compose) -> None:
    for name, service in compose["services"].items():
        for other, how in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
            assert how["condition"] == expected, f"{name} → {other}"


def test_services_that_call_each_other_share_a_network(compose: Compose) -> None:
    networks = {name: set(service["networks"]) for name, service in compose["services"].items()}
    for name in AIRFLOW_SERVICES:
        assert all(networks[name] & networks[other] for other in ("postgres", "redis", "api-server"))
    assert networks["worker"] & networks["sftp"]
    assert not networks["sftp"] & networks["postgres"]


def test_every_service_that_keeps_running_has_a_health_check(compose: Compose) -> None:
    for name, service in compose["services"].items():
        assert ("healthcheck" in service) is (name not in ONE_SHOT), name
        assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped"), name


def test_every_service_has_a_limit_of_memory(compose: Compose) -> None:
    assert [name for name, service in compose["services"].items() if "mem_limit" not in service] == []


def test_root_is_for_sshd_only(compose: Compose) -> None:
    for name, service in compose["services"].items():
        user = service.get("user", "root")
        assert (user.split(":")[0] in {"0", "root"}) is (name in RUNS_AS_ROOT), name
        assert ("cap_add" in service) is (name in RUNS_AS_ROOT), name


def test_dotenv_example_names_exactly_the_variables_that_are_used(
    references: set[tuple[str, str]], dotenv_example: dict[str, str]
) -> None:
    assert set(dotenv_example) == {name for name, _ in references}


def test_dotenv_example_gives_no_value_to_anybody(dotenv_example: dict[str, str]) -> None:
    assert [name for name, value in dotenv_example.items() if value] == []


def test_every_variable_of_dotenv_example_is_explained() -> None:
    lines = (PROJECT / ".env.example").read_text().splitlines()
    for above, line in pairwise(lines):
        if re.match(r"[A-Z_]+=", line):
            assert above.startswith("#") or above == "ADMIN_USER=", line


def test_variables_are_required_unless_a_default_is_harmless(references: set[tuple[str, str]]) -> None:
    optional = {
        "SMKI_KEEP_RUNS_DAYS",
        "SMKI_SITES",
        "SMKI_STORE",
        "SMKI_RUNBOOK_URL",
        "WORKER_CONCURRENCY",
        "WORKER_MEMORY",
        "SMKI_IMAGE_TAG",
        "AIRFLOW_LISTEN",
        "SFTP_LISTEN",
        "SECRETS_FOLDER",
    }
    assert {name for name, operator in references if operator == ":-"} == optional
    assert {name for name, operator in references if operator == ":?"} == {name for name, _ in references} - optional


def test_published_ports_are_on_loopback_unless_the_operator_says_otherwise(compose: Compose) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_airflow_gets_the_variables_of_the_demo(compose: Compose) -> None:
    demo, production = _demo_environment(), _environment(compose)
    assert set(demo) - set(production) == set(ONLY_IN_DEMO)
    assert set(production) - set(demo) == set(ONLY_IN_COMPOSE)


def test_values_agree_with_those_of_the_demo(compose: Compose) -> None:
    demo, production = _demo_environment(), _environment(compose)
    places = {  # what is somewhere else in each of the two
        "postgresql://smki_tasks:<SMKI_TASKS_DB_PASSWORD>@postgres/smki": "REPOSITORY",
        "postgresql+psycopg2://airflow:<AIRFLOW_DB_PASSWORD>@postgres/airflow": "METADATA",
        "http://api-server:8080/execution/": "http://127.0.0.1:8080/execution/",
        "<AIRFLOW_JWT_SECRET>": "SECRET",
        "<AIRFLOW_API_SECRET_KEY>": "SECRET",
    }
    connections = {name for name in demo if name.startswith("AIRFLOW_CONN_")}
    for name in set(demo) & set(production) - connections:
        differs = places.get(production[name], production[name]) != demo[name]
        assert differs is (name in OTHER_VALUES), f"{name}: {production[name]!r}, in the demo {demo[name]!r}"


@pytest.mark.parametrize("conn_id", [connection_id("primary"), audit_connection_id("primary")])
def test_connections_of_the_site_have_the_shape_of_the_demo(compose: Compose, conn_id: str) -> None:
    name = f"AIRFLOW_CONN_{conn_id.upper()}"
    demo, production = json.loads(_demo_environment()[name]), json.loads(_environment(compose)[name])
    assert set(production) == set(demo)
    assert set(production["extra"]) == {*demo["extra"], "folder"}  # OpenSSH's jail cannot be written to at its root
    assert production["extra"]["host_key"] == "<SFTP_HOST_KEY>"
    sftp, worker = compose["services"]["sftp"], compose["services"]["worker"]
    assert production["host"] == "sftp"
    assert sftp["ports"][0].endswith(f":{production['port']}")
    assert production["login"] == demo["login"]
    assert production["extra"]["key_file"] in [f"/run/secrets/{secret}" for secret in worker["secrets"]]
    assert f"site:/srv/sftp{production['extra']['folder']}" in sftp["volumes"]


def test_all_airflow_services_have_one_environment(compose: Compose) -> None:
    common = _environment(compose)
    added = {
        "init": {"ADMIN_USER", "ADMIN_EMAIL", "ADMIN_PASSWORD"},
        "worker": {"DUMB_INIT_SETSID", "AIRFLOW_CONN_SMKI_METADATA", "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"},
    }
    for name in AIRFLOW_SERVICES:
        environment = compose["services"][name]["environment"]
        login = {"init": "smki", "api-server": "smki_pages"}.get(name, "smki_tasks")
        assert environment["SMKI_DATABASE_URL"].startswith(f"postgresql://{login}:"), name
        assert {key: environment[key] for key in common if key != "SMKI_DATABASE_URL"} == {
            key: value for key, value in common.items() if key != "SMKI_DATABASE_URL"
        }, name
        assert set(environment) - set(common) == added.get(name, set()), name


def test_settings_read_the_environment_as_meant(compose: Compose) -> None:
    settings = Settings.from_environment(_environment(compose))
    mounted = {target for _, target, _ in _mounts(compose["services"]["worker"])}
    assert settings.database_url
    assert settings.sites == ("primary",)
    assert settings.store in mounted
    assert _environment(compose)["AIRFLOW__LOGGING__BASE_LOG_FOLDER"] in mounted


def test_mounted_files_exist_and_keys_stay_out_of_the_tree(compose: Compose) -> None:
    for service in compose["services"].values():
        for source, _, mode in _mounts(service):
            if source.startswith("."):
                assert (PROJECT / source).is_file(), source
                assert mode == "ro", source
    for kind in ("secrets", "configs"):
        for entry in compose[kind].values():
            assert Path(entry["file"]).parent == Path("deploy/secrets")
    assert (PROJECT / "deploy/secrets/.gitignore").read_text().splitlines()[1:] == ["*", "!.gitignore"]


@pytest.mark.parametrize("service", ["init", "sftp"])
def test_images_are_built_from_files_that_are_there(compose: Compose, service: str) -> None:
    build = compose["services"][service]["build"]
    copies = re.findall(r"^COPY (.+) (\S+)$", build["dockerfile_inline"], re.MULTILINE)
    copied = [source for sources, _ in copies for source in sources.split()]
    assert copied
    for source in copied:
        assert (PROJECT / build["context"] / source).exists(), source
    if build["context"] == ".":
        assert {target for _, target in copies} == {
            f"{HOME}/",
            f"{HOME}/include",
            f"{HOME}/plugins",
            f"{HOME}/dags",
            f"{HOME}/docs",
        }
        assert set(copied) == _kept_by_dockerignore()


def test_image_has_the_locked_airflow_and_a_python_that_the_project_supports(compose: Compose) -> None:
    dockerfile = compose["services"]["init"]["build"]["dockerfile_inline"]
    image = re.match(r"FROM apache/airflow:slim-([\d.]+)-python(\d+)\.(\d+)$", dockerfile.splitlines()[0])
    pinned = re.search(r"^apache-airflow==(\S+)", (PROJECT / "requirements.in").read_text(), re.MULTILINE)
    lowest = re.search(r"sys\.version_info < \((\d+), (\d+)\)", (PROJECT / "Makefile").read_text())
    assert image
    assert pinned
    assert lowest
    assert image[1] == pinned[1]
    assert (int(image[2]), int(image[3])) >= (int(lowest[1]), int(lowest[2]))
    assert "pip install --no-cache-dir --only-binary :all: --require-hashes -r requirements.txt" in dockerfile
    assert "pip install --no-cache-dir --no-deps --no-build-isolation --editable ." in dockerfile


def test_every_airflow_command_is_one_that_airflow_has(compose: Compose, tmp_path: Path) -> None:
    script = (PROJECT / "deploy/airflow/init.sh").read_text().replace("\\\n", " ")
    script = script.replace("$site", "primary")
    commands = [shlex.split(line)[1:] for line in script.splitlines() if line.lstrip().startswith("airflow ")]
    for name in AIRFLOW_SERVICES - ONE_SHOT:
        service = compose["services"][name]
        commands.append(shlex.split(service["command"]))
        if service["healthcheck"]["test"][1] == "airflow":
            commands.append(service["healthcheck"]["test"][2:])
    assert len(commands) == 11
    parse = (
        "import json, sys; from airflow.cli.cli_parser import get_parser; "
        "[get_parser().parse_args(c) for c in json.loads(sys.argv[1])]"
    )
    _airflow_python(compose, tmp_path, parse, json.dumps(commands))
    for in_place in (False, True):
        assert ["pools", "set", lane_pool("primary", in_place=in_place), "1"] in [command[:4] for command in commands]


def test_documents_run_in_a_container_only_what_the_image_knows() -> None:
    """The entrypoint of apache/airflow takes any other word for a command of Airflow's."""
    documents = [PROJECT / "README.md", *PROJECT.glob("docs/**/*.md")]
    texts = [" ".join(document.read_text(encoding="utf-8").split()) for document in documents]
    service = "|".join(AIRFLOW_SERVICES)
    programs = [
        found[1] for text in texts for found in re.finditer(rf"docker compose run [^`]*? (?:{service}) (\w+)", text)
    ]
    assert len(programs) == sum(text.count("docker compose run") for text in texts) > 0
    assert set(programs) <= {"bash", "python", "airflow"}


def test_classes_of_providers_can_be_imported(compose: Compose, tmp_path: Path) -> None:
    ping = compose["services"]["worker"]["healthcheck"]["test"][1]
    celery_app = shlex.split(ping)[2]
    auth_manager = _environment(compose)["AIRFLOW__CORE__AUTH_MANAGER"]
    load = (
        "import sys; from airflow._shared.module_loading import import_string; "
        "from airflow.executors.executor_loader import ExecutorLoader; "
        "ExecutorLoader.get_default_executor(); [import_string(name) for name in sys.argv[1:]]"
    )
    _airflow_python(compose, tmp_path, load, celery_app, auth_manager)


def test_init_brings_the_repository_up_to_date_by_a_command_that_exists() -> None:
    script = (PROJECT / "deploy/airflow/init.sh").read_text()
    [line] = re.findall(r"^smki (.*?)(?: #.*)?$", script, re.MULTILINE)
    assert line == "init"
    assert schema.init in [known.callback for known in application.app.registered_commands]


def _environment(compose: Compose) -> dict[str, str]:
    return compose["x-airflow-environment"]


def _demo_environment() -> dict[str, str]:
    """The demo's variables, with its places moved to where the image has them."""
    environment = airflow_environment(
        home=Path(HOME),
        repository_url="REPOSITORY",
        metadata_url="METADATA",
        var=Path(HOME, "var"),
        port=8080,
        secret="SECRET",  # noqa: S106  # a mark
    )
    for conn_id, account in ((connection_id("primary"), "publisher"), (audit_connection_id("primary"), "party")):
        environment |= site_connection(conn_id, "HOST", 22, account, Path("KEY"), "HOST KEY")
    return {name: value.replace(str(PROJECT), HOME) for name, value in environment.items()}


def _mounts(service: Compose) -> list[tuple[str, str, str]]:
    """(source, target, mode) of each volume."""
    parts = [volume.split(":") for volume in service.get("volumes", [])]
    return [(part[0], part[1], part[2] if len(part) > 2 else "rw") for part in parts]


def _kept_by_dockerignore() -> set[str]:
    """Entries of the project's folder that an image may be built from: the last pattern that fits decides."""
    lines = (PROJECT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    kept = set()
    for entry in os.listdir(PROJECT):  # noqa: PTH208  # names are wanted
        fitting = [pattern for pattern in patterns if fnmatch.fnmatch(entry, pattern.removeprefix("!"))]
        if fitting[-1].startswith("!"):
            kept.add(entry)
    return kept


def _airflow_python(compose: Compose, home: Path, code: str, *arguments: str) -> None:
    """Runs code in an Airflow that is set up as in production, but for its places and keys."""
    environment = {k: v for k, v in _environment(compose).items() if "<" not in v and HOME not in v}
    environment |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CELERY__BROKER_URL": "redis://localhost",
        "AIRFLOW__CELERY__RESULT_BACKEND": "db+postgresql+psycopg2://localhost/airflow",
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
