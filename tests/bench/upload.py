"""Upload of one file to a real sshd on loopback: by smki.publish, and by OpenSSH's own `sftp` in the same rounds."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from bench.measuring import BrokenError, Figure, Measurements, Thing, action, at_least, figure, megabytes, seconds
from integration.publish.conftest import OpenSshServer

FILE_BYTES = 300_000_000
_OURS, _RECIPE, _SFTP = "upload by smki.publish", "publish_file by smki.publish", "sftp put"


def measure(folder: Path, measurements: Measurements) -> list[Figure]:
    """Measures, and gives the rows."""
    program = find_sshd()
    if program is None or shutil.which("sftp") is None:
        return [Figure("upload", value="not measured: sshd or sftp is missing (apt-get install openssh-server)")]
    file = folder / "file"
    file.write_bytes(os.urandom(FILE_BYTES))
    with running_sshd(folder / "sshd", program) as server:
        measurements.take_in_turn(_things(server, file))

    def uploaded() -> Figure:
        ours, peer = measurements[_OURS], measurements[_SFTP]
        session_s = median(sample.result for sample in ours.samples)
        ratio = peer.wall_s / session_s
        return Figure(
            f"upload of {megabytes(FILE_BYTES)} to sshd on loopback, login to last answer",
            f"{megabytes(FILE_BYTES / session_s)}/s · {session_s:.2f} s; with Python's start {seconds(ours)}",
            f"{_SFTP} {megabytes(FILE_BYTES / peer.wall_s)}/s · {seconds(peer)}",
            ratio,
            at_least(ratio, 0.8),
        )

    def published() -> Figure:
        ours = measurements[_RECIPE]
        session_s = median(sample.result for sample in ours.samples)
        return Figure(
            f"publication of {megabytes(FILE_BYTES)}: upload, sync, read back and hash, rename",
            f"{megabytes(FILE_BYTES / session_s)}/s · {session_s:.2f} s; with Python's start {seconds(ours)}",
        )

    return [figure("upload", uploaded), figure("publication", published)]


def find_sshd() -> str | None:
    """The path of OpenSSH's server; none where it is not installed."""
    return shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def running_sshd(folder: Path, program: str) -> Iterator[Any]:
    """The sshd that the tests start: an ordinary process with keys of its own; its folder `outgoing` is there."""
    folder.mkdir()
    server = OpenSshServer(folder, program)
    server.published.mkdir()
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _things(server: Any, file: Path) -> list[Thing]:
    site = server.site
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()

    def arrived_as(name: str) -> Any:
        """A check that the whole file is on the server; it is removed, so that the next run starts from nothing."""

        def check(_: object) -> None:
            with (server.published / name).open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != sha256:
                    raise BrokenError(f"{name} on the server is not the file that was sent")
            (server.published / name).unlink()

        return check

    known_hosts, batch = file.with_name("known_hosts"), file.with_name("batch")
    known_hosts.write_text(f"[{site.host}]:{site.port} {site.host_key}\n")
    batch.write_text(f"put {file} {site.folder}/by-sftp\n")
    options = ["-F", "none", "-i", site.key_file, "-o", "IdentitiesOnly=yes", "-o", f"UserKnownHostsFile={known_hosts}"]
    sftp = ["sftp", *options, "-P", site.port, "-b", batch, f"{site.username}@{site.host}"]
    # sftp in batch mode repeats its commands on stdout, and a measured thing's stdout is JSON
    quiet = ["sh", "-c", 'exec "$@" >/dev/null', "sh", *map(str, sftp)]
    stated = json.loads(json.dumps(asdict(site), default=str))
    return [
        Thing(_OURS, action("measured", "upload", site=stated, file=file, name="by-upload"), arrived_as("by-upload")),
        Thing(_SFTP, quiet, arrived_as("by-sftp")),
        Thing(
            _RECIPE,
            action("measured", "publish", site=stated, file=file, name="by-recipe", sha256=sha256),
            arrived_as("by-recipe"),
        ),
    ]
