"""What a second terminal reads, so that `smki` and `airflow` work there on the running stack."""

import os
import shlex
import sys
from pathlib import Path

from smki_demo.stack import Stack


def write_terminal(stack: Stack) -> Path:
    """Writes the shell's variables; the file is readable for its owner only, as passwords are among them."""
    variables = {name: value for name, value in stack.environment.items() if os.environ.get(name) != value}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items())]
    file = stack.var / "terminal.sh"
    file.touch(mode=0o600)
    file.write_text("\n".join([*lines, f'export PATH={shlex.quote(str(Path(sys.prefix) / "bin"))}:"$PATH"', ""]))
    return file
