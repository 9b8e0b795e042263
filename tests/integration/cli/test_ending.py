"""However a command is ended, nothing that it started stays behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from smki.repository.embedded import socket_folder


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_embedded_postgres_ends_with_the_command(tmp_path: Path, sign: signal.Signals) -> None:
    heard = ["env", "--default-signal"]  # whoever runs the tests in the background may ignore them
    command = [*heard, sys.executable, "-m", "smki_demo", "generate", "volume", "--certificates", "5000000"]
    environment = os.environ | {"SMKI_DATABASE_URL": "", "SMKI_VAR": str(tmp_path)}
    running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 180
        while not list(socket_folder(tmp_path / "postgres").glob(".s.PGSQL.*")) and time.monotonic() < deadline:
            assert running.poll() is None
            time.sleep(0.05)
        postmaster = psutil.Process(int((tmp_path / "postgres" / "postmaster.pid").read_text().splitlines()[0]))
        time.sleep(3)  # so that it is at work
        running.send_signal(sign)
        assert running.wait(60) not in (0, -sign)
    finally:
        running.kill()
    assert not postmaster.is_running() or postmaster.status() == psutil.STATUS_ZOMBIE  # ended; nobody waited for it
