"""What the demo's `generate` refuses: exit code 2, with the reason."""

from pathlib import Path

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from smki.repository.database import libpq_url
from smki_demo.generate import app


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pki", "--days", "3"], "at least 7 days"),
        (["pki", "--days", "7", "--certificates", "10"], "20 certificates a day"),
        (["volume", "--certificates", "0"], "certificates"),
    ],
)
def test_repository_that_cannot_be_made_up_is_a_usage_error(
    repository: Engine, tmp_path: Path, arguments: list[str], message: str
) -> None:
    environment = {"SMKI_DATABASE_URL": libpq_url(repository), "SMKI_VAR": str(tmp_path), "COLUMNS": "300"}
    result = CliRunner().invoke(app, arguments, env=environment)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
