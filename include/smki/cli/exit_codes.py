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
| 130 | interrupted by Ctrl-C: a line says what it left; 143 and 129 by SIGTERM and SIGHUP |

They hold whatever becomes of the output: a reader that goes away changes none, and a disk that takes it no more is 4.
"""

import sys
import tempfile
import traceback
from typing import Any, NoReturn

import typer
from rich.markup import escape
from typer.core import TyperGroup

from smki.cli.terminal import err, if_interrupted, print_json, print_lines
from smki.errors import ConfigurationError, DataError, OutputError, SmkiError

HELD = 5


class UnforeseenError(SmkiError):
    """An exception that no code of ours raises on purpose."""

    CONSEQUENCE = "The command did not finish; what it had committed before stays."


class WrongUsageError(SmkiError):
    """What was typed is no command, or not one of today."""


class Commands(TyperGroup):
    """Commands whose errors are reported alike, in JSON where --json asks for it, and end with their exit code."""

    def main(self, *args: Any, **options: Any) -> Any:
        try:
            try:
                return super().main(*args, **options)
            finally:
                sys.stdout.flush()  # what cannot be written is an error of the command
        except OutputError as error:
            print_error(error)
            sys.exit(exit_code(error))

    def invoke(self, ctx: Any) -> Any:
        as_json = "--json" in ctx.args  # all that follows the command's name
        try:
            with if_interrupted("What was committed before stays; no file is half written."):
                return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except typer.TyperException as error:
            if not as_json:
                raise
            end_with(_wrong_usage(error), as_json=True)
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
    print_lines(f"[bold red]{type(error).__name__}[/] {item}", err)
    print_lines(f"  {rule}\n  {consequence}\n  [bold]Next:[/] {next_step}", err)


def exit_code(error: SmkiError) -> int:
    """How a command ends that an error ended."""
    if isinstance(error, UnforeseenError):
        return 70
    if isinstance(error, WrongUsageError):
        return 2
    if isinstance(error, DataError):
        return 1
    return 3 if isinstance(error, ConfigurationError) else 4


def _wrong_usage(error: typer.TyperException) -> WrongUsageError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "smki"
    return WrongUsageError(command, error.format_message(), next_step=f"see `{command} --help`.")


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
