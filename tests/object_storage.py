"""An S3 API on loopback, for tests of a store in object storage."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from smki_demo.sftp_server import HOST

_BUCKET = "smki"
_READY_S = 60


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """The environment by which a store in it is opened: SMKI_STORE, and what the account needs."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://{HOST}:{port}"
    try:
        _make_bucket(url)
        yield {
            "SMKI_STORE": f"s3://{_BUCKET}/publisher",
            "AWS_ENDPOINT_URL": url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "publisher",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }
    finally:
        server.terminate()
        server.wait()


def _make_bucket(url: str) -> None:
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            requests.put(f"{url}/{_BUCKET}", timeout=5).raise_for_status()
        except requests.ConnectionError:
            assert time.monotonic() < deadline, "the S3 server does not answer"
            time.sleep(0.2)
        else:
            return
