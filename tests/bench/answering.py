"""How a measured process is told what to do and says what came out: `python run_….py ACTION '{"argument": value}'`."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


def script(module: str, action: str, **arguments: object) -> list[str]:
    """The command that calls the function `action` of a module beside this one."""
    return [sys.executable, str(_HERE / f"{module}.py"), action, json.dumps(arguments, default=str)]


def answer(*actions: Callable[..., Any]) -> None:
    """The other side of `script`: calls what is asked for and prints what it returns as JSON."""
    _, action, arguments = sys.argv
    chosen = {function.__name__: function for function in actions}[action]
    json.dump(chosen(**json.loads(arguments)), sys.stdout)
