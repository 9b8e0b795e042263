"""How a command ends: its exit code, and what it says of the error that ended it.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | the data break a rule: the same command gives the same answer |
| 2 | wrong usage |
| 3 | a setting has to be changed first |
| 4 | a disk, a network or a server failed: the same command may succeed later |
| 5 | the gate holds the file: a person may release it |
| 70 | an error that no code foresaw: a mistake in this program |
"""

import tempfile
import traceback
from typing import Any, NoReturn

import typer
from rich.markup import escape
from typer.core import TyperGroup

from smki.cli.terminal import err, print_json
from smki.errors import ConfigurationError, DataError, SmkiError

HELD = 5
_OF_TYPER = (typer.Exit, typer.Abort, typer.TyperException, BrokenPipeError)


class UnforeseenError(SmkiError):
    """An exception that no code of ours raises on purpose."""

    CONSEQUENCE = "The command did not finish; what it had committed before stays."


class Commands(TyperGroup):
    """Commands whose errors are reported alike, in JSON where --json asks for it, and end with their exit code."""

    def invoke(self, ctx: Any) -> Any:
        as_json = "--json" in ctx.args  # all that follows the command's name
        try:
            return super().invoke(ctx)
        except _OF_TYPER:
            raise
        except SmkiError as error:
            end_with(error, as_json=as_json)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is no statement about the data
            end_with(_unforeseen(error), as_json=as_json)


def end_with(error: SmkiError, *, as_json: bool) -> NoReturn:
    """Reports an error in its four parts and ends the command with its exit code."""
    if as_json:
        print_json(error_facts(error))
    else:
        print_error(error)
    raise typer.Exit(exit_code(error)) from None


def error_facts(error: SmkiError) -> dict[str, str]:
    """An error's class and its four parts."""
    parts = ("item", "rule", "consequence", "next_step")
    return {"error": type(error).__name__} | dict(zip(parts, error.args, strict=True))


def print_error(error: SmkiError) -> None:
    """The same for people, on stderr."""
    item, rule, consequence, next_step = (escape(part) for part in error.args)
    err.print(f"[bold red]{type(error).__name__}[/] {item}", highlight=False)
    err.print(f"  {rule}\n  {consequence}\n  [bold]Next:[/] {next_step}", highlight=False)


def exit_code(error: SmkiError) -> int:
    """How a command ends that an error ended."""
    if isinstance(error, UnforeseenError):
        return 70
    if isinstance(error, DataError):
        return 1
    return 3 if isinstance(error, ConfigurationError) else 4


def _unforeseen(error: Exception) -> UnforeseenError:
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="smki-", suffix=".traceback", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            traceback.print_exception(error, file=file)
        where = f"in {file.name}"
    except OSError:  # the disk may be the reason
        traceback.print_exception(error)
        where = "above"
    detail = (str(error).splitlines() or [""])[0]
    return UnforeseenError(
        type(error).__name__,
        f"this is a mistake in the program ({detail}).",
        next_step=f"report it with the traceback {where}.",
    )
