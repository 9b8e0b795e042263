"""The demo's Party: it follows the signed index by `smki sync`, as docs/party.md has it, on its own account."""

import json
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from smki.errors import VerificationError
from smki.obligations.catalogue import UserGuide
from smki.repository.windows import find_window, in_use_digest
from smki_demo.sftp_server import HOST, PARTY
from smki_demo.stack import PRIMARY, Stack


def sync_command(stack: Stack, guide: UserGuide, into: Path) -> list[str]:
    """`smki sync` of the first site, its index signed by the demo's signer."""
    site = stack.sites[PRIMARY]
    url = f"sftp://{PARTY}@{HOST}:{site.port}/{guide.full.folder.strip('/')}"
    stated = {
        "--into": into,
        "--key": site.key_files[PARTY],
        "--host-key": site.host_key,
        "--signer": stack.environment["SMKI_INDEX_CERTIFICATE"],
    }
    return ["smki", "sync", url, *(str(word) for pair in stated.items() for word in pair)]


def follow(stack: Stack, engine: Engine, guide: UserGuide, into: Path, today: date) -> list[dict[str, Any]]:
    """Makes a copy of yesterday's state, then brings it to today's; what each `smki sync` says.

    Raises VerificationError where a call is refused, or the copy is not what the repository has in use.
    """
    said = []
    for day in (today - timedelta(days=1), today):
        command = [sys.executable, "-m", *sync_command(stack, guide, into), "--until", str(day), "--json"]
        done = subprocess.run(command, env=stack.environment, capture_output=True, text=True, check=False)
        expected = str(in_use_digest(engine, find_window(engine, day).seq))
        answer = json.loads(done.stdout or "{}")
        if done.returncode or (answer["day"], answer["set_digest"]) != (str(day), expected):
            raise VerificationError(
                f"smki sync until {day}",
                f"it ended with {done.returncode}: {done.stdout}{done.stderr}",
                f"A Party's copy is not the repository of {day}, whose set digest is {expected}.",
                "look up its code in docs/party.md.",
            )
        said.append(answer)
    return said
