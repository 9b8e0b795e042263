"""The demo's mail server: takes every message on loopback and puts it into a folder, one .eml file each.

    python -m smki_demo.mail_server --folder FOLDER --port 2525

It prints one line of JSON with its port once it accepts connections, and ends on SIGTERM or SIGINT. As much of RFC 5321
as a client needs that sends one plain message: no TLS, no login, no relaying.
"""

import argparse
import asyncio
import json
import signal
import sys
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from html import unescape
from itertools import count
from pathlib import Path

from smki.errors import ConfigurationError

HOST = "127.0.0.1"
_GREETINGS = ("HELO", "EHLO")
_number = count(1)


async def start(folder: Path, port: int = 0) -> asyncio.Server:
    """Starts the server on `port` (0: any free one) in the running event loop; `folder` is made where missing.

    Raises ConfigurationError when the port is taken.
    """
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  # once, before anybody is served
    try:
        return await asyncio.start_server(partial(_converse, folder), HOST, port)
    except OSError as error:
        raise ConfigurationError(
            f"mail server of the demo, port {port}",
            f"it needs a port of its own on {HOST} ({error.strerror or error}).",
            "It was not started.",
            "stop what uses the port, or choose another one.",
        ) from error


def read_messages(folder: Path) -> list[EmailMessage]:
    """All messages that came, oldest first."""
    files = sorted(folder.glob("*.eml"))
    return [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]


def text_of(message: EmailMessage) -> str:
    """The text of a message, whether it was sent as text or as HTML."""
    body = message.get_body(("plain", "html"))
    return "" if body is None else unescape(str(body.get_content()))


async def _converse(folder: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async def say(line: str) -> None:
        writer.write(f"{line}\r\n".encode())
        await writer.drain()

    try:
        await say("220 the demo's mail server")
        while line := await reader.readline():
            command = line.split(None, 1)[0].upper().decode("ascii", "replace") if line.strip() else ""
            if command in _GREETINGS:
                await say("250 at your service")
            elif command == "DATA":
                await say("354 go on")
                _keep(folder, await _data(reader))
                await say("250 kept")
            elif command == "QUIT":
                await say("221 bye")
                break
            else:  # MAIL, RCPT, RSET, NOOP: everything is fine
                await say("250 fine")
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # the client went away
    finally:
        writer.close()


async def _data(reader: asyncio.StreamReader) -> bytes:
    """The message up to the line with a single dot; doubled dots at the beginning of lines are undone."""
    text = await reader.readuntil(b"\r\n.\r\n")
    return text.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.")


def _keep(folder: Path, message: bytes) -> None:
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{next(_number):04d}.eml"
    part = folder / f".{name}"
    part.write_bytes(message)
    part.rename(folder / name)  # so that nobody reads half a message


async def _serve(folder: Path, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await start(folder, port)
    print(json.dumps({"host": HOST, "port": server.sockets[0].getsockname()[1]}), flush=True)
    await stop.wait()
    server.close()


def main() -> int:
    """Serves until a signal ends it; 2 when it cannot be started."""
    parser = argparse.ArgumentParser(description="The mail server of the demo, on loopback.")
    parser.add_argument("--folder", type=Path, required=True, help="where messages are put")
    parser.add_argument("--port", type=int, default=0, help="0 (default): any free one")
    arguments = parser.parse_args()
    try:
        asyncio.run(_serve(arguments.folder, arguments.port))
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
