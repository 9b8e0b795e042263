"""The runbook's commands, typed into a shell of the demo."""

import json
import subprocess

import pytest

from builders import DAILY_DELTA
from smki_demo.stack import Stack, write_terminal

pytestmark = pytest.mark.stack


def typed(stack: Stack, command: str) -> str:
    done = subprocess.run(
        ["sh", "-euc", '. "$0"; ' + command, write_terminal(stack)],
        env={"PATH": "/usr/bin:/bin", "HOME": str(stack.var)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr  # 1: findings are open
    return done.stdout


def test_commands_find_the_stack_without_more_ado(stack: Stack) -> None:
    assert write_terminal(stack).stat().st_mode & 0o077 == 0
    (looked,) = json.loads(typed(stack, "smki audit --dry-run --json"))
    assert looked["site"] == "primary"
    assert json.loads(typed(stack, "smki status --json"))["sites"] == ["primary"]
    assert json.loads(typed(stack, "smki retention plan --json"))[0]["site"] == "primary"
    assert DAILY_DELTA in typed(stack, "airflow dags list --output plain")
